"""Frames as a method draws them (AED-MAE, Figures 5 and 7), and frames with pasted anomalies (Figure 3)."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from lightvad.artifacts.pictures import ShownFrame, read_shown
from lightvad.artifacts.tables import FRAME_SCORES, read_table
from lightvad.config import PASTED_NAME, RECONSTRUCTIONS_NAME, Figure
from lightvad.errors import LightvadError
from lightvad.reporting.picture_rows import PictureBlock, PictureRow, draw, overlay
from lightvad.reporting.selection import Shown
from lightvad.reporting.shown_frames import FrameStrip, outlined
from lightvad.reporting.style import colour_of

COLUMNS = ["dataset", "clip", "frame", "part", "height", "width", "mean", "largest", "sha256"]
FRAMES, LEAST_NORMAL = 5, 1
CONTOUR_COLOUR = (255, 0, 0)
PARTS_OF_PASTED = ("clean", "pasted", "anomalies")


def reconstructed(shown: Shown, figure: Figure, dataset: str, clips: Sequence[str]) -> list[ShownFrame]:
    """At most five of the frames that the run kept of `clips`: one normal, the rest abnormal, as far as there are.

    Raises:
        LightvadError: the run kept none of these clips, or not what the figure shows.
    """
    run = shown.runs(figure.rows[0], dataset)[0]
    path = shown.root / run.folder / RECONSTRUCTIONS_NAME
    remedy = f"give `shown_frames` to {run.method}/{run.variant} and run `lightvad score --run {run.folder}` again"
    kept = read_shown(path, clips, remedy=remedy)
    if not kept:
        message = f"{path}: no frame of {', '.join(clips)}; {remedy}"
        raise LightvadError(message)
    _check_parts(kept, figure.parts, f"{path}", remedy)
    scores = read_table(shown.root / run.folder / "frame_scores.parquet", FRAME_SCORES)
    abnormal = {(clip, int(t)) for clip, t, label in scores[["clip", "frame", "label"]].to_numpy() if label == 1}
    return frames_chosen(kept, abnormal, clips)


def frames_chosen(kept: Sequence[ShownFrame], abnormal: set[tuple[str, int]], clips: Sequence[str]) -> list[ShownFrame]:
    """Five of `kept`, or all if there are fewer: as many abnormal ones as leave room for a normal one, in order.

    Every clip gives one before any gives a second: abnormal ones from the first clip on, normal ones from the last.

    Args:
        kept: frames to choose from.
        abnormal: (clip, frame) of those that are.
        clips: in the order in which they are shown.
    """
    groups: dict[tuple[str, bool], list[ShownFrame]] = {}
    for one in kept:
        groups.setdefault((one.clip, (one.clip, one.frame) in abnormal), []).append(one)
    turns = {True: _in_turns(groups, clips, True), False: _in_turns(groups, clips[::-1], False)}
    normal = turns[False][: max(LEAST_NORMAL, FRAMES - len(turns[True]))]
    shown = turns[True][: FRAMES - len(normal)]
    order = {clip: position for position, clip in enumerate(clips)}
    return [
        *sorted(shown, key=lambda one: (order[one.clip], one.frame)),
        *sorted(normal, key=lambda one: (order[one.clip], one.frame)),
    ]


def _in_turns(
    groups: Mapping[tuple[str, bool], Sequence[ShownFrame]], clips: Sequence[str], kind: bool
) -> list[ShownFrame]:
    """The first frame of every clip, then the second of each, and so on."""
    queues = [groups.get((clip, kind), []) for clip in clips]
    longest = max(map(len, queues), default=0)
    return [queue[k] for k in range(longest) for queue in queues if k < len(queue)]


def pasted(shown: Shown, figure: Figure, dataset: str) -> list[ShownFrame]:
    """The training frames with anomalies that the pre-training kept, by clip and frame.

    Raises:
        LightvadError: it kept none.
    """
    run = shown.runs(figure.rows[0], dataset)[0]
    path = shown.root / run.folder / PASTED_NAME
    remedy = f"give `shown_windows` to {run.method}/{run.variant} and run `lightvad pretrain --run {run.folder}` again"
    kept = read_shown(path, remedy=remedy)
    if not kept:
        message = f"{path}: no frame with anomalies; {remedy}"
        raise LightvadError(message)
    _check_parts(kept, PARTS_OF_PASTED, f"{path}", remedy)
    return sorted(kept, key=lambda one: (one.clip, one.frame))


def _check_parts(kept: Sequence[ShownFrame], parts: Sequence[str], where: str, remedy: str) -> None:
    for one in kept:
        missing = [part for part in parts if part not in one.pictures and part not in one.maps]
        if missing:
            message = f"{where}: {one.clip}, frame {one.frame}, has no {', '.join(missing)}; {remedy}"
            raise LightvadError(message)


def values_of(frames: Mapping[str, Sequence[ShownFrame]], parts: Sequence[str]) -> pd.DataFrame:
    """What is drawn, columns COLUMNS: of every picture and map its size, mean, largest value, and sha256.

    The sha256 is of the array's bytes, row by row.
    """
    lines = []
    for dataset, own in frames.items():
        for one in own:
            for part in parts:
                array = _part(one, part)
                numbers = (*array.shape[:2], float(array.mean(dtype=np.float64)), float(array.max()))
                lines.append(
                    (dataset, one.clip, one.frame, part, *numbers, hashlib.sha256(array.tobytes()).hexdigest())
                )
    return pd.DataFrame(lines, columns=COLUMNS)


def draw_reconstructions(
    frames: Mapping[str, Sequence[ShownFrame]],
    strips: Mapping[str, Sequence[FrameStrip]],
    figure: Figure,
    titles: Mapping[str, str],
    notes: Mapping[str, str],
) -> Canvas:
    """Frames with the truth's outline, and below them the figure's parts, for each dataset.

    Args:
        frames: dataset -> what was kept of the frames drawn.
        strips: dataset -> these frames, one strip of one frame each.
        figure: its `parts` are the rows.
        titles: dataset -> title.
        notes: dataset -> what must be said of its data.
    """
    blocks = []
    for dataset, title in titles.items():
        own, images = frames[dataset], [strip.images[0] for strip in strips[dataset]]
        rows = [PictureRow("frame", images)]
        for number, part in enumerate(figure.parts):
            name, colour = part.replace("_", " "), colour_of(number)
            if part in own[0].pictures:
                rows.append(PictureRow(f"{name}'s picture", [one.pictures[part] for one in own], colour))
                continue
            largest = max(float(one.maps[part].max()) for one in own)
            pairs = zip(own, images, strict=True)
            rows.append(PictureRow(name, [overlay(one.maps[part], image, largest) for one, image in pairs], colour))
        blocks.append(PictureBlock(title, notes[dataset], _names(own), rows))
    return draw(blocks, FRAMES)


def draw_pasted(
    frames: Mapping[str, Sequence[ShownFrame]], titles: Mapping[str, str], notes: Mapping[str, str]
) -> Canvas:
    """Frames before, and after anomalies were pasted into them, with a contour around these, for each dataset."""
    blocks = []
    for dataset, title in titles.items():
        own = frames[dataset]
        after = [outlined(one.pictures["pasted"], one.maps["anomalies"] > 0.5, CONTOUR_COLOUR) for one in own]
        rows = [PictureRow("before", [one.pictures["clean"] for one in own]), PictureRow("pasted", after)]
        blocks.append(PictureBlock(title, notes[dataset], _names(own), rows))
    return draw(blocks, max(len(own) for own in frames.values()))


def _part(one: ShownFrame, part: str) -> np.ndarray:
    return one.pictures[part] if part in one.pictures else one.maps[part]


def _names(frames: Iterable[ShownFrame]) -> list[str]:
    return [f"{one.clip}, frame {one.frame}" for one in frames]
