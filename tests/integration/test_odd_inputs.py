"""Inputs that are odd and right: they work, and what they become is said here and nowhere left to chance."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from lightvad.artifacts.documents import read_json
from lightvad.artifacts.tables import BOXES, read_table
from lightvad.video.clips import ClipStore

from .conftest import STUDENT, Command
from .tiny_ped2 import (
    CONFIG,
    FRAMES,
    HEIGHT,
    TRAINING,
    WIDTH,
    Files,
    boxes_csv,
    drawn,
    edit,
    encoded,
    frame,
    jpeg_layout,
    official_layout,
    publish,
    publish_boxes,
    unrecorded,
    video,
    video_layout,
)

FETCH = ("fetch", "--dataset", "ped2", "--mirror", "mirror")
PREPARE = ("prepare", "--dataset", "ped2")
DETECT = ("detect", "--dataset", "ped2", "--device", "cpu", "--threads", "1")
CLIPS = Path("data/clips/ped2")
TIFF = "UCSD_Anomaly_Dataset.v1p2/UCSDped2/Train/Train001/{:03d}.tif"
GRAY = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in drawn("train", 1)]
OWNED = "OWNED"


@dataclass(frozen=True)
class Odd:
    """A clip Train001 that is odd: the files of a layout, and the frames uint8 (T, H, W, 3) RGB that they become."""

    name: str
    layout: str
    files: Callable[[], Files]
    becomes: list[np.ndarray]


def with_alpha(image: np.ndarray) -> np.ndarray:
    return np.concatenate([image, np.full((*image.shape[:2], 1), 40, np.uint8)], axis=2)


def gray_as_rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=2)


def jpegs(of: Callable[[int], np.ndarray]) -> Callable[[], Files]:
    changed = {f"ped2/training/frames/01/{t:03d}.jpg": encoded(".jpg", of(t)) for t in range(FRAMES)}
    return lambda: jpeg_layout(lambda members: members.update({n: c for n, c in changed.items() if n in members}))


def tiffs(of: Callable[[int], np.ndarray]) -> Callable[[], Files]:
    changed = {TIFF.format(t + 1): encoded(".tif", of(t)) for t in range(FRAMES)}
    return lambda: official_layout(lambda members: members.update(changed))


def clip(codec: str = "libx264", pixels: str = "yuv444p", **how: object) -> Callable[[], Files]:
    images = how.pop("images", drawn("train", 1))
    return lambda: video_layout(train1=video(images, codec=codec, pixels=pixels, **how))  # type: ignore[arg-type]


SMALL = [frame("train", 1, t, height=HEIGHT - 1, width=WIDTH - 1) for t in range(FRAMES)]
ODD = [
    Odd("video of a variable frame rate", "compact_h264", clip(times=(0, 1, 5, 6, 20, 21)), drawn("train", 1)),
    Odd("video that does not begin at time 0", "compact_h264", clip(times=range(30, 36)), drawn("train", 1)),
    Odd("video of odd height and width", "compact_h264", clip(images=SMALL), SMALL),
    Odd("video in gray", "compact_h264", clip("png", "gray"), [gray_as_rgb(image) for image in GRAY]),
    Odd("video of 10 bit", "compact_h264", clip(pixels="yuv444p10le"), drawn("train", 1)),
    Odd("video of 16 bit", "compact_h264", clip("png", "rgb48be"), drawn("train", 1)),
    Odd(
        "video with an alpha channel",
        "compact_h264",
        clip("png", "rgba", images=[with_alpha(image) for image in drawn("train", 1)]),
        drawn("train", 1),
    ),
    Odd("video of one frame", "compact_h264", clip(images=drawn("train", 1)[:1]), drawn("train", 1)[:1]),
    Odd("JPEG in gray", "jpeg", jpegs(lambda t: GRAY[t]), [gray_as_rgb(image) for image in GRAY]),
    Odd("JPEG of odd height and width", "jpeg", jpegs(lambda t: SMALL[t]), SMALL),
    Odd("TIFF of 16 bit", "official", tiffs(lambda t: GRAY[t].astype(np.uint16) * 257), [gray_as_rgb(i) for i in GRAY]),
    Odd("TIFF in colour with an alpha channel", "official", tiffs(lambda t: with_alpha(SMALL[t])), SMALL),
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_odd_pixels_and_times_are_decoded_frame_for_frame(
    odd: Odd, project: Callable[[str], Path], lightvad: Command
) -> None:
    """8 bit RGB, every frame once, in the order of its time: rates are the dataset's, alpha is dropped."""
    root = project("configured")
    publish(root, odd.layout, odd.files())
    frames = FRAMES + len(odd.becomes)
    edit(root, lambda content: content["frames"].update(train=frames))
    for command in (FETCH, PREPARE, DETECT):
        ended = lightvad(root, *command)
        assert ended.status == 0, ended.err
    store = ClipStore(root / CLIPS)
    height, width, _ = odd.becomes[0].shape
    info = store["Train001"]
    assert (info.frames, info.height, info.width, info.fps) == (len(odd.becomes), height, width, 10)
    for t, expected in enumerate(odd.becomes):
        found = store.frame("Train001", t)
        assert found.dtype == np.uint8
        assert np.abs(found.astype(int) - expected).mean() < 4, f"frame {t} shows something else"


