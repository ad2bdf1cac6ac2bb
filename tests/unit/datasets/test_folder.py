"""Your own videos, with and without labels."""

import shutil
from pathlib import Path

import pytest

from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.documents import read_json
from lightvad.config import Dataset
from lightvad.datasets import fetch
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


def fetched(tmp_path: Path, files: Files, capsys: pytest.CaptureFixture[str]) -> tuple[set[str], str]:
    """What lies under data/raw/folder after a fetch from a mirror that has just these files, and what was said."""
    mirror, raw = tmp_path / "mirror", tmp_path / "raw"
    shutil.rmtree(mirror, ignore_errors=True)
    for name, content in files.items():
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / name).write_bytes(content)
    (raw / "fetched.json").unlink(missing_ok=True)  # Snakemake removes outputs before a stage begins
    fetch(own(), root=raw, mirror=str(mirror))
    listed = {entry["file"] for entry in read_json(raw / "fetched.json")["files"]}
    assert listed == set(files)
    there = {path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file() and path.name[0] != "."}
    return there - {"fetched.json"}, capsys.readouterr().err


BYTES = {f"normal/{name}.mp4": name.encode() for name in "ab"} | {f"score/{name}.mp4": name.encode() for name in "cd"}


def test_a_video_that_left_the_mirror_leaves_the_copies_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, said = fetched(tmp_path, BYTES, capsys)
    assert there == set(BYTES)
    assert "removed" not in said
    left = {name: content for name, content in BYTES.items() if name != "score/d.mp4"}
    there, said = fetched(tmp_path, left, capsys)
    assert there == set(left)
    (told,) = [line for line in said.splitlines() if "removed" in line]
    expected = f"removed from {tmp_path}/raw: 1 copied files that the list has no more: score/d.mp4"
    assert told == f"fetch folder: {expected}"
    fetch(own(), root=tmp_path / "raw", mirror=None)
    assert {entry["file"] for entry in read_json(tmp_path / "raw/fetched.json")["files"]} == set(left)


def test_a_video_that_changed_in_the_mirror_is_copied_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetched(tmp_path, BYTES, capsys)
    fetched(tmp_path, BYTES | {"score/c.mp4": b"cut"}, capsys)
    assert (tmp_path / "raw/score/c.mp4").read_bytes() == b"cut"


def test_what_fetch_did_not_copy_is_never_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere, raw = tmp_path / "elsewhere", tmp_path / "raw"
    fetched(tmp_path, BYTES | {"score/e.mp4": b"e", "score/f.mp4": b"f"}, capsys)
    (raw / "score/by_hand.mp4").write_bytes(b"mine")
    (raw / "score/f.mp4").write_bytes(b"changed by hand")
    # The copies of normal were moved away, and a link put in their place: they are the person's now.
    (raw / "normal").rename(elsewhere)
    (raw / "normal").symlink_to(elsewhere)
    there, said = fetched(tmp_path, {"normal/a.mp4": b"a", "score/c.mp4": b"c"}, capsys)
    assert "2 copied files that the list has no more: score/d.mp4, score/e.mp4" in said
    assert {path.name for path in (raw / "score").iterdir()} == {"c.mp4", "f.mp4", "by_hand.mp4"}
    assert {path.name for path in elsewhere.iterdir()} == {"a.mp4", "b.mp4"}
    # What is not in the mirror's list is taken only where there is no mirror.
    assert "score/by_hand.mp4" in there


def test_files_with_known_checksums_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetched(tmp_path, BYTES, capsys)
    layouts = {"pinned": [{"file": name, "sha256": sha256_of(tmp_path / "raw" / name)} for name in list(BYTES)[:2]]}
    fetch(dataset("folder", fps=25, found=FOUND, layouts=layouts), root=tmp_path / "raw", mirror=None)
    assert all((tmp_path / "raw" / name).is_file() for name in BYTES)
    assert "removed" not in capsys.readouterr().err
