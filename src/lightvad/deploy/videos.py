"""Videos in, for each: scores, events, a timeline and an annotated film."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from lightvad.artifacts.atomic import atomic_path, write_text
from lightvad.artifacts.scratch import scratch_folder
from lightvad.artifacts.tables import UNKNOWN, VIDEO_SCORES, write_table
from lightvad.deploy.alarms import Event, box_of, events, kept_map
from lightvad.deploy.detectors import Detector
from lightvad.deploy.film import draw_timeline, write_film
from lightvad.errors import LightvadError
from lightvad.progress import say, track
from lightvad.video.decoding import VideoInfo, frames_in_order, video_info


class StoredMaps:
    """Maps float16 (T, h, w) in a file, one after another; one of them is in memory at a time, however many there are.

    Args:
        path: of the file.
        shape: (T, h, w).
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self._path = path
        self._count, *self._shape = shape

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, t: int) -> np.ndarray:
        """The map of frame t: float16 (h, w)."""
        cells = int(np.prod(self._shape))
        found = np.fromfile(self._path, np.float16, cells, offset=t * cells * np.dtype(np.float16).itemsize)
        return found.reshape(self._shape)


@dataclass(frozen=True)
class Scores:
    """The scores of one video.

    Attributes:
        raw: float64 (T,).
        smoothed: float64 (T,).
        seconds: float64 (T + 1,): when each frame is shown, from the first; last, when the video ends.
        events: empty without a threshold.
        maps: the finest ones.
    """

    raw: np.ndarray
    smoothed: np.ndarray
    seconds: np.ndarray
    events: list[Event]
    maps: StoredMaps


def score_video(
    detector: Detector, path: Path, out: Path, *, threshold: float | None, batch: int, film: bool
) -> list[Event]:
    """Score a video; write its files into `out`, each named after it (NAME: without its suffix).

    NAME.scores.parquet and .csv (table VIDEO_SCORES), NAME.events.jsonl (only with a threshold), NAME.timeline.png, and
    NAME.annotated.mp4 with the map, the alarms' boxes and the scores drawn on it.

    Args:
        detector: what scores it.
        path: the video.
        out: a folder.
        threshold: of the smoothed scores; None: no alarms.
        batch: windows in one pass.
        film: whether to write the film, for which the video is decoded once more.

    Returns:
        The alarms.

    Raises:
        LightvadError: the video cannot be read, or `out` not be written.
    """
    info = video_info(path)
    with scratch_folder(out) as scratch:
        scores = _scores(detector, path, info, Path(scratch, "maps"), threshold=threshold, batch=batch)
        name = out / path.stem
        _write_scores(name, scores, threshold)
        draw_timeline(
            name.with_name(f"{name.name}.timeline.png"), title=path.name, seconds=scores.seconds, raw=scores.raw,
            smoothed=scores.smoothed, threshold=threshold, events=scores.events,
        )  # fmt: skip
        annotated = name.with_name(f"{name.name}.annotated.mp4")
        annotated.unlink(missing_ok=True)  # of an earlier call
        if film:
            frames = track(frames_in_order(path), total=len(scores.raw), what=f"{path.name} film", unit="frames")
            write_film(
                annotated, frames, fps=info.fps, seconds=scores.seconds, smoothed=scores.smoothed,
                maps=scores.maps, threshold=threshold, events=scores.events,
            )  # fmt: skip
    return scores.events


def _scores(
    detector: Detector, path: Path, info: VideoInfo, scratch: Path, *, threshold: float | None, batch: int
) -> Scores:
    raw: list[np.ndarray] = []
    times: list[float] = []
    shape: tuple[int, int] = (0, 0)
    frames = track(frames_in_order(path, times), total=info.frames, what=f"{path.name} scores", unit="frames")
    try:
        with scratch.open("wb") as file:
            for scores, maps in detector.scored(frames, fps=info.fps, batch=batch):
                raw.append(scores.numpy())
                finest = [kept_map(one) for one in max(maps, key=lambda one: one.shape[-1] * one.shape[-2]).numpy()]
                shape = finest[0].shape
                file.writelines(one.tobytes() for one in finest)
    except OSError as error:
        message = f"{scratch}: cannot be written ({error.strerror}); free disk space and run again"
        raise LightvadError(message) from error
    together = np.concatenate(raw).astype(np.float64)
    if not np.isfinite(together).all():
        message = f"{path}: frame {int(np.argmin(np.isfinite(together)))}: score is NaN or infinite; export again"
        raise LightvadError(message)
    if info.frames - len(together) >= info.fps:
        say(
            f"{path}: ends after {len(together) / info.fps:.1f} s, but its header promises"
            f" {info.frames / info.fps:.1f} s: it is scored as far as it goes; get the whole file for the rest"
        )
    kept = StoredMaps(scratch, (len(together), *shape))
    smoothed = detector.smoothed(together, info.fps)
    found = events(smoothed, threshold=threshold, fps=info.fps) if threshold is not None else []
    placed = [
        replace(event, box=box_of(kept[event.peak].astype(np.float32), (info.height, info.width))) for event in found
    ]
    return Scores(together, smoothed, _seconds(path, np.array(times), info.fps), placed, kept)


def _seconds(path: Path, times: np.ndarray, fps: float) -> np.ndarray:
    """When frames are shown, from the first, and when the last one ends: float64 (T + 1,).

    Args:
        path: the video.
        times: presentation times in seconds (T,), NaN where the file gives none.
        fps: the video's mean rate, for the length of the last frame.
    """
    if np.isnan(times).any() or (np.diff(times) <= 0).any():
        say(f"{path}: its frames have no time stamps in order: seconds are counted at {fps:g} frames a second")
        times = np.arange(len(times)) / fps
    return np.append(times, times[-1] + 1 / fps) - times[0]


def _write_scores(name: Path, scores: Scores, threshold: float | None) -> None:
    abnormal = np.full(len(scores.raw), UNKNOWN) if threshold is None else (scores.smoothed >= threshold).astype(int)
    frames = np.arange(len(scores.raw))
    table = pd.DataFrame(
        {
            "frame": frames,
            "seconds": scores.seconds[:-1],
            "score": scores.raw,
            "smoothed": scores.smoothed,
            "abnormal": abnormal,
        }
    )
    write_table(name.with_name(f"{name.name}.scores.parquet"), table, VIDEO_SCORES)
    with atomic_path(name.with_name(f"{name.name}.scores.csv")) as temporary:
        shown = table.assign(seconds=table["seconds"].map("{:.3f}".format))
        shown.to_csv(temporary, index=False, float_format="%.6g")
    path = name.with_name(f"{name.name}.events.jsonl")
    if threshold is None:
        path.unlink(missing_ok=True)  # of an earlier call with a threshold
    else:
        write_text(path, "".join(_lines(scores)))


def _lines(scores: Scores) -> Iterator[str]:
    for event in scores.events:
        yield json.dumps(event.as_json(lambda frame: float(scores.seconds[frame]))) + "\n"
