"""Synthetic anomalies in windows: where they come from, and the frame without them (section 3.4; sheet, section 4)."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lightvad.methods.aed_mae.settings import UBNORMAL, AnnotatedObjects, Synthetic
from lightvad.methods.protocol import Job
from lightvad.objects.annotated import SPLIT, AnnotatedPaster
from lightvad.objects.blobs import BlobPaster
from lightvad.objects.pasting import Paster
from lightvad.video.readers import WindowReader

HELDOUT_EVERY = 7
"""One in so many of UBnormal's clips is kept for held-out windows (project choice)."""


class Source(Protocol):
    """Where abnormal objects come from."""

    def paste(self, window: np.ndarray, clip: str, draw: np.random.Generator, count: int) -> np.ndarray:
        """Paste `count` objects into a window uint8 (H, W, 3F) of `clip`, in place.

        Returns:
            bool (H, W): where they lie in the current frame.
        """
        ...


@dataclass(frozen=True)
class OtherClips:
    """`clips`: objects of other training clips, made abnormal; they lie in their boxes."""

    paster: Paster

    def paste(self, window: np.ndarray, clip: str, draw: np.random.Generator, count: int) -> np.ndarray:
        """As `Source.paste`."""
        covered = np.zeros(window.shape[:2], bool)
        for item in self.paster.paste(window, clip, draw, abnormal=count):
            x1, y1, x2, y2 = item.bounds
            covered[y1:y2, x1:x2] = True
        return covered


@dataclass(frozen=True)
class Masked:
    """`blobs`, and `ubnormal`: annotated objects of its abnormal training clips; both lie on masks of their own."""

    paster: BlobPaster | AnnotatedPaster

    def paste(self, window: np.ndarray, clip: str, draw: np.random.Generator, count: int) -> np.ndarray:
        """As `Source.paste`."""
        del clip
        return self.paster.paste(window, draw, count=count)


@dataclass(frozen=True)
class Anomalies:
    """What is pasted into windows.

    Attributes:
        settings: how often and how many.
        source: of abnormal objects.
        unchanged: pastes unchanged objects of other clips, which stay in the target; None: there are none.
    """

    settings: Synthetic
    source: Source
    unchanged: Paster | None

    def paste(self, window: np.ndarray, clip: str, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Paste objects into a window uint8 (H, W, 3F) of `clip`, in place.

        Returns:
            The window without the abnormal ones (`window` itself if there are none), and where they lie, bool (H, W).
        """
        settings = self.settings
        further = int(draw.integers(1, settings.normal + 1)) if draw.random() < settings.normal_share else 0
        others = int(draw.integers(1, settings.abnormal + 1))
        abnormal = draw.random() < settings.share
        if self.unchanged is not None:
            # As many objects as in a frame with an anomaly, so that their number does not give it away.
            self.unchanged.paste(window, clip, draw, unchanged=further if abnormal else further + others)
        if not abnormal:
            return window, np.zeros(window.shape[:2], bool)
        clean = window.copy()
        return clean, self.source.paste(window, clip, draw, others)


def anomalies_of(job: Job, reader: WindowReader, *, heldout: bool) -> Anomalies | None:
    """The synthetic anomalies of a run, in windows of its training clips; None: its settings want none.

    Args:
        job: the run.
        reader: reads the windows.
        heldout: in windows of the held-out clips, with objects that the others do not see.

    Raises:
        LightvadError: no object can be pasted.
    """
    settings: Synthetic | None = job.settings.synthetic
    if settings is None:
        return None
    names = sorted(job.heldout) if heldout else job.training_clips()
    paster = None
    if settings.needs_boxes:
        paster = Paster(reader, job.boxes, names, settings.changes, smallest=settings.smallest)
    unchanged = paster if settings.normal_share else None
    if settings.source == "clips":
        assert paster is not None  # noqa: S101 - this source needs boxes
        return Anomalies(settings, OtherClips(paster), unchanged)
    if settings.source == UBNORMAL:
        return Anomalies(settings, Masked(_of_ubnormal(job, reader, settings.ubnormal, heldout=heldout)), unchanged)
    blobs = settings.blobs
    drawn = BlobPaster(
        reader.frame_size, reader.offsets,
        height=blobs.height, aspect=blobs.aspect, standing=blobs.standing, speed=blobs.speed,
    )  # fmt: skip
    return Anomalies(settings, Masked(drawn), unchanged)


def _of_ubnormal(job: Job, reader: WindowReader, settings: AnnotatedObjects, *, heldout: bool) -> AnnotatedPaster:
    """Every seventh clip of UBnormal is for held-out windows; of fewer than four, all are for both."""
    clips = job.other_clips[UBNORMAL]
    names = [clip.name for clip in clips.clips(SPLIT)]
    kept = names[HELDOUT_EVERY // 2 :: HELDOUT_EVERY]
    if kept:
        names = kept if heldout else [name for name in names if name not in kept]
    return AnnotatedPaster(
        clips, names, frame_size=reader.frame_size, offsets=reader.offsets,
        smallest=settings.smallest, largest=settings.largest, appearance=settings.appearance,
    )  # fmt: skip
