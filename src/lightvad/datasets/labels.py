"""Frame labels: from pixel masks, from the publisher's ranges, and the checks that they fit the frames."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.io
from scipy.io.matlab import MatReadError

from lightvad.artifacts.arrays import DAMAGE
from lightvad.artifacts.tables import LABELS
from lightvad.errors import LightvadError

RANGES_FIELD = re.compile(r"gt_frame\s*=\s*\[([^\]]*)\]")
RANGE = re.compile(r"(\d+)\s*(?::\s*(\d+))?")


def labels_from_masks(masks: np.ndarray) -> np.ndarray:
    """Frame labels int8 (T,) of pixel masks bool (T, H, W): 1 where any pixel is abnormal."""
    return np.asarray(masks.any(axis=(1, 2)), dtype=np.int8)


def labels_from_ranges(ranges: Sequence[tuple[int, int]], frames: int) -> np.ndarray:
    """Frame labels int8 (T,) from ranges of abnormal frames, counted from 1, ends included (the publishers' habit)."""
    labels = np.zeros(frames, np.int8)
    for first, last in ranges:
        labels[first - 1 : last] = 1
    return labels


def read_matlab_ranges(text: str, where: str) -> list[list[tuple[int, int]]]:
    """The ranges of abnormal frames of every test clip from UCSD's `.m` file (`gt_frame = [61:180];`).

    Args:
        text: the file's content.
        where: its name, for the message.

    Returns:
        For every clip in order, ranges (first, last) counted from 1, `last` included.

    Raises:
        LightvadError: there is no such field, or a range runs backwards.
    """
    clips = [[(int(a), int(b or a)) for a, b in RANGE.findall(field)] for field in RANGES_FIELD.findall(text)]
    wrong = [span for spans in clips for span in spans if not 1 <= span[0] <= span[1]]
    if not clips or wrong:
        reason = f"range {wrong[0][0]}:{wrong[0][1]}" if wrong else "no `gt_frame = [first:last]`"
        message = f"{where}: {reason}; this is not the publisher's list of abnormal frames, get the file again"
        raise LightvadError(message)
    return clips


def read_matlab_volume(path: Path, name: str, where: str) -> np.ndarray:
    """The masks of a clip from a MATLAB file: bool (T, H, W) from a cell array of T matrices (H, W).

    Args:
        path: the `.mat` file; nothing in it is executed.
        name: of the cell array, e.g. `volLabel`.
        where: the file's name, for the message.

    Raises:
        LightvadError: it is damaged, has no such array, or its matrices differ in size.
    """
    try:
        cells = scipy.io.loadmat(path, variable_names=[name])[name].ravel()
        return np.stack([np.asarray(cell, dtype=np.float64) != 0 for cell in cells])
    except (*DAMAGE, MatReadError, NotImplementedError, IndexError) as error:
        message = f"{where}: no masks {name} can be read ({error}); get the file again"
        raise LightvadError(message) from error


def check_labels(clip: str, labels: np.ndarray, *, frames: int, where: str) -> np.ndarray:
    """Frame labels int8 (T,) of a clip, after they have been checked.

    Raises:
        LightvadError: they are not one 0 or 1 for each frame.
    """
    if labels.shape != (frames,):
        size = "x".join(str(side) for side in labels.shape)
        message = f"{where}: clip {clip} has {frames} frames but labels of {size}; get the frames and labels again"
        raise LightvadError(message)
    if not np.isin(labels, (0, 1)).all():
        wrong = int(np.flatnonzero(~np.isin(labels, (0, 1)))[0])
        message = f"{where}: clip {clip}, frame {wrong}: label {labels[wrong]}, not 0 or 1; get the labels again"
        raise LightvadError(message)
    return labels.astype(np.int8)


def check_masks(clip: str, masks: np.ndarray, *, frames: int, height: int, width: int, where: str) -> None:
    """Check that pixel masks (T, H, W) are those of a clip.

    Raises:
        LightvadError: another number of frames, or another size.
    """
    if len(masks) != frames:
        message = f"{where}: clip {clip} has {frames} frames but masks of {len(masks)}; get the frames and masks again"
        raise LightvadError(message)
    if masks.shape[1:] != (height, width):
        size = "x".join(str(side) for side in masks.shape[1:])
        message = f"{where}: clip {clip} has frames of {height}x{width} but masks of {size}; get both again"
        raise LightvadError(message)


def check_ranges(labels: Mapping[str, np.ndarray], ranges: Sequence[Sequence[tuple[int, int]]], where: str) -> None:
    """Check that the labels of the test clips, in order of their names, agree with the publisher's ranges.

    Raises:
        LightvadError: another number of clips, or a frame on which they differ.
    """
    if len(ranges) != len(labels):
        message = f"{where}: lists {len(ranges)} test clips, but there are {len(labels)}; get the dataset's files again"
        raise LightvadError(message)
    for (clip, found), spans in zip(sorted(labels.items()), ranges, strict=True):
        differs = np.flatnonzero(found != labels_from_ranges(spans, len(found)))
        if len(differs) or max((last for _, last in spans), default=0) > len(found):
            place = f"frame {differs[0]}" if len(differs) else f"the end ({len(found)} frames)"
            message = f"{where}: differs from the pixel masks of clip {clip} at {place}; get the dataset's files again"
            raise LightvadError(message)


def labels_table(labels: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The table LABELS of clips, by name; labels int8 (T,) per clip."""
    parts = [
        pd.DataFrame({"clip": clip, "frame": np.arange(len(found)), "label": found})
        for clip, found in sorted(labels.items())
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(LABELS))
