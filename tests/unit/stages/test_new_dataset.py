"""A camera's own videos: from two folders to a configuration, and from it to clips, without a mirror."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.datasets.published import FRAMES, HEIGHT, WIDTH, Files, put, video
from typer.testing import CliRunner

from lightvad.cli import app
from lightvad.datasets.fetching import found_listing
from lightvad.errors import LightvadError
from lightvad.layout import clips_folder, fetched_path, raw_folder
from lightvad.project import Project
from lightvad.resolution import dataset_digest
from lightvad.stages import fetch, new_dataset, prepare
from lightvad.stages.new_dataset import frame_size
from lightvad.video.clips import ClipStore, read_labels

VIDEOS = {
    "normal/monday.mp4": video(1),
    "normal/Tuesday noon.AVI": video(2, suffix=".avi"),
    "normal/notes.txt": b"no video",
    "odd/gate.mp4": video(3),
    "odd/ïœ-$(x).mp4": video(4),
}
LABELS = {"marks of 'gate': #1.csv": b"clip,first,last\ngate,0,1\ngate,4,4\n"}


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Project:
    """A project with the configuration of this one that a test may add to."""
    root = tmp_path / "project"
    (root / "config/datasets").mkdir(parents=True)
    (root / "config/config.yaml").symlink_to(repository / "config/config.yaml")
    (root / "config/datasets/ped2.yaml").symlink_to(repository / "config/datasets/ped2.yaml")
    return Project(root)


def made(project: Project, files: Files, name: str = "my_camera", labels: str | None = None) -> None:
    """The dataset of videos that lie beside the project."""
    beside = project.root.parent / f"of {name}"
    put(beside, files)
    marked = None if labels is None else beside / labels
    new_dataset.run(project, name, normal=beside / "normal", test=beside / "odd", labels=marked)


def prepared(project: Project, name: str = "my_camera", mirror: str | None = None) -> ClipStore:
    fetch.run(project, name, mirror=mirror, only="clips")
    prepare.run(project, name)
    return ClipStore(project.root / clips_folder(name))


def refused(project: Project, expected: str, files: Files, labels: str | None = None) -> str:
    """The line with which the command refuses; it must write nothing."""
    with pytest.raises(LightvadError) as caught:
        made(project, files, labels=labels)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in (project.root / "config/datasets").iterdir()] == ["ped2.yaml"]
    return str(caught.value)


def test_a_camera_is_prepared_from_where_its_videos_lie(project: Project) -> None:
    made(project, VIDEOS | LABELS, labels=next(iter(LABELS)))
    dataset = project.dataset("my_camera")
    assert (dataset.fps, dataset.frame_size, dataset.prepared_by) == (25, (HEIGHT, WIDTH), "folder")
    # A mirror given for a dataset beside it is none of this one's.
    store = prepared(project, mirror="/nowhere")
    assert [(clip.name, clip.split, clip.frames) for clip in store.clips()] == [
        ("Tuesday noon", "train", FRAMES),
        ("gate", "test", FRAMES),
        ("monday", "train", FRAMES),
        ("ïœ-$(x)", "test", FRAMES),
    ]
    labels = read_labels(store)
    assert labels.loc[labels["clip"] == "gate", "label"].tolist() == [1, 1, 0, 0, 1, 0]
    assert not labels.loc[labels["clip"] != "gate", "label"].any()


def test_two_cameras_live_in_one_project(project: Project) -> None:
    made(project, VIDEOS, "front")
    made(project, VIDEOS | {"normal/wednesday.mp4": video(5)}, "back-2")
    assert [len(prepared(project, name).clips("train")) for name in ("front", "back-2")] == [2, 3]
    assert set(read_labels(ClipStore(project.root / clips_folder("front")))["label"]) == {-1}


def test_what_comes_goes_or_changes_is_seen_and_fetched(project: Project) -> None:
    made(project, VIDEOS)
    before, beside = found_listing(project.dataset("my_camera"), None), project.root.parent / "of my_camera"
    fetch.run(project, "my_camera", mirror=None, only="clips")
    put(beside, {"odd/gate.mp4": video(6), "odd/new.mp4": video(7)})
    (beside / "normal/notes.txt").unlink()
    assert found_listing(project.dataset("my_camera"), None) != before
    fetch.run(project, "my_camera", mirror=None, only="clips")
    listed = json.loads((project.root / fetched_path("my_camera")).read_text())
    assert [entry["file"] for entry in listed["files"]] == [
        "normal/Tuesday noon.AVI",
        "normal/monday.mp4",
        "score/gate.mp4",
        "score/new.mp4",
        "score/ïœ-$(x).mp4",
    ]
    assert (project.root / raw_folder("my_camera") / "score/gate.mp4").read_bytes() == video(6)
    (beside / "odd/new.mp4").unlink()
    fetch.run(project, "my_camera", mirror=None, only="clips")
    assert not (project.root / raw_folder("my_camera") / "score/new.mp4").exists()


def test_videos_that_moved_are_told_with_the_key_and_their_path_is_in_no_digest(project: Project) -> None:
    made(project, VIDEOS)
    digests = [dataset_digest(project, stage, "my_camera") for stage in ("fetch", "prepare")]
    beside = project.root.parent / "of my_camera"
    (beside / "odd").rename(beside / "else")
    with pytest.raises(LightvadError, match=r"config/datasets/my_camera.yaml: found.at.score: no files in .*/odd; put"):
        fetch.run(project, "my_camera", mirror=None, only="clips")
    moved = Project(project.root, (f"datasets.my_camera.found.at.score={beside / 'else'}",))
    fetch.run(moved, "my_camera", mirror=None, only="clips")
    assert [dataset_digest(moved, stage, "my_camera") for stage in ("fetch", "prepare")] == digests


def test_it_says_what_it_found_and_what_comes_next(project: Project) -> None:
    beside = project.root.parent
    put(beside, VIDEOS | {"labels.csv": LABELS["marks of 'gate': #1.csv"]})
    options = {"normal": "normal", "test": "odd", "labels": "labels.csv", "project": "project"}
    words = [word for option, name in options.items() for word in (f"--{option}", str(beside / name))]
    shown = CliRunner().invoke(app, ["new-dataset", "yard", *words], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "normal  2 videos, 12 frames (0 s), 48x64 pixels at 25 frames a second" in shown.stdout
    assert "labels  3 of 12 frames are abnormal" in shown.stdout
    assert "make reproduce DATASET=yard BUDGET=quick" in shown.stdout


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"normal/monday.mp4": None}, "1 video of normal life, at least two are needed"),
        ({"normal/monday.mp4": None, "normal/Tuesday noon.AVI": None}, "of my_camera/normal: no videos; put .mp4, "),
        ({"odd/gate.mp4": None, "odd/ïœ-$(x).mp4": None}, "of my_camera/odd: no such folder; name one"),
        ({"odd/gate.mp4": video(3, rate=10)}, "gate.mp4: 10 frames a second, but "),
        ({"odd/gate.mp4": video(3, width=80)}, "gate.mp4: 48x80 pixels, but "),
        ({"odd/gate.mp4": video(3)[:200]}, "gate.mp4: cannot be decoded"),
        ({"odd/gate.mp4": b""}, "gate.mp4: cannot be decoded"),
        ({"odd/monday.avi": video(3, suffix=".avi")}, "two videos are called monday; rename one of them"),
        ({"labels.csv": None}, "labels.csv: no such file"),
        ({"labels.csv": b"clip,first,last\nmonday,0,1\n"}, "line 2: no scored video 'monday' (gate, "),
        ({"labels.csv": b"clip,first,last\ngate,4,6\n"}, "line 2: 4 to 6 are no frames of gate, which has 0 to 5"),
        ({"labels.csv": b"clip,from,to\ngate,0,1\n"}, "columns clip, from, to, not clip, first, last"),
    ],
)
def test_what_does_not_fit_is_one_line_and_writes_nothing(
    project: Project, change: dict[str, bytes | None], expected: str
) -> None:
    files = VIDEOS | {"labels.csv": b"clip,first,last\ngate,0,1\n"} | change
    there = {name: content for name, content in files.items() if content is not None}
    refused(project, expected, there, labels="labels.csv")


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_video_that_ends_before_its_header_says_is_cut_off(project: Project, suffix: str) -> None:
    whole = video(8, suffix=suffix, frames=100)
    message = refused(
        project, "can be decoded: it is cut off", VIDEOS | {f"odd/long{suffix}": whole[: len(whole) // 2]}
    )
    assert f"long{suffix}: its header promises 100 frames, " in message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ped2", "config/datasets/ped2.yaml: is there already; take another name"),
        ("My camera", "new-dataset My camera: no name for a dataset; take small letters, digits, _ and -"),
        ("../camera", "no name for a dataset"),
        ("camera.1", "no name for a dataset"),
        ("-camera", "no name for a dataset"),
        ("", "no name for a dataset"),
    ],
)
def test_a_name_must_be_new_and_one_that_a_dataset_can_have(project: Project, name: str, expected: str) -> None:
    put(project.root.parent, VIDEOS)
    with pytest.raises(LightvadError) as caught:
        new_dataset.run(
            project, name, normal=project.root.parent / "normal", test=project.root.parent / "odd", labels=None
        )
    assert expected in str(caught.value)


def test_a_camera_is_made_once_and_needs_videos_to_score(project: Project) -> None:
    made(project, VIDEOS)
    written = (project.root / "config/datasets/my_camera.yaml").read_bytes()
    with pytest.raises(LightvadError, match="is there already"):
        made(project, VIDEOS)
    assert (project.root / "config/datasets/my_camera.yaml").read_bytes() == written
    with pytest.raises(LightvadError, match="--test: name a folder with at least one video to score"):
        new_dataset.run(project, "other", normal=project.root.parent / "of my_camera/normal", test=None, labels=None)


@given(st.integers(2, 4320), st.integers(2, 7680))
def test_frames_keep_their_proportions_and_are_no_larger_than_the_papers(height: int, width: int) -> None:
    sides = frame_size(height, width)
    assert all(side % 8 == 0 and side >= 16 for side in sides)
    shrunk = min(1, (360 * 640 / (height * width)) ** 0.5)
    assert all(abs(side - shrunk * of) <= 4 or side == 16 for side, of in zip(sides, (height, width), strict=True))


@pytest.mark.parametrize(
    ("videos", "expected"),
    [((1080, 1920), (360, 640)), ((240, 360), (240, 360)), ((480, 640), (416, 552)), ((1920, 1080), (640, 360))],
)
def test_the_frame_sizes_of_usual_cameras(videos: tuple[int, int], expected: tuple[int, int]) -> None:
    assert frame_size(*videos) == expected
