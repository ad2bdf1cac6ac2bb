"""The configuration of a new dataset: one fixed camera's own videos, which are probed first."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
import yaml

from lightvad.artifacts.atomic import write_text
from lightvad.config import Dataset
from lightvad.datasets.folder import SUFFIXES, check_names, check_training, read_ranges
from lightvad.errors import LightvadError
from lightvad.progress import track
from lightvad.project import Project, parsed
from lightvad.video.decoding import VideoFrames

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""No dot, which would part the keys of `--set datasets.NAME.key`."""
LARGEST = 360 * 640
"""Pixels of the frames at which the paper's network works."""
MULTIPLE = 8
"""Of the sides of a frame as frame methods see it, pixels."""
SMALLEST = 16
"""Shortest side that the configuration allows, pixels."""
SHARE = 1000
"""A moving region of this part of a frame is an object."""
FILTERED = 240 * 360
"""Cells of the map that is mean-filtered for the frame score, as in the dataset `folder`: about so many, not more."""
SAME_RATE = 0.01
"""Share by which frame rates of one camera may differ, as when the videos are prepared."""

TEMPLATE = """\
# Videos of one camera, written by `lightvad new-dataset {name}`: yours to change and to commit.
name: {name}
title: {name} # as tables and figures call it
# What the videos have; another value is refused.
fps: {fps}
# Height and width at which frame methods see a frame (the videos have {height}x{width}). Smaller is faster.
frame_size: [{frame_height}, {frame_width}]
clips: {{}}
frames: {{}}

note: ""
reader: folder
generator: null
layouts: {{}}
found:
  files: ["normal/*", "score/*"]
  optional: ["labels.csv"]
  place: "put videos there, or write here where they lie now"
  # Where they lie on this machine. Where videos come, go or change, the next call fetches, prepares and trains again.
  at:
    normal: {normal}
    score: {score}
    {labels} # clip,first,last: abnormal frames of videos of `score`, counted from 0

detection:
  backend: motion
  # Gray levels of a change, pixels of the smallest region, frames between the compared frames.
  motion: {{threshold: 15, minimal_area: {minimal_area}, gap: 2}}

# SSMTL's fourth task needs a detector's classes: name one (detection.class_probabilities), or leave the task out.
methods:
  ssmtl: {{tasks: [arrow, irregularity, middle]}}
  aed_mae: {{network: {{input_size: [320, 640], patch: 16}}}}

map_resolutions: [4, 8, 16]
extra_map_resolutions: []
heldout_fraction: 0.15
object_maps: {{block_scale: {block_scale}, filter_size: 5}}
smoothing:
  plain_seconds: 0.5
"""


@dataclass(frozen=True)
class Probe:
    """What a video has: decoded frames, their size in pixels, frames per second."""

    path: Path
    frames: int
    height: int
    width: int
    fps: float


def run(project: Project, name: str, *, normal: Path, test: Path | None, labels: Path | None) -> None:
    """Write `config/datasets/NAME.yaml` of the videos in two folders, and say what is in them and what to do next.

    Args:
        project: where it is written.
        name: of the new dataset.
        normal: a folder of videos of normal life.
        test: a folder of videos to score.
        labels: the abnormal frames of the videos of `test`; None: nothing is known of them.

    Raises:
        LightvadError: the name is taken or cannot be one, there are too few videos, one cannot be decoded to its end
            or has another size or frame rate than the others, or the labels do not fit the videos.
    """
    _check_name(project, name)
    if test is None:
        message = (
            "new-dataset: --test: name a folder with at least one video to score (without labels, and of normal life"
            " too, if you have no other): the pipeline trains no student without one"
        )
        raise LightvadError(message)
    folders = {"normal": _videos_in(normal, "--normal"), "score": _videos_in(test, "--test")}
    check_training(len(folders["normal"]), f"--normal {normal}")
    check_names([path.stem for videos in folders.values() for path in videos], f"--normal {normal}, --test {test}")
    if labels is not None and not labels.is_file():
        message = f"--labels {labels}: no such file; name a CSV with the columns clip,first,last, or leave it out"
        raise LightvadError(message)
    wanted = [path for videos in folders.values() for path in videos]
    probes = [_probe(path) for path in track(wanted, total=len(wanted), what="decode", unit="videos")]
    _check_alike(probes)
    of = {part: [probe for probe in probes if probe.path in videos] for part, videos in folders.items()}
    marked = None if labels is None else read_ranges(labels, {probe.path.stem: probe.frames for probe in of["score"]})

    where = f"config/datasets/{name}.yaml"
    text = _text(name, probes[0], normal=normal, test=test, labels=labels)
    dataset = parsed(Dataset, yaml.safe_load(text), where)
    write_text(project.root / where, text)

    typer.echo(where)
    for part, videos in of.items():
        typer.echo(f"  {part:8}{_told(videos)}")
    if marked is None:
        typer.echo("  labels  none: everything is scored, no AUC is computed")
    else:
        abnormal, frames = sum(int(own.sum()) for own in marked.values()), sum(map(len, marked.values()))
        typer.echo(f"  labels  {abnormal} of {frames} frames are abnormal")
    height, width = dataset.frame_size
    typer.echo(f"  frames  {height}x{width} pixels for the student (frame_size)")
    typer.echo("Next:")
    typer.echo(f"  make reproduce DATASET={name} BUDGET=smoke    # whether all of it runs; its numbers mean nothing")
    typer.echo(f"  make reproduce DATASET={name} BUDGET=quick")


