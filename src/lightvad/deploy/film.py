"""What people look at: the timeline of a video's scores, and the video with the detector's findings drawn on it."""

import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import cv2
import numpy as np
from matplotlib.figure import Figure

from lightvad.artifacts.atomic import atomic_path
from lightvad.deploy.alarms import Event, box_of
from lightvad.errors import LightvadError
from lightvad.reporting.style import ABNORMAL_COLOUR, COLUMN_INCHES, DOTS_PER_INCH, OUTLINE_COLOUR, colour_of, styled

CLOCK = 90_000
"""Units of a film's time in a second."""
STRIP_PIXELS = 56
"""Height of the strip of scores below the picture."""
LOWEST_HEAT, HIGHEST_HEAT = 0.5, 0.999
"""Quantiles of the video's maps between which heat is drawn."""
STRONGEST = 0.55
"""Share of the heat's colour where it is hottest."""
INK, PAPER, CURVE, ALARM, BAND = (40, 40, 40), (250, 250, 250), (0, 94, 213), (0, 0, 200), (210, 217, 243)
"""BGR."""


class Maps(Protocol):
    """Anomaly maps float (h, w) of a video's frames, each read when it is drawn."""

    def __len__(self) -> int: ...

    def __getitem__(self, t: int) -> np.ndarray: ...


def draw_timeline(
    path: Path,
    *,
    title: str,
    seconds: np.ndarray,
    raw: np.ndarray,
    smoothed: np.ndarray,
    threshold: float | None,
    events: Sequence[Event],
) -> None:
    """Draw raw and smoothed scores (T,), the threshold, and the alarms as bands over `seconds` (T + 1,); a PNG."""
    shown = seconds[:-1]
    with styled():
        canvas = Figure(figsize=(2 * COLUMN_INCHES, 2.2), layout="constrained")
        axes = canvas.subplots()
        axes.plot(shown, raw, color="#999999", linewidth=0.6, label="score")
        axes.plot(shown, smoothed, color=colour_of(0), label="smoothed")
        for k, event in enumerate(events):
            label = "alarm" if k == 0 else None
            axes.axvspan(seconds[event.first], seconds[event.last + 1], color=ABNORMAL_COLOUR, zorder=0, label=label)
        if threshold is not None:
            axes.axhline(threshold, color="#333333", linewidth=0.8, linestyle=(0, (4, 2)), label="threshold")
        axes.set(xlabel="seconds", ylabel="anomaly score", xlim=(0, seconds[-1]))
        alarms = "no threshold" if threshold is None else f"{len(events)} alarm{'' if len(events) == 1 else 's'}"
        axes.set_title(f"{title}: {alarms}", loc="left")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        with atomic_path(path) as temporary:
            canvas.savefig(temporary, dpi=DOTS_PER_INCH, metadata={"Software": None})


