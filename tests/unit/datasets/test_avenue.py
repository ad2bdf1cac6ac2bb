"""Avenue from the publisher's two archives, from a folder, and the real clips of the subset."""

import io
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from lightvad.artifacts.arrays import read_masks
from lightvad.artifacts.tables import LABELS, TRACKS, read_table
from lightvad.config import Dataset
from lightvad.datasets import fetch, prepare
from lightvad.project import Project
from lightvad.video.clips import ClipStore, read_labels

from .published import FRAMES, HEIGHT, WIDTH, Files, block, dataset, pinned, prepared, refusal, video, zipped

FOUND = {
    "files": ["avenue/*_videos/*.avi", "avenue/testing_label_mask/*_label.mat"],
    "place": "put the publisher's folders into a folder avenue",
}


def matlab(masks: list[np.ndarray], name: str = "volLabel") -> bytes:
    """`N_label.mat`: a cell array of one matrix a frame."""
    cells = np.empty((1, len(masks)), object)
    cells[0] = [mask.astype(np.uint8) for mask in masks]
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {name: cells})
    return buffer.getvalue()


def masks(first: int) -> list[np.ndarray]:
    """Abnormal from frame `first` on."""
    return [block(t) & (t >= first) for t in range(FRAMES)]


def videos() -> Files:
    return {
        "training_videos/01.avi": video(1, suffix=".avi"),
        "training_videos/02.avi": video(2, suffix=".avi"),
        "testing_videos/01.avi": video(3, suffix=".avi"),
        "testing_videos/10.avi": video(4, suffix=".avi"),
    }


def labels() -> Files:
    return {"testing_label_mask/1_label.mat": matlab(masks(2)), "testing_label_mask/10_label.mat": matlab(masks(0))}


def official(clips: Files, volumes: Files) -> Files:
    """The publisher's two archives; the second holds the test videos once more."""
    dataset_members = {f"Avenue Dataset/{name}": content for name, content in clips.items()}
    demo = {f"ground_truth_demo/{name}": content for name, content in volumes.items()}
    demo |= {f"ground_truth_demo/{name}": content for name, content in clips.items() if "testing" in name}
    return {"avenue/Avenue_Dataset.zip": zipped(dataset_members), "avenue/ground_truth_demo.zip": zipped(demo)}


def tiny(files: Files | None = None) -> Dataset:
    counts = {"clips": {"train": 2, "test": 2}, "frames": {"train": 2 * FRAMES, "test": 2 * FRAMES}}
    return dataset("avenue", fps=25, **counts, layouts={} if files is None else pinned(files), found=FOUND)


def test_the_publishers_archives_give_clips_labels_masks_and_tracks(tmp_path: Path) -> None:
    files = official(videos(), labels())
    root = prepared(tmp_path, tiny(files), files)
    store = ClipStore(root)
    clips = [(clip.name, clip.split, clip.frames, clip.height, clip.width, clip.fps) for clip in store.clips()]
    assert clips == [
        ("Test01", "test", FRAMES, HEIGHT, WIDTH, 25.0),
        ("Test10", "test", FRAMES, HEIGHT, WIDTH, 25.0),
        ("Train01", "train", FRAMES, HEIGHT, WIDTH, 25.0),
        ("Train02", "train", FRAMES, HEIGHT, WIDTH, 25.0),
    ]
    assert (root / "train" / "Train02.avi").read_bytes() == videos()["training_videos/02.avi"]
    assert read_labels(store)["label"].tolist() == [0, 0, 1, 1, 1, 1] + [1] * 6
    assert np.array_equal(read_masks(root / "masks" / "Test01.npz"), np.stack(masks(2)))
    tracks = read_table(root / "tracks.parquet", TRACKS)
    assert tracks.groupby("clip")["track"].unique().apply(list).to_dict() == {"Test01": [0], "Test10": [1]}
    assert tracks.iloc[0][["x1", "y1", "x2", "y2"]].tolist() == [14, 10, 26, 20]
    assert not list(root.glob(".scratch*"))


def test_the_unpacked_folders_give_the_same(tmp_path: Path) -> None:
    archives = official(videos(), labels())
    first = prepared(tmp_path / "archives", tiny(archives), archives)
    folders = {f"avenue/{name}": content for name, content in (videos() | labels()).items()}
    second = prepared(tmp_path / "folders", tiny(), folders)
    for name in ("index.parquet", "labels.parquet", "tracks.parquet", "masks/Test10.npz", "test/Test10.avi"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"testing_label_mask/10_label.mat": None}, "no 10_label.mat for clip Test10"),
        ({"testing_label_mask/1_label.mat": matlab(masks(2)[:5])}, "clip Test01 has 6 frames but masks of 5"),
        ({"testing_label_mask/1_label.mat": matlab(masks(2), "other")}, "1_label.mat: no masks volLabel can be read"),
        ({"testing_label_mask/1_label.mat": matlab(masks(2))[:500]}, "1_label.mat: no masks volLabel can be read"),
        ({"testing_label_mask/1_label.mat": b"x" * 300}, "1_label.mat: no masks volLabel can be read"),
        (
            {"testing_label_mask/1_label.mat": matlab([mask[:40] for mask in masks(2)])},
            "clip Test01 has frames of 48x64 but masks of 40x64",
        ),
        ({"training_videos/02.avi": None}, "1 clips for train, 2 expected; there are: Train01"),
        ({"training_videos/02.avi": b"RIFF" + bytes(99)}, "Train02.avi: cannot be decoded"),
        ({"testing_videos/01.avi": video(3, suffix=".avi", frames=5)}, "test has 11 frames, 12 expected"),
        ({"testing_videos/01.avi": video(3, suffix=".avi", rate=30)}, "01.avi: 30 frames a second, but fps of config"),
        ({"copy/training_videos/01.avi": video(1, suffix=".avi")}, "comes twice"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, change: dict[str, bytes | None], expected: str) -> None:
    everything: dict[str, bytes | None] = {**videos(), **labels(), **change}
    kept = {name: content for name, content in everything.items() if content is not None}
    volumes = {name: content for name, content in kept.items() if name.endswith(".mat")}
    files = official({name: content for name, content in kept.items() if name not in volumes}, volumes)
    assert expected in refusal(tmp_path, tiny(files), files)


def test_files_that_are_nowhere_are_told_with_their_place(tmp_path: Path) -> None:
    message = refusal(tmp_path, tiny(), {"avenue/training_videos/01.avi": video(1, suffix=".avi")})
    assert "nothing is found as avenue/testing_label_mask/*_label.mat; put the publisher's folders" in message


def test_the_real_clips_of_the_subset(tmp_path: Path, repository: Path, shared_data: Path) -> None:
    spec = Project(repository).dataset("avenue_subset")
    fetch(spec, root=tmp_path / "raw", mirror=str(shared_data))
    prepare(spec, raw=tmp_path / "raw", root=tmp_path / "clips")
    store = ClipStore(tmp_path / "clips")
    assert {clip.name: clip.frames for clip in store.clips()} == {
        "Test08": 36, "Test17": 426, "Test18": 294, "Train11": 781, "Train12": 145, "Train16": 244,
    }  # fmt: skip
    assert {(clip.height, clip.width, clip.fps) for clip in store.clips()} == {(360, 640, 25.0)}
    assert {clip.name for clip in store.clips() if "re-encoded" in clip.source} == {"Train11"}
    abnormal = read_table(tmp_path / "clips" / "labels.parquet", LABELS).groupby("clip")["label"].sum()
    assert abnormal.to_dict() == {"Test08": 36, "Test17": 384, "Test18": 294}