def frame_size(height: int, width: int) -> tuple[int, int]:
    """Height and width at which frame methods see a frame of this size: proportions kept, never enlarged.

    At most about as many pixels as 360x640; sides are rounded to multiples of 8, and are 16 pixels or more.
    """
    scale = min(1.0, math.sqrt(LARGEST / (height * width)))
    return _rounded(height * scale), _rounded(width * scale)


def _rounded(side: float) -> int:
    return max(SMALLEST, MULTIPLE * round(side / MULTIPLE))


def _check_name(project: Project, name: str) -> None:
    """Check that a dataset can have this name, and none has it.

    Raises:
        LightvadError: it cannot, or one has; or the project has no configuration.
    """
    project.config()
    if not NAME.fullmatch(name):
        message = f"new-dataset {name}: no name for a dataset; take small letters, digits, _ and -, e.g. my_camera"
        raise LightvadError(message)
    if (project.root / "config/datasets" / f"{name}.yaml").exists():
        message = f"config/datasets/{name}.yaml: is there already; take another name, or delete that file first"
        raise LightvadError(message)


def _videos_in(folder: Path, option: str) -> list[Path]:
    """The videos in a folder, by name.

    Raises:
        LightvadError: there is no such folder, or no video in it.
    """
    if not folder.is_dir():
        message = f"{option} {folder}: no such folder; name one that holds videos"
        raise LightvadError(message)
    videos = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    if not (files := sorted(path for path in videos if path.is_file())):
        message = f"{option} {folder}: no videos; put {', '.join(SUFFIXES)} into it"
        raise LightvadError(message)
    return files


def _probe(path: Path) -> Probe:
    """Decode a video from end to end.

    Raises:
        LightvadError: it cannot be decoded, says no frame rate, or ends a second or more before its header says.
    """
    video = VideoFrames(path)
    if not video.fps:
        message = f"{path}: says no frame rate; remux it (`ffmpeg -i IN -c copy -r RATE OUT.mp4`)"
        raise LightvadError(message)
    if video.promised - len(video) > max(video.fps, SAME_RATE * video.promised):
        message = (
            f"{path}: its header promises {video.promised} frames, {len(video)} can be decoded: it is cut off; get it"
            " again, or, if it is all there is, remux it (`ffmpeg -i IN -c copy OUT.mp4`)"
        )
        raise LightvadError(message)
    height, width, _ = video[0].shape
    return Probe(path, len(video), height, width, video.fps)


def _check_alike(probes: Sequence[Probe]) -> None:
    """Check that all videos have the size and frame rate of the first.

    Raises:
        LightvadError: one has another.
    """
    first = probes[0]
    for other in probes[1:]:
        if (other.height, other.width) != (first.height, first.width):
            message = (
                f"{other.path}: {other.height}x{other.width} pixels, but {first.path} has {first.height}x{first.width};"
                " a dataset is one camera: take it out, or scale it"
                f" (`ffmpeg -i IN -vf scale={first.width}:{first.height} OUT.mp4`)"
            )
            raise LightvadError(message)
        if abs(other.fps - first.fps) > SAME_RATE * first.fps:
            message = (
                f"{other.path}: {other.fps:g} frames a second, but {first.path} has {first.fps:g}; take it out, or"
                f" convert it (`ffmpeg -i IN -r {first.fps:g} OUT.mp4`)"
            )
            raise LightvadError(message)


def _text(name: str, probe: Probe, *, normal: Path, test: Path, labels: Path | None) -> str:
    """The YAML of the dataset whose videos are like `probe`."""
    area = probe.height * probe.width
    frame_height, frame_width = frame_size(probe.height, probe.width)
    return TEMPLATE.format(
        name=name,
        fps=f"{probe.fps:.5g}",
        height=probe.height,
        width=probe.width,
        frame_height=frame_height,
        frame_width=frame_width,
        normal=_quoted(normal),
        score=_quoted(test),
        labels="# labels.csv: /..." if labels is None else f"labels.csv: {_quoted(labels)}",
        minimal_area=max(1, round(area / SHARE)),
        block_scale=max(1, round(math.sqrt(area / FILTERED))),
    )


def _quoted(path: Path) -> str:
    """A whole path as a YAML string on one line."""
    return str(yaml.safe_dump(str(path.resolve()), default_style='"', allow_unicode=True, width=math.inf)).strip()


def _told(videos: Sequence[Probe]) -> str:
    frames, first = sum(video.frames for video in videos), videos[0]
    return (
        f"{len(videos)} video{'' if len(videos) == 1 else 's'}, {frames} frames ({frames / first.fps:.0f} s),"
        f" {first.height}x{first.width} pixels at {first.fps:g} frames a second"
    )