def test_labels_of_one_class_are_evaluated_and_what_is_undefined_says_so(
    project: Callable[[str], Path], lightvad: Command
) -> None:
    root = project("scored")
    scores = root / STUDENT.folder / "frame_scores.parquet"
    pd.read_parquet(scores).assign(label=np.int8(1)).to_parquet(scores)
    unrecorded(root)
    assert lightvad(root, "evaluate", "--run", str(STUDENT.folder)).status == 0
    plain = read_json(root / STUDENT.folder / "metrics.json")["protocols"]["plain"]
    assert plain["micro_auc"] is None
    assert plain["n_single_class"] == plain["n_clips"] == 2
    assert plain["undefined"]["micro_auc"] == "all frames have the same label"


def test_a_split_without_boxes_is_told_clip_by_clip(project: Callable[[str], Path], lightvad: Command) -> None:
    root = project("prepared")
    publish_boxes(root, ".csv", boxes_csv("train", lambda lines: lines.__delitem__(slice(1, None))), boxes_csv("test"))
    assert lightvad(root, *FETCH, "--only", "detection").status == 0
    ended = lightvad(root, *DETECT)
    assert ended.status == 0
    told = [line for line in ended.lines if line.startswith("warning: ped2 import boxes: none in clip Train")]
    assert [re.findall(r"Train\d+", line) for line in told] == [["Train001"], ["Train002"]]
    assert set(read_table(root / "results/boxes/ped2/import.parquet", BOXES)["clip"]) == {"Test001", "Test002"}


NAMES = (
    "a b", "ünïcode ✓", "-x", "--help", "seed=1", f"$(touch {OWNED})", f"`touch {OWNED}`", f"a;touch {OWNED}",
    f"a\ntouch {OWNED}", "it's \"quoted\"", "%s {root} %20", "[a-b]*?", "~", "#!", "a&&b|c>d",
)  # fmt: skip


def nothing_was_run(root: Path) -> bool:
    return not list(root.parent.rglob(OWNED))


@pytest.mark.parametrize("name", NAMES)
def test_a_project_may_lie_in_a_folder_of_any_name(
    name: str, configured: Path, tmp_path: Path, lightvad: Command
) -> None:
    root = Path(shutil.copytree(configured, tmp_path / name / "project"))
    for command in (FETCH, PREPARE, DETECT):
        ended = lightvad(root, *command)
        assert ended.status == 0, ended.err
    assert {clip.frames for clip in ClipStore(root / CLIPS).clips()} == {FRAMES}
    assert nothing_was_run(root)


@pytest.mark.parametrize("name", NAMES)
def test_a_mirror_and_its_files_may_have_any_name(name: str, project: Callable[[str], Path], lightvad: Command) -> None:
    root = project("configured")
    (root / "mirror").rename(root / name)
    (root / name / TRAINING).rename(root / name / f"ped2/{name}.tar")
    edit(root, lambda content: content["layouts"]["jpeg"][0].update(file=f"ped2/{name}.tar"))
    mirror = str(root / name) if name == "~" else name  # a bare ~ is the home folder
    ended = lightvad(root, "fetch", "--dataset", "ped2", f"--mirror={mirror}")
    assert ended.status == 0, ended.err
    assert len(ended.lines) == 2, "a name breaks no line"
    assert lightvad(root, *PREPARE).status == 0
    told = shlex.split(read_json(root / "data/raw/ped2/records/fetch.json")["command"])
    assert told[told.index("--mirror") + 1] == mirror
    assert nothing_was_run(root)


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_may_have_any_name(name: str, project: Callable[[str], Path], lightvad: Command) -> None:
    root = project("prepared")
    (root / CLIPS / "train/Train001.zip").rename(root / CLIPS / f"train/{name}.zip")
    index = pd.read_parquet(root / CLIPS / "index.parquet")
    index.loc[index["clip"] == "Train001", "clip"] = name
    index.to_parquet(root / CLIPS / "index.parquet")
    unrecorded(root)
    ended = lightvad(root, *DETECT)
    assert ended.status == 0, ended.err
    assert (read_table(root / "results/boxes/ped2/motion.parquet", BOXES)["clip"] == name).sum() == FRAMES
    assert nothing_was_run(root)


