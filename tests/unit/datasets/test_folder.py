"""Your own videos, with and without labels."""

from pathlib import Path

import pytest

from lightvad.config import Dataset
from lightvad.video.clips import ClipStore, read_labels

from .published import FRAMES, HEIGHT, WIDTH, Files, dataset, prepared, refusal, video

FOUND = {"files": ["normal/*", "score/*"], "optional": ["labels.csv"], "place": "put videos into normal and score"}


def own() -> Dataset:
    return dataset("folder", fps=25, found=FOUND)


def videos() -> Files:
    return {
        "normal/monday.mp4": video(1),
        "normal/Tuesday noon.AVI": video(2, suffix=".avi"),
        "score/gate.mp4": video(3),
        "score/ïœ-$(x).mp4": video(4),
        "score/notes.txt": b"no video",
    }


def test_videos_without_labels_are_of_unknown_label(tmp_path: Path) -> None:
    store = ClipStore(prepared(tmp_path, own(), videos()))
    assert [(clip.name, clip.split, clip.frames, clip.height, clip.width, clip.fps) for clip in store.clips()] == [
        ("Tuesday noon", "train", FRAMES, HEIGHT, WIDTH, 25.0),
        ("gate", "test", FRAMES, HEIGHT, WIDTH, 25.0),
        ("monday", "train", FRAMES, HEIGHT, WIDTH, 25.0),
        ("ïœ-$(x)", "test", FRAMES, HEIGHT, WIDTH, 25.0),
    ]
    assert store.frame("Tuesday noon", FRAMES - 1).shape == (HEIGHT, WIDTH, 3)
    assert set(read_labels(store)["label"]) == {-1}


def test_labels_are_ranges_from_0_and_what_is_not_named_is_normal(tmp_path: Path) -> None:
    labels = b"clip,first,last\ngate,0,1\ngate,4,4\n"
    table = read_labels(ClipStore(prepared(tmp_path, own(), videos() | {"labels.csv": labels})))
    assert table.loc[table["clip"] == "gate", "label"].tolist() == [1, 1, 0, 0, 1, 0]
    assert table.loc[table["clip"] != "gate", "label"].tolist() == [0] * FRAMES


def test_one_normal_video_is_too_few_to_hold_one_out(tmp_path: Path) -> None:
    files = {name: content for name, content in videos().items() if name != "normal/monday.mp4"}
    assert "raw/normal: 1 video of normal life, at least two are needed" in refusal(tmp_path, own(), files)
    spec = dataset("folder", fps=25, found=FOUND, heldout_fraction=0)
    assert len(ClipStore(prepared(tmp_path / "all", spec, files)).clips("train")) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"labels.csv": b"clip,first,last\ngate,4,6\n"}, "line 2: 4 to 6 are no frames of gate, which has 0 to 5"),
        ({"labels.csv": b"clip,first,last\ngate,0,0\ngate,-1,2\n"}, "line 3: -1 to 2 are no frames of gate"),
        ({"labels.csv": b"clip,first,last\ngate,3,2\n"}, "line 2: 3 to 2 are no frames of gate"),
        ({"labels.csv": b"clip,first,last\ngate.mp4,0,1\n"}, "line 2: no scored video 'gate.mp4' (gate, "),
        ({"labels.csv": b"clip,from,to\ngate,0,1\n"}, "columns clip, from, to, not clip, first, last"),
        ({"labels.csv": b""}, "labels.csv: 0 bytes"),
        ({"score/gate.mp4": video(3)[:200]}, "gate.mp4: cannot be decoded"),
        (
            {"score/slow.mp4": video(3, rate=10)},
            "slow.mp4: 10 frames a second, but fps of config/datasets/folder.yaml",
        ),
        ({"normal/gate.mp4": video(5)}, "two videos are called gate; rename one of them"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, change: Files, expected: str) -> None:
    assert expected in refusal(tmp_path, own(), videos() | change)


def test_an_empty_folder_is_told_with_its_place(tmp_path: Path) -> None:
    message = refusal(tmp_path, own(), {"normal/monday.mp4": video(1)})
    assert message.endswith("nothing is found as score/*; put videos into normal and score")
