"""What the report's page needs to draw speed-accuracy plots and score curves that answer to the reader's hand."""

import base64
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import cv2
import numpy as np

from lightvad.reporting.shown_frames import frame_strip
from lightvad.reporting.speed_accuracy import MEASURED
from lightvad.reporting.style import colour_of
from lightvad.video.clips import ClipStore

Line = Mapping[str, str]
Drawing = dict[str, Any]
"""JSON for one canvas of the page: `kind`, `title`, and what the kind needs (see templates/report.js)."""

SHEET_FRAMES, SHEET_COLUMNS, SHEET_WIDTH = 40, 8, 288
SHEET_QUALITY = 62
DASHES: tuple[list[int], ...] = ([], [7, 3], [2, 3], [8, 3, 2, 3], [], [5, 5])
NUMBERS = ("fps", "micro_auc", "plain", "ci95_low", "ci95_high")


def speed_plots(lines: Sequence[Line], titles: Mapping[str, str]) -> list[Drawing]:
    """The points of a speed-accuracy figure, a drawing for each dataset that has measured ones.

    Args:
        lines: of the figure's CSV.
        titles: dataset -> title.
    """
    drawings = []
    for dataset, group in groupby(lines, key=lambda line: line["dataset"]):
        points = [{key: _number(line, key) if key in NUMBERS else line[key] for key in line} for line in group]
        names = dict.fromkeys(point["label"] for point in points if point["source"] == MEASURED)
        if names:
            methods = [{"name": name, "colour": colour_of(position)} for position, name in enumerate(names)]
            drawings.append({"kind": "speed", "title": titles[dataset], "points": points, "methods": methods})
    return drawings


def score_plots(lines: Sequence[Line], titles: Mapping[str, str], stores: Mapping[str, ClipStore]) -> list[Drawing]:
    """The curves of a score figure, a drawing for each dataset, with frames of its clip to scrub through.

    Args:
        lines: of the figure's CSV.
        titles: dataset -> title.
        stores: dataset -> its clips.
    """
    drawings = []
    for dataset, group in groupby(lines, key=lambda line: line["dataset"]):
        own = list(group)
        clip = own[0]["clip"]
        methods = {name: list(curve) for name, curve in groupby(own, key=lambda line: line["method"])}
        first = next(iter(methods.values()))
        drawings.append(
            {
                "kind": "scores",
                "title": f"{titles[dataset]}, clip {clip}",
                "frames": [int(line["frame"]) for line in first],
                "labels": [int(line["label"]) for line in first],
                "curves": [
                    {
                        "method": name,
                        "colour": colour_of(position),
                        "dash": DASHES[position % len(DASHES)],
                        "values": [round(float(line["drawn"]), 3) for line in curve],
                    }
                    for position, (name, curve) in enumerate(methods.items())
                ],
                "sheet": frame_sheet(stores[dataset], clip),
            }
        )
    return drawings


def frame_sheet(store: ClipStore, clip: str) -> Drawing:
    """Frames spread over a clip as one picture, with the outline of the truth.

    Returns:
        `frames` (their numbers), `columns`, `width` and `height` of one frame, `image` (WebP in base64).
    """
    length = store[clip].frames
    count = min(SHEET_FRAMES, length)
    frames = [int((k + 0.5) * length / count) for k in range(count)]
    strip = frame_strip(store, clip, frames)
    height = max(1, round(SHEET_WIDTH * strip.height / strip.width))
    columns = min(SHEET_COLUMNS, count)
    sheet = np.zeros((math.ceil(count / columns) * height, columns * SHEET_WIDTH, 3), np.uint8)
    for position, image in enumerate(strip.images):
        y, x = position // columns * height, position % columns * SHEET_WIDTH
        small = cv2.resize(image, (SHEET_WIDTH, height), interpolation=cv2.INTER_AREA)
        sheet[y : y + height, x : x + SHEET_WIDTH] = small
    return {
        "frames": frames,
        "columns": columns,
        "width": SHEET_WIDTH,
        "height": height,
        "image": webp(cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), SHEET_QUALITY),
    }


def webp(image: np.ndarray, quality: int) -> str:
    """A picture, uint8 (H, W, 3) BGR, as WebP in base64; quality 1 to 100, above: without loss."""
    _, encoded = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return base64.b64encode(encoded.tobytes()).decode()


def _number(line: Line, key: str) -> float | None:
    return float(line[key]) if line[key] else None
