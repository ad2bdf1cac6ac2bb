"""Clips of the generated scene, with their truth, and their files under `data/clips/plaza`."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lightvad.artifacts.arrays import write_masks
from lightvad.artifacts.atomic import remove
from lightvad.artifacts.tables import BOXES, TRACKS, write_table
from lightvad.config import Dataset
from lightvad.datasets.clips import write_tables
from lightvad.datasets.plaza.cast import SCRIPTS, Actor, Director, cast_clip, cast_still
from lightvad.datasets.plaza.geometry import Camera
from lightvad.datasets.plaza.rendering import Body, Drawing, draw, exposed
from lightvad.datasets.plaza.scene import Scene, build_scene
from lightvad.datasets.plaza.settings import SPLITS, PlazaSettings, Split
from lightvad.errors import LightvadError
from lightvad.progress import track
from lightvad.project import parsed
from lightvad.video.clips import Clip, write_zip_clip

TRACKS_PER_CLIP = 1000
"""Track numbers are `clip number * TRACKS_PER_CLIP + place in the cast`: unique in the dataset."""


@dataclass(frozen=True)
class GeneratedClip:
    """A clip and the truth about it.

    Attributes:
        name: unique over all splits.
        frames: uint8 (T, H, W, 3) RGB.
        masks: bool (T, H, W), the visible pixels of abnormal objects; empty outside the test split, as the next two.
        labels: int8 (T,), 1 where an abnormal object is visible.
        tracks: table TRACKS of the abnormal objects, visible extent; a throw of papers is one object.
        boxes: table BOXES of everything that is in a class of the detector, visible extent, confidence 1.
    """

    name: str
    frames: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    tracks: pd.DataFrame
    boxes: pd.DataFrame


def clip_name(split: Split, number: int) -> str:
    """The name of clip `number` (from 1) of a split."""
    return f"{split}_{number:02d}"


def generate_clip(settings: PlazaSettings, split: Split, number: int) -> GeneratedClip:
    """Generate clip `number` (from 1) of `split`: independent of all other clips, the same bytes every time."""
    camera = Camera(*settings.frame_size)
    return _generate(settings, camera, build_scene(camera, settings.seed), split, number)


def enlarged(settings: PlazaSettings, scale: int) -> PlazaSettings:
    """The same clips in frames `scale` times larger, for pictures: people, paths and times stay as they are."""
    height, width = settings.frame_size
    larger = {"frame_size": (height * scale, width * scale), "minimal_pixels": settings.minimal_pixels * scale**2}
    return settings.model_copy(update=larger)


def settings_of(dataset: Dataset) -> PlazaSettings:
    """The settings in the section `generator:` of a dataset's file, checked against the rest of the file.

    Raises:
        LightvadError: an unknown key, an impossible value, or a contradiction.
    """
    where = f"config/datasets/{dataset.name}.yaml"
    settings = parsed(PlazaSettings, dataset.generator or {}, f"{where}: generator")
    clips = {split: settings.clips.of(split) for split in SPLITS}
    frames = {split: clips[split] * settings.frames_per_clip.of(split) for split in SPLITS}
    for key, given, generated in (
        ("fps", dataset.fps, settings.fps),
        ("frame_size", dataset.frame_size, settings.frame_size),
        ("clips", dataset.clips, clips),
        ("frames", dataset.frames, frames),
    ):
        if given != generated:
            message = f"{where}: {key}: is {given}, but its section `generator` makes {generated}; make them agree"
            raise LightvadError(message)
    return settings


def prepare(dataset: Dataset, *, raw: Path, root: Path) -> None:
    """Generate the dataset as its `generator:` section says; nothing is fetched, so `raw` is not looked at.

    Raises:
        LightvadError: the section has an unknown key or an impossible value, or contradicts the rest of the file.
    """
    del raw
    generate(settings_of(dataset), root)


def generate(settings: PlazaSettings, root: Path) -> None:
    """Write the dataset under `root`: clips, labels, masks, tracks, true boxes, and last the index.

    `truth_boxes.parquet` (table BOXES, all splits) trains the small detector on the `detector` split.
    """
    remove(root / "index.parquet")
    for folder in (*SPLITS, "masks"):
        shutil.rmtree(root / folder, ignore_errors=True)
    camera = Camera(*settings.frame_size)
    scene = build_scene(camera, settings.seed)
    jobs = [(split, number) for split in SPLITS for number in range(1, settings.clips.of(split) + 1)]
    clips, labels, boxes, tracks = [], [], [], []
    for split, number in track(jobs, total=len(jobs), what="plaza: generating", unit="clips"):
        clip = _generate(settings, camera, scene, split, number)
        write_zip_clip(root / split / f"{clip.name}.zip", _encoded(clip.frames))
        height, width = settings.frame_size
        source = f"generated, seed {settings.seed}"
        clips.append(Clip(clip.name, split, len(clip.frames), height, width, settings.fps, source))
        boxes.append(clip.boxes)
        if split == "test":
            write_masks(root / "masks" / f"{clip.name}.npz", clip.masks)
            frames = np.arange(len(clip.frames))
            labels.append(pd.DataFrame({"clip": clip.name, "frame": frames, "label": clip.labels}))
            tracks.append(clip.tracks)
    write_table(root / "truth_boxes.parquet", pd.concat(boxes), BOXES)
    write_tables(root, clips, labels=pd.concat(labels), tracks=pd.concat(tracks))


def _encoded(frames: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Frames as PNG files; the lowest compression, since noise hardly shrinks."""
    for t, frame in enumerate(frames):
        _, content = cv2.imencode(".png", frame[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        yield f"{t:06d}.png", content.tobytes()


def _generate(settings: PlazaSettings, camera: Camera, scene: Scene, split: Split, number: int) -> GeneratedClip:
    count = settings.frames_per_clip.of(split)
    rng = np.random.default_rng([settings.seed, SPLITS.index(split), number])
    sensor = np.random.default_rng([settings.seed, SPLITS.index(split), number, 1])
    truth = _Truth(settings, split, number, count)
    frames = np.empty((count, *settings.frame_size, 3), np.uint8)
    director = Director(camera, rng, count / settings.fps)
    script = SCRIPTS[(number - 1) % len(SCRIPTS)] if split == "test" else Director.nothing
    cast = [] if split == "detector" else cast_clip(director, script, settings.people)
    gain = 1.0
    for t in range(count):
        if split == "detector":
            cast = cast_still(camera, rng, settings.people)
        time = 0.0 if split == "detector" else t / settings.fps
        drawing = _drawn(settings, camera, scene, cast, time, ripple=t / settings.fps)
        truth.add(t, time, cast, drawing)
        gain = 1 + 0.8 * (gain - 1) + 0.6 * settings.flicker * float(sensor.standard_normal())
        frames[t] = exposed(drawing.image, sensor, gain=gain, noise=settings.noise)
    return truth.clip(frames)


def _drawn(
    settings: PlazaSettings, camera: Camera, scene: Scene, cast: list[Actor], time: float, *, ripple: float
) -> Drawing:
    """Draw the actors who are there at `time`; the owner map counts over the whole cast."""
    present = [(k, actor, pose) for k, actor in enumerate(cast) if (pose := actor.motion.at(time)) is not None]
    bodies = [Body(actor.body.parts(time, pose.distance), pose) for _, actor, pose in present]
    drawing = draw(scene, camera, bodies, time=ripple, supersampling=settings.supersampling)
    places = np.array([k for k, _, _ in present] + [-1], np.int16)
    extent = np.zeros(len(cast), np.int32)
    extent[places[:-1]] = drawing.extent
    return Drawing(drawing.image, places[drawing.owner], extent)


class _Truth:
    """Collects masks, labels, boxes and tracks while a clip is drawn."""

    def __init__(self, settings: PlazaSettings, split: Split, number: int, count: int) -> None:
        self.name = clip_name(split, number)
        self.split = split
        self.number = number
        self.minimal = settings.minimal_pixels
        self.masks = np.zeros((count, *settings.frame_size), bool)
        self.boxes: list[tuple[object, ...]] = []
        self.tracks: list[tuple[object, ...]] = []

    def add(self, t: int, time: float, cast: list[Actor], drawing: Drawing) -> None:
        """Note what frame `t` shows."""
        for k in np.unique(drawing.owner[drawing.owner >= 0]):
            shown = drawing.owner == k
            actor, pixels = cast[k], int(shown.sum())
            if pixels < self.minimal:
                continue
            rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
            box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            # A tenth of a body behind a tree is more than anyone would draw a box around.
            if actor.class_id is not None and pixels >= 0.2 * drawing.extent[k]:
                self.boxes.append((self.name, t, *box, 1.0, actor.class_id))
            if self.split == "test" and actor.is_abnormal(time):
                self.masks[t] |= shown
                self.tracks.append((self.number * TRACKS_PER_CLIP + int(k), self.name, t, *box))

    def clip(self, frames: np.ndarray) -> GeneratedClip:
        """The clip with its truth."""
        boxes = pd.DataFrame(self.boxes, columns=list(BOXES)).astype(BOXES)
        tracks = pd.DataFrame(self.tracks, columns=list(TRACKS)).astype(TRACKS)
        labels = np.array([mask.any() for mask in self.masks], np.int8)
        return GeneratedClip(self.name, frames, self.masks, labels, tracks, boxes)
