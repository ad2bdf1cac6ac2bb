"""ShanghaiTech Campus from the publisher's archive and from a folder."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from lightvad.artifacts.arrays import read_masks
from lightvad.artifacts.tables import TRACKS, read_table
from lightvad.config import Dataset
from lightvad.video.clips import ClipStore, read_labels

from .published import FRAMES, HEIGHT, WIDTH, Files, block, dataset, image, npy, pinned, prepared, refusal, video

FOUND = {
    "files": [
        "shanghaitech/training/videos/*.avi",
        "shanghaitech/testing/frames/*/*.jpg",
        "shanghaitech/testing/test_*_mask/*.npy",
    ],
    "place": "unpack it to a folder shanghaitech",
}
ABNORMAL = range(1, 4)


def members() -> Files:
    """Two training videos, two test clips, labels and masks, as the publisher has them."""
    files = {f"training/videos/01_00{number}.avi": video(number, suffix=".avi", rate=24) for number in (1, 2)}
    for number, clip in enumerate(("01_0014", "12_0151")):
        for t in range(FRAMES):
            files[f"testing/frames/{clip}/{t:03d}.jpg"] = image(10 * number + t, ".jpg")
        masks = np.stack([block(t) & (t in ABNORMAL) for t in range(FRAMES)])
        files[f"testing/test_frame_mask/{clip}.npy"] = npy(masks.any((1, 2)).astype(np.int64))
        files[f"testing/test_pixel_mask/{clip}.npy"] = npy(masks.astype(np.uint8))
    return {f"shanghaitech/{name}": content for name, content in files.items()}


def archive(files: Files) -> Files:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        for name, content in reversed(files.items()):  # archives of file systems are in no order
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return {"shanghaitech/shanghaitech.tar.gz": buffer.getvalue()}


def tiny(files: Files | None = None) -> Dataset:
    counts = {"clips": {"train": 2, "test": 2}, "frames": {"train": 2 * FRAMES, "test": 2 * FRAMES}}
    return dataset("shanghaitech", **counts, layouts={} if files is None else pinned(files), found=FOUND)


@pytest.mark.parametrize("packed", [True, False])
def test_videos_frames_labels_masks_and_tracks(tmp_path: Path, packed: bool) -> None:
    files = archive(members()) if packed else members()
    root = prepared(tmp_path, tiny(files if packed else None), files)
    store = ClipStore(root)
    assert [(clip.name, clip.split, clip.frames, clip.height, clip.width, clip.fps) for clip in store.clips()] == [
        ("01_001", "train", FRAMES, HEIGHT, WIDTH, 24.0),
        ("01_0014", "test", FRAMES, HEIGHT, WIDTH, 24.0),
        ("01_002", "train", FRAMES, HEIGHT, WIDTH, 24.0),
        ("12_0151", "test", FRAMES, HEIGHT, WIDTH, 24.0),
    ]
    assert members()["shanghaitech/testing/frames/12_0151/005.jpg"] in (root / "test" / "12_0151.zip").read_bytes()
    assert read_labels(store)["label"].tolist() == [0, 1, 1, 1, 0, 0] * 2
    assert read_masks(root / "masks" / "12_0151.npz").any((1, 2)).tolist() == [False, True, True, True, False, False]
    assert read_table(root / "tracks.parquet", TRACKS)["track"].tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"testing/frames/12_0151/003.jpg": None}, "clip 12_0151: frame 3 is missing"),
        ({"testing/frames/12_0151/003.jpg": image(1, ".jpg", 40)}, "clip 12_0151: frames of different sizes"),
        ({"testing/frames/12_0151/003.jpg": b"\xff\xd8\xff"}, "clip 12_0151, frame 3: truncated or not an image"),
        ({"testing/frames/12_0151/005.jpg": None}, "test has 11 frames, 12 expected; clips have 01_0014 6, 12_0151 5"),
        ({"testing/test_frame_mask/12_0151.npy": None}, "no test_frame_mask/12_0151.npy for clip 12_0151"),
        ({"testing/test_pixel_mask/12_0151.npy": None}, "no test_pixel_mask/12_0151.npy for clip 12_0151"),
        ({"testing/test_frame_mask/12_0151.npy": npy(np.zeros(5))}, "clip 12_0151 has 6 frames but labels of 5"),
        ({"testing/test_frame_mask/12_0151.npy": npy(np.full(6, 2))}, "clip 12_0151, frame 0: label 2, not 0 or 1"),
        ({"testing/test_frame_mask/12_0151.npy": b"\x93NUMPY"}, "12_0151.npy (", ),
        ({"testing/test_pixel_mask/12_0151.npy": npy(np.zeros((6, 8, 8)))}, "48x64 but masks of 8x8"),
        ({"training/videos/01_002.avi": None}, "1 clips for train, 2 expected; there are: 01_001"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(tmp_path: Path, change: dict[str, bytes | None], expected: str) -> None:
    changed = {f"shanghaitech/{name}": content for name, content in change.items()}
    files = {name: content for name, content in {**members(), **changed}.items() if content is not None}
    assert expected in refusal(tmp_path, tiny(), files)


def test_labels_that_are_pickled_objects_are_refused(tmp_path: Path) -> None:
    hostile = npy(np.array([{"a": 1}], dtype=object))
    files = {**members(), "shanghaitech/testing/test_frame_mask/01_0014.npy": hostile}
    assert "allow_pickle" in refusal(tmp_path, tiny(), files)
