"""Backend `import`: boxes that were made elsewhere, one file per split.

Two formats are read:

- `.npz` of the shared boxes: `boxes` float32 (N, 4) x1, y1, x2, y2 and `boxes_per_frame` int (F,), in frame order over
  all clips of the split in the order of their names; neither classes nor confidences.
- `.parquet` or `.csv`: columns clip, frame, x1, y1, x2, y2 and, where known, confidence and class_id.

Boxes are pixels of the native frame, x2/y2 exclusive.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lightvad.artifacts.arrays import read_arrays
from lightvad.artifacts.tables import BOX, BOXES, check_values
from lightvad.errors import LightvadError
from lightvad.progress import say
from lightvad.video.clips import Clip

ROUNDING = 1.0
"""Pixels by which a box may reach over the edge of the frame before it is called wrong (project choice)."""


def read_boxes(path: Path, clips: Sequence[Clip]) -> pd.DataFrame:
    """Read the boxes of all `clips` of one split.

    Args:
        path: `.npz`, `.parquet` or `.csv` as described above.
        clips: the clips of the split, by name.

    Returns:
        Table BOXES sorted by clip and frame; coordinates that lay up to 1 px outside the frame are clipped to it.

    Raises:
        LightvadError: the file cannot be read, is about other clips or another number of frames, or holds a box that
            is not a number, inverted, or outside its frame.
    """
    readers = {".npz": _from_npz, ".parquet": _from_table, ".csv": _from_table}
    if path.suffix not in readers:
        message = f"{path}: boxes are read from {', '.join(readers)}; convert the file"
        raise LightvadError(message)
    table = readers[path.suffix](path, clips)
    _check_places(table, clips, path)
    return _clipped_to_frame(table, clips, path).sort_values(["clip", "frame"], kind="stable").reset_index(drop=True)


def _from_npz(path: Path, clips: Sequence[Clip]) -> pd.DataFrame:
    stored = read_arrays(
        path, ("boxes", "boxes_per_frame"), what="boxes (`boxes`, `boxes_per_frame`)", remedy="get the file again"
    )
    boxes, per_frame = stored["boxes"], stored["boxes_per_frame"]
    if boxes.dtype.kind not in "fiu" or per_frame.dtype.kind not in "iu" or per_frame.ndim != 1:
        message = (
            f"{path}: `boxes` of {boxes.dtype} and `boxes_per_frame` of {per_frame.dtype} {per_frame.shape}, expected "
            "float32 (N, 4) and int16 (F,); get the file again"
        )
        raise LightvadError(message)
    per_frame = per_frame.astype(np.int64)
    frames = sum(clip.frames for clip in clips)
    if per_frame.shape != (frames,):
        message = (
            f"{path}: boxes for {len(per_frame)} frames, but the {len(clips)} clips have {frames}; "
            "give the file of this split"
        )
        raise LightvadError(message)
    if boxes.shape != (per_frame.sum(), 4) or (per_frame < 0).any():
        message = (
            f"{path}: `boxes` of shape {boxes.shape}, but `boxes_per_frame` adds up to {per_frame.sum()}; "
            "get the file again"
        )
        raise LightvadError(message)
    names = np.repeat([clip.name for clip in clips], [clip.frames for clip in clips])
    numbers = np.concatenate([np.arange(clip.frames) for clip in clips])
    return pd.DataFrame(
        {
            "clip": np.repeat(names, per_frame),
            "frame": np.repeat(numbers, per_frame),
            **{name: boxes[:, column].astype(np.float32) for column, name in enumerate(BOX)},
            "confidence": np.float32(np.nan),
            "class_id": np.int16(-1),
        }
    )


def _from_table(path: Path, clips: Sequence[Clip]) -> pd.DataFrame:
    try:
        table = _csv(path) if path.suffix == ".csv" else pq.read_table(path, partitioning=None).to_pandas()
    except (OSError, ValueError, pa.ArrowException) as error:
        message = f"{path}: not a readable table ({str(error).splitlines()[0]}); write it again"
        raise LightvadError(message) from error
    missing = [name for name in ("clip", "frame", *BOX) if name not in table.columns]
    if missing:
        message = f"{path}: lacks the column(s) {', '.join(missing)}; expected clip, frame, {', '.join(BOX)}"
        raise LightvadError(message)
    table["confidence"] = table.get("confidence", np.nan)
    table["class_id"] = table["class_id"].fillna(-1) if "class_id" in table.columns else -1
    for name in ("clip", "frame", "class_id"):
        check_values(table, name, BOXES[name], path)
    try:
        return table[list(BOXES)].astype(BOXES)
    except (ValueError, TypeError) as error:
        message = f"{path}: a column has the wrong type ({error}); write it again"
        raise LightvadError(message) from error


def _csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"clip": str}, keep_default_na=False, na_values={name: "" for name in BOXES})


def _check_places(table: pd.DataFrame, clips: Sequence[Clip], path: Path) -> None:
    frames = table["clip"].map({clip.name: clip.frames for clip in clips})
    if frames.isna().any():
        name = table["clip"][frames.isna()].iloc[0]
        message = f"{path}: boxes for clip {name}, which this split has not; it has {clips[0].name} to {clips[-1].name}"
        raise LightvadError(message)
    outside = (table["frame"] < 0) | (table["frame"] >= frames)
    if outside.any():
        row = table[outside].iloc[0]
        message = (
            f"{path}: boxes for clip {row['clip']}, frame {row['frame']}, but that clip has "
            f"{int(frames[outside].iloc[0])} frames (counted from 0); mend the frame numbers"
        )
        raise LightvadError(message)


def _clipped_to_frame(table: pd.DataFrame, clips: Sequence[Clip], path: Path) -> pd.DataFrame:
    corners = table[list(BOX)].to_numpy(np.float32, copy=True)
    size = {clip.name: (clip.width, clip.height) for clip in clips}
    limits = np.array([size[name] for name in table["clip"]], np.float32).reshape(-1, 2)
    limits = np.concatenate([limits, limits], axis=1)
    _refuse(~np.isfinite(corners).all(1), "is not a number", table, path)
    _refuse(
        (corners[:, 2:] <= corners[:, :2]).any(1), "is inverted or empty (x1 < x2 and y1 < y2 must hold)", table, path
    )
    _refuse(
        ((corners < -ROUNDING) | (corners > limits + ROUNDING)).any(1), "reaches outside its frame", table, path, limits
    )
    inside = np.clip(corners, 0, limits)
    _refuse((inside[:, 2:] <= inside[:, :2]).any(1), "lies outside its frame", table, path, limits)
    clipped = (inside != corners).any(1).sum()
    if clipped:
        say(
            f"{path.name}: {clipped} boxes reached over the edge of the frame by up to {ROUNDING:g} px and were clipped"
        )
    return table.assign(**{name: inside[:, column] for column, name in enumerate(BOX)})


def _refuse(
    wrong: np.ndarray | np.bool, why: str, table: pd.DataFrame, path: Path, limits: np.ndarray | None = None
) -> None:
    wrong = np.atleast_1d(wrong)
    if not wrong.any():
        return
    first = int(np.flatnonzero(wrong)[0])
    row = table.iloc[first]
    values = ", ".join(f"{row[name]:g}" for name in BOX)
    of_frame = "" if limits is None else f" of {limits[first, 0]:g}x{limits[first, 1]:g} px"
    message = (
        f"{path}: box ({values}) at clip {row['clip']}, frame {row['frame']} {why}{of_frame} "
        f"({wrong.sum()} such boxes); mend the boxes"
    )
    raise LightvadError(message)
