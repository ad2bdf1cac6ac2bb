"""CUHK Avenue (Lu, Shi, Jia, ICCV 2013): 16 training and 21 test videos with pixel masks, or any subset of them.

Files, in the publisher's two archives or as they lie in a folder: `training_videos/NN.avi`, `testing_videos/NN.avi`,
and `testing_label_mask/N_label.mat` with the cell array `volLabel`. Videos are stored byte for byte. A frame is
abnormal where its mask has any pixel; the frame labels that some later code ships differ from that on 441 frames.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lightvad.artifacts.arrays import write_masks
from lightvad.config import Dataset
from lightvad.datasets.clips import check_clips, check_rate, store_video, write_tables
from lightvad.datasets.contents import Item, fetched_contents
from lightvad.datasets.labels import check_masks, labels_from_masks, labels_table, read_matlab_volume
from lightvad.datasets.tracks import link, numbered
from lightvad.errors import LightvadError
from lightvad.progress import track
from lightvad.video.clips import Clip

# The archive of the labels holds the test videos once more, for a demonstration.
MEMBER = re.compile(
    r"^(?!(?:.*/)?ground_truth_demo/testing_videos/)(?:.*/)?"
    r"(?:(?P<split>training|testing)_videos/(?P<video>\d{1,2})\.(?:avi|mp4)"
    r"|testing_label_mask/(?P<label>\d{1,2})_label\.mat)$"
)
SOURCES = {".avi": "as published (XviD)", ".mp4": "re-encoded H.264"}
"""What `source` in the index says of a video."""


def prepare(dataset: Dataset, *, raw: Path, root: Path) -> None:
    """Write `root` (data/clips/avenue) from `raw` (data/raw/avenue, filled by fetch); `index.parquet` is written last.

    Raises:
        LightvadError: fetch has not run, a file is damaged, or clips, frames and masks do not agree in number.
    """
    with fetched_contents(dataset, MEMBER, raw=raw, root=root) as items:
        videos = {_name(item): item for item in items if item.found["split"]}
        volumes = {f"Test{int(item.found['label']):02d}": item for item in items if item.found["label"]}
        clips = [
            _clip(name, item, dataset, root)
            for name, item in track(
                sorted(videos.items()), total=len(videos), what=f"prepare {dataset.name}", unit="clips"
            )
        ]
        check_clips(clips, dataset, raw)
        labels, tracks = {}, {}
        for clip in (clip for clip in clips if clip.split == "test"):
            masks = _masks(clip, volumes, raw)
            write_masks(root / "masks" / f"{clip.name}.npz", masks)
            labels[clip.name], tracks[clip.name] = labels_from_masks(masks), link(masks)
    write_tables(root, clips, labels=labels_table(labels), tracks=numbered(tracks))


def _name(item: Item) -> str:
    """`Train01` or `Test01`."""
    return f"{'Train' if item.found['split'] == 'training' else 'Test'}{int(item.found['video']):02d}"


def _clip(name: str, item: Item, dataset: Dataset, root: Path) -> Clip:
    split = "train" if item.found["split"] == "training" else "test"
    clip = store_video(item.path, root, name=name, split=split, source=SOURCES[item.path.suffix])
    check_rate(clip, dataset, item.where)
    return clip


def _masks(clip: Clip, volumes: Mapping[str, Item], raw: Path) -> np.ndarray:
    """The pixel masks of a test clip: bool (T, H, W).

    Raises:
        LightvadError: there are none, or they do not fit the clip's frames.
    """
    if clip.name not in volumes:
        message = f"{raw}: no {int(clip.name.removeprefix('Test'))}_label.mat for clip {clip.name}; get the masks again"
        raise LightvadError(message)
    item = volumes[clip.name]
    masks = read_matlab_volume(item.path, "volLabel", item.where)
    check_masks(clip.name, masks, frames=clip.frames, height=clip.height, width=clip.width, where=item.where)
    return masks