EVIL = f"a b;touch {OWNED} $(touch {OWNED}) `touch {OWNED}` 'q\"\ntouch {OWNED}"


def test_the_command_of_a_record_does_the_same_in_a_shell(project: Callable[[str], Path], lightvad: Command) -> None:
    root = project("configured")
    (root / "mirror").rename(root / EVIL)
    assert lightvad(root, "fetch", "--dataset", "ped2", "--only", "clips", "--mirror", EVIL).status == 0
    record = root / "data/raw/ped2/records/fetch.json"
    first = read_json(record)
    shutil.rmtree(root / "data")
    script = f'lightvad() {{ {shlex.quote(sys.executable)} -m lightvad "$@"; }}; {first["command"]}'
    subprocess.run(["bash", "-c", script], cwd=root, check=True, capture_output=True)
    again = read_json(record)
    assert (again["command"], again["outputs"]) == (first["command"], first["outputs"])
    assert nothing_was_run(root)


def snakemake(root: Path, repository: Path, *arguments: str, **config: object) -> subprocess.CompletedProcess[str]:
    """Run snakemake with the repository's workflow on a project's data; `config`: keys of its config.yaml."""
    for name in ("Snakefile", "workflow", "profiles"):
        if not (root / name).exists():
            (root / name).symlink_to(repository / name)
    content = yaml.safe_load((root / "config/config.yaml").read_text()) | {"budget": "tiny"} | config
    (root / "config/config.yaml").write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(repository / "src")}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(("mirror", "gone"), [("own", "mirror own: no such folder"), (None, "found.at.seen: no files")])
def test_files_without_known_checksums_are_fetched_again_where_they_change(
    project: Callable[[str], Path], repository: Path, mirror: str | None, gone: str
) -> None:
    root, fetched = project("configured"), "data/raw/ped2/fetched.json"
    config = root / "config/datasets/ped2.yaml"
    content = yaml.safe_load(config.read_text())
    seen = root / "own" / "seen"
    at = {} if mirror else {"seen": str(seen)}
    content |= {"layouts": {}, "found": {"files": ["seen/*.txt"], "place": "put files there", "at": at}}
    config.write_text(yaml.safe_dump(content))
    seen.mkdir(parents=True)
    (seen / "a.txt").write_text("one")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return snakemake(root, repository, fetched, *arguments, datasets=["ped2"], mirror=mirror)

    assert run().returncode == 0
    assert "Nothing to be done" in (told := run("--dry-run")).stdout + told.stderr
    (seen / "b.txt").write_text("two")
    assert run().returncode == 0
    assert [entry["file"] for entry in json.loads((root / fetched).read_text())["files"]] == [
        "seen/a.txt",
        "seen/b.txt",
    ]
    (root / "own").rename(root / "elsewhere")
    refused = run()
    assert refused.returncode != 0
    assert gone in refused.stdout + refused.stderr


@pytest.mark.slow
def test_the_workflow_hands_on_a_mirror_of_any_name(project: Callable[[str], Path], repository: Path) -> None:
    root = project("configured")
    (root / "mirror").rename(root / EVIL)
    override = f"datasets.ped2.note=$(touch {OWNED})"
    ended = snakemake(root, repository, "data/raw/ped2/fetched.json", datasets=["ped2"], mirror=EVIL, set=[override])
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-4000:]
    told = json.loads((root / "data/raw/ped2/records/fetch.json").read_text())["command"]
    assert EVIL in shlex.split(told)
    assert nothing_was_run(root)
    assert (root / CONFIG).is_file()
