"""Parquet tables with fixed columns: clips, labels, tracks, boxes, object scores, frame scores, regions."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lightvad.artifacts.atomic import atomic_path
from lightvad.errors import LightvadError

BOX = {"x1": "float32", "y1": "float32", "x2": "float32", "y2": "float32"}

INDEX = {
    "clip": "str",
    "split": "str",
    "frames": "int32",
    "height": "int32",
    "width": "int32",
    "fps": "float64",
    "source": "str",
}
"""One row per clip. `split` is `train` or `test` (plaza also has `detector`, UBnormal `abnormal`: training clips with
annotated abnormal objects); clip names are unique over all splits."""

LABELS = {"clip": "str", "frame": "int32", "label": "int8"}
"""One row per frame of every test clip; 1 = abnormal, 0 = normal, or UNKNOWN in all rows of a clip."""

UNKNOWN = -1
"""The label of a clip's frames where nobody knows whether they are normal."""

TRACKS = {"track": "int32", "clip": "str", "frame": "int32", **BOX}
"""One row per frame of an abnormal object's track; `track` is unique in the dataset; pixels, x2/y2 exclusive."""

OBJECTS = {**TRACKS, "area": "int32"}
"""Tracks of the annotated objects of the split `abnormal`, clip by clip; `area`: pixels of the object's mask."""

BOXES = {"clip": "str", "frame": "int32", **BOX, "confidence": "float32", "class_id": "int16"}
"""One row per detected object; `confidence` NaN and `class_id` -1 where the backend has none."""

OBJECT_SCORES = {"clip": "str", "frame": "int32", **BOX, "score": "float32"}
"""One row per box; a method adds a float32 column per proxy task before `score` (higher = more anomalous)."""

FRAME_SCORES = {"clip": "str", "frame": "int32", "score": "float64", "label": "int8"}
"""One row per test frame; raw scores, before smoothing."""

EPOCH_SCORES = {"epoch": "int32", "clip": "str", "frame": "int32", "score": "float64"}
"""One row per kept epoch and test frame; raw scores, before smoothing."""

REGIONS = {"clip": "str", "frame": "int32", **BOX, "score": "float32"}
"""One row per region that a method calls abnormal to the degree `score`; for RBDC and TBDC."""

VIDEO_SCORES = {"frame": "int64", "seconds": "float64", "score": "float64", "smoothed": "float64", "abnormal": "int8"}
"""One row per decoded frame of a video; `abnormal`: 1 where `smoothed` reaches the threshold, UNKNOWN without one."""

MAY_BE_NAN = {"confidence"}


def write_table(path: Path, frame: pd.DataFrame, schema: Mapping[str, str]) -> None:
    """Check `frame` against `schema` (see `checked`) and write it to `path` as Parquet, atomically."""
    table = pa.Table.from_pandas(checked(frame, schema, path), preserve_index=False)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path, schema: Mapping[str, str]) -> pd.DataFrame:
    """Read a Parquet table and check it against `schema`.

    Raises:
        LightvadError: the file is missing, is not Parquet, or does not hold what `schema` asks for.
    """
    if not path.is_file():
        message = f"{path}: missing; run the stage that writes it (`snakemake --cores 2 {path}`)"
        raise LightvadError(message)
    try:
        # No partitioning: a folder named `a=b` on the way would become a column.
        frame = pq.read_table(path, partitioning=None).to_pandas()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        message = (
            f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}); delete it and run its stage again"
        )
        raise LightvadError(message) from error
    return checked(frame, schema, path)


def checked(frame: pd.DataFrame, schema: Mapping[str, str], where: Path | str) -> pd.DataFrame:
    """Return `frame` with the columns of `schema` cast to their types, further float columns kept before the last one.

    Raises:
        LightvadError: a column is missing, a value is NaN or infinite where none may be, is no whole number or out of
            the range of its type, or a box is inverted or negative.
    """
    missing = [name for name in schema if name not in frame.columns]
    if missing:
        message = f"{where}: lacks the column(s) {', '.join(missing)}; expected {', '.join(schema)}"
        raise LightvadError(message)
    *first, last = schema
    extra = [name for name in frame.columns if name not in schema]
    kinds = {name: schema.get(name, "float32") for name in [*first, *extra, last]}
    for name, kind in kinds.items():
        check_values(frame, name, kind, where)
    frame = frame[list(kinds)].astype(kinds)
    if "x1" in schema:
        _check_boxes(frame, where)
    return frame.reset_index(drop=True)


def check_values(frame: pd.DataFrame, name: str, kind: str, where: Path | str) -> None:
    """Check that a column can become `kind` without the loss of a value: no NaN, no infinity, no rounding.

    Raises:
        LightvadError: naming the first row where it cannot.
    """
    column = frame[name]
    if kind == "str":
        wrong = np.asarray([not isinstance(value, str) for value in column], bool)
    else:
        try:
            values = column.to_numpy(np.float64, na_value=np.nan)
        except (ValueError, TypeError) as error:
            message = f"{where}: column {name} has the wrong type ({error}); it should hold {kind}"
            raise LightvadError(message) from error
        wrong = np.isinf(values) if name in MAY_BE_NAN else ~np.isfinite(values)
        if np.issubdtype(kind, np.integer):
            limits = np.iinfo(kind)
            wrong |= (values != np.round(values)) | (values < limits.min) | (values > limits.max)
    if wrong.any():
        row = frame[wrong].iloc[0]
        value = "NaN" if pd.isna(row[name]) else row[name]
        message = f"{where}: {name} is {value} at {_place(row)}, no {kind}; write the file again"
        raise LightvadError(message)


def _check_boxes(frame: pd.DataFrame, where: Path | str) -> None:
    corners = frame[list(BOX)].to_numpy()
    wrong = (
        ~np.isfinite(corners).all(1)
        | (corners < 0).any(1)
        | (corners[:, 2] <= corners[:, 0])
        | (corners[:, 3] <= corners[:, 1])
    )
    if wrong.any():
        row = frame[wrong].iloc[0]
        values = ", ".join(f"{row[name]:g}" for name in BOX)
        message = f"{where}: box ({values}) at {_place(row)} is not 0 <= x1 < x2, 0 <= y1 < y2; mend the boxes"
        raise LightvadError(message)


def _place(row: pd.Series) -> str:
    return ", ".join(f"{name} {row[name]}" for name in ("clip", "frame") if name in row)
