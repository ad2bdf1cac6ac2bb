"""ShanghaiTech Campus (Liu et al., CVPR 2018): 330 training videos, 107 test clips of still images, 13 scenes.

Files, in the publisher's archive or as they lie in a folder: `training/videos/SS_NNN.avi`,
`testing/frames/SS_NNNN/FFF.jpg`, `testing/test_frame_mask/SS_NNNN.npy` (a 0 or 1 a frame) and
`testing/test_pixel_mask/SS_NNNN.npy` (masks (T, H, W)). Videos and images are stored byte for byte, and every frame of
a video counts: what OpenCV or a frame rate would skip made later work disagree about the number of frames.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lightvad.artifacts.arrays import read_array, write_masks
from lightvad.config import Dataset
from lightvad.datasets.clips import check_clips, store_images, store_video, write_tables
from lightvad.datasets.contents import Item, by_group, fetched_contents
from lightvad.datasets.labels import check_labels, check_masks, labels_table
from lightvad.datasets.tracks import link, numbered
from lightvad.errors import LightvadError
from lightvad.progress import track
from lightvad.video.clips import Clip

MEMBER = re.compile(
    r"(?:^|/)(?:"
    r"training/videos/(?P<video>\d\d_\d{3,4})\.avi"
    r"|testing/frames/(?P<clip>\d\d_\d{3,4})/(?P<frame>\d{1,6})\.jpg"
    r"|(?:testing/)?test_frame_mask/(?P<labels>\d\d_\d{3,4})\.npy"
    r"|(?:testing/)?test_pixel_mask/(?P<masks>\d\d_\d{3,4})\.npy"
    r")$"
)
SOURCE = "as published"
REMEDY = "get the file again"


def prepare(dataset: Dataset, *, raw: Path, root: Path) -> None:
    """Write `root` (data/clips/shanghaitech) from `raw` (data/raw/shanghaitech); `index.parquet` is written last.

    Raises:
        LightvadError: fetch has not run, a file is damaged, or clips, frames and labels do not agree in number.
    """
    with fetched_contents(dataset, MEMBER, raw=raw, root=root) as items:
        named = by_group(items, MEMBER)
        frames: dict[str, dict[int, Path]] = defaultdict(dict)
        for item in items:
            if item.found["clip"]:
                frames[item.found["clip"]][int(item.found["frame"])] = item.path
        clips = []
        names = sorted({*named["video"], *frames})
        for name in track(names, total=len(names), what=f"prepare {dataset.name}", unit="clips"):
            if name in frames:
                clip = store_images(
                    frames[name], root, name=name, split="test", source=SOURCE, fps=dataset.fps, where=str(raw)
                )
            else:
                video = named["video"][name].path
                clip = store_video(video, root, name=name, split="train", source=SOURCE, fps=dataset.fps)
            clips.append(clip)
        check_clips(clips, dataset, raw)
        labels, tracks = {}, {}
        for clip in (clip for clip in clips if clip.split == "test"):
            labels[clip.name] = _labels(clip, named["labels"], raw)
            masks = _masks(clip, named["masks"], raw)
            write_masks(root / "masks" / f"{clip.name}.npz", masks)
            tracks[clip.name] = link(masks)
    write_tables(root, clips, labels=labels_table(labels), tracks=numbered(tracks))


def _labels(clip: Clip, published: Mapping[str, Item], raw: Path) -> np.ndarray:
    """The frame labels of a test clip: int8 (T,).

    Raises:
        LightvadError: there are none, or they do not fit the clip's frames.
    """
    labels, where = _array(clip, published, "test_frame_mask", raw)
    return check_labels(clip.name, labels, frames=clip.frames, where=where)


def _masks(clip: Clip, published: Mapping[str, Item], raw: Path) -> np.ndarray:
    """The pixel masks of a test clip: bool (T, H, W).

    Raises:
        LightvadError: there are none, or they do not fit the clip's frames.
    """
    masks, where = _array(clip, published, "test_pixel_mask", raw)
    check_masks(clip.name, masks, frames=clip.frames, height=clip.height, width=clip.width, where=where)
    return masks != 0


def _array(clip: Clip, published: Mapping[str, Item], folder: str, raw: Path) -> tuple[np.ndarray, str]:
    """An array of a test clip and the file that it was read from, for messages."""
    if clip.name not in published:
        message = f"{raw}: no {folder}/{clip.name}.npy for clip {clip.name}; {REMEDY}"
        raise LightvadError(message)
    item = published[clip.name]
    return read_array(item.path, what=f"array of {item.where}", remedy=REMEDY), item.where
