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
"""One row per clip. `split` is `train` or `test` (plaza also has `detector`); clip names are unique over all splits."""

LABELS = {"clip": "str", "frame": "int32", "label": "int8"}
"""One row per frame of every test clip; 1 = abnormal."""

TRACKS = {"track": "int32", "clip": "str", "frame": "int32", **BOX}
"""One row per frame of an abnormal object's track; `track` is unique in the dataset; pixels, x2/y2 exclusive."""

BOXES = {"clip": "str", "frame": "int32", **BOX, "confidence": "float32", "class_id": "int16"}
"""One row per detected object; `confidence` NaN and `class_id` -1 where the backend has none."""

OBJECT_SCORES = {"clip": "str", "frame": "int32", **BOX, "score": "float32"}
"""One row per box; a method adds a float32 column per proxy task before `score` (higher = more anomalous)."""

FRAME_SCORES = {"clip": "str", "frame": "int32", "score": "float64", "label": "int8"}
"""One row per test frame; raw scores, before smoothing."""

REGIONS = {"clip": "str", "frame": "int32", **BOX, "score": "float32"}
"""One row per region that a method calls abnormal to the degree `score`; for RBDC and TBDC."""

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
        frame = pq.read_table(path).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        message = (
            f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}); delete it and run its stage again"
        )
        raise LightvadError(message) from error
    return checked(frame, schema, path)


def checked(frame: pd.DataFrame, schema: Mapping[str, str], where: Path | str) -> pd.DataFrame:
    """Return `frame` with the columns of `schema` cast to their types, further float columns kept before the last one.

    Raises:
        LightvadError: a column is missing, a value is NaN where none may be, or a box is inverted or negative.
    """
    missing = [name for name in schema if name not in frame.columns]
    if missing:
        message = f"{where}: lacks the column(s) {', '.join(missing)}; expected {', '.join(schema)}"
        raise LightvadError(message)
    *first, last = schema
    extra = [name for name in frame.columns if name not in schema]
    try:
        frame = frame[[*first, *extra, last]].astype({**dict(schema), **dict.fromkeys(extra, "float32")})
    except (ValueError, TypeError) as error:
        message = f"{where}: a column has the wrong type ({error})"
        raise LightvadError(message) from error
    for name in [*schema, *extra]:
        if name not in MAY_BE_NAN and frame[name].isna().any():
            row = frame[frame[name].isna()].iloc[0]
            message = f"{where}: {name} is NaN at {_place(row)}"
            raise LightvadError(message)
    if "x1" in schema:
        _check_boxes(frame, where)
    return frame.reset_index(drop=True)


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
    return f"clip {row['clip']}, frame {row['frame']}" if "frame" in row else f"clip {row['clip']}"