def write_film(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    fps: float,
    seconds: np.ndarray,
    smoothed: np.ndarray,
    maps: Maps,
    threshold: float | None,
    events: Sequence[Event],
) -> None:
    """Write the video with heat where the finest map is high, boxes while there is an alarm, and a strip of scores.

    Args:
        path: an MP4 (H.264).
        frames: uint8 (H, W, 3) RGB, T of them.
        fps: their mean rate.
        seconds: when each is shown (T + 1,); the film keeps the video's own times.
        smoothed: smoothed scores (T,).
        maps: T of (h, w).
        threshold: of the smoothed scores, or None.
        events: the alarms.

    Raises:
        LightvadError: the film cannot be written.
    """
    chosen = np.stack([maps[t] for t in range(0, len(maps), max(1, len(maps) // 500))]).astype(np.float32)
    low, high = (float(one) for one in np.quantile(chosen, (LOWEST_HEAT, HIGHEST_HEAT)))
    alarmed = np.zeros(len(smoothed), bool)
    for event in events:
        alarmed[event.first : event.last + 1] = True
    frames = iter(frames)
    first = next(frames)
    strip = _strip(smoothed, threshold, events, width=first.shape[1])
    with atomic_path(path) as temporary:
        try:
            with av.open(str(temporary), "w", options={"movflags": "faststart"}) as container:
                stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
                stream.codec_context.time_base = Fraction(1, CLOCK)
                stream.width, stream.height = _even(first.shape[1]), _even(first.shape[0] + STRIP_PIXELS)
                stream.pix_fmt, stream.options = "yuv420p", {"crf": "23", "preset": "veryfast"}
                for t, frame in enumerate(itertools.chain([first], frames)):
                    anomaly_map = maps[t].astype(np.float32)
                    picture = _heated(frame, anomaly_map, low, high)
                    _annotate(picture, seconds[t], float(smoothed[t]), anomaly_map if alarmed[t] else None)
                    joined = np.concatenate([picture, _with_cursor(strip, t / len(smoothed))])
                    missing = (stream.height - joined.shape[0], stream.width - joined.shape[1])
                    whole = np.pad(joined, ((0, missing[0]), (0, missing[1]), (0, 0)), "edge")
                    shown = av.VideoFrame.from_ndarray(whole, format="bgr24")
                    shown.pts, shown.time_base = round(seconds[t] * CLOCK), Fraction(1, CLOCK)
                    container.mux(stream.encode(shown))
                container.mux(stream.encode())
        except av.FFmpegError as error:
            message = f"{path}: the film cannot be written ({error}); free disk space, or leave it out with --no-film"
            raise LightvadError(message) from error


def _even(side: int) -> int:
    """H.264 with 4:2:0 colour wants even sides."""
    return side + side % 2


def _heated(frame: np.ndarray, anomaly_map: np.ndarray, low: float, high: float) -> np.ndarray:
    """A frame RGB as BGR, redder where the map is high."""
    coarse = np.clip((anomaly_map - low) / max(high - low, 1e-9), 0, 1)
    heat = cv2.resize(coarse, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = (STRONGEST * heat)[..., None]
    return (frame[..., ::-1] * (1 - share) + colours * share).astype(np.uint8)


def _annotate(picture: np.ndarray, seconds: float, score: float, anomaly_map: np.ndarray | None) -> None:
    scale = max(0.4, picture.shape[0] / 700)
    text = f"{seconds:.1f} s  score {score:.3f}"
    if anomaly_map is not None:
        x1, y1, x2, y2 = box_of(anomaly_map, (picture.shape[0], picture.shape[1]))
        cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), OUTLINE_COLOUR[::-1], 2)
        text += "  ALARM"
    place = (6, round(22 * scale + 4))
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 3, cv2.LINE_AA)
    colour = (80, 80, 255) if anomaly_map is not None else (255, 255, 255)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)


def _strip(smoothed: np.ndarray, threshold: float | None, events: Sequence[Event], *, width: int) -> np.ndarray:
    """The scores of the whole video, BGR (STRIP_PIXELS, width, 3): alarms red, the threshold a line."""
    strip = np.full((STRIP_PIXELS, width, 3), PAPER, np.uint8)
    values = smoothed if threshold is None else np.append(smoothed, threshold)
    low, high = float(values.min()), float(values.max())

    def height(value: np.ndarray | float) -> np.ndarray:
        return np.round((STRIP_PIXELS - 5) * (1 - (np.asarray(value) - low) / max(high - low, 1e-9)) + 2).astype(
            np.int32
        )

    columns = np.arange(len(smoothed)) * width // len(smoothed)
    for event in events:
        strip[:, columns[event.first] : columns[event.last] + 1] = BAND
    cv2.polylines(strip, [np.stack([columns, height(smoothed)], axis=1).astype(np.int32)], False, CURVE, 1, cv2.LINE_AA)
    if threshold is not None:
        y = int(height(threshold))
        cv2.line(strip, (0, y), (width - 1, y), ALARM, 1)
    return strip


def _with_cursor(strip: np.ndarray, share: float) -> np.ndarray:
    moved = strip.copy()
    x = min(int(share * strip.shape[1]), strip.shape[1] - 1)
    moved[:, max(0, x - 1) : x + 1] = INK
    return moved
