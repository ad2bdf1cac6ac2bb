"""Parquet tables are checked when written and when read."""

from pathlib import Path

import pandas as pd
import pytest

from lightvad.artifacts.tables import BOXES, FRAME_SCORES, INDEX, OBJECT_SCORES, read_table, write_table
from lightvad.errors import LightvadError


def boxes(**changed: object) -> pd.DataFrame:
    row = {"clip": "c", "frame": 3, "x1": 1.0, "y1": 2.0, "x2": 5.5, "y2": 9.0, "confidence": 0.5, "class_id": -1}
    return pd.DataFrame([{**row, **changed}])


def test_round_trip_keeps_types_and_order(tmp_path: Path) -> None:
    write_table(tmp_path / "b.parquet", boxes(confidence=float("nan")), BOXES)
    back = read_table(tmp_path / "b.parquet", BOXES)
    assert list(back.columns) == list(BOXES)
    assert {name: str(kind) for name, kind in back.dtypes.items() if name != "clip"} == {
        name: kind for name, kind in BOXES.items() if name != "clip"
    }
    assert back["x2"][0] == 5.5


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"x1": float("nan")}, "x1 is NaN at clip c, frame 3"),
        ({"x1": -1.0}, r"box \(-1, 2, 5.5, 9\) at clip c, frame 3"),
        ({"x2": 0.5}, "is not 0 <= x1 < x2"),
        ({"y2": 2.0}, "is not 0 <= x1 < x2"),
        ({"y2": float("inf")}, "y2 is inf at clip c, frame 3"),
        ({"frame": 1.5}, "frame is 1.5 at clip c, frame 1.5, no int32"),
        ({"frame": 2**32}, "frame is 4294967296 at clip c"),
        ({"clip": None}, "clip is NaN at clip None"),
        ({"frame": "third"}, "wrong type"),
    ],
)
def test_wrong_boxes_name_clip_and_frame(tmp_path: Path, changed: dict, complaint: str) -> None:
    with pytest.raises(LightvadError, match=complaint):
        write_table(tmp_path / "b.parquet", boxes(**changed), BOXES)
    assert not (tmp_path / "b.parquet").exists()


def test_extra_columns_stand_before_the_score(tmp_path: Path) -> None:
    row = {"clip": "c", "frame": 0, "x1": 0, "y1": 0, "x2": 1, "y2": 1, "score": 0.5, "arrow": 0.25, "middle": 0.75}
    write_table(tmp_path / "o.parquet", pd.DataFrame([row]), OBJECT_SCORES)
    assert list(read_table(tmp_path / "o.parquet", OBJECT_SCORES).columns)[-3:] == ["arrow", "middle", "score"]


def test_a_missing_or_damaged_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LightvadError, match=r"missing; run the stage that writes it"):
        read_table(tmp_path / "none.parquet", INDEX)
    (tmp_path / "half.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(LightvadError, match="not a readable Parquet file"):
        read_table(tmp_path / "half.parquet", INDEX)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(LightvadError, match=r"lacks the column\(s\) label"):
        write_table(tmp_path / "f.parquet", pd.DataFrame({"clip": ["c"], "frame": [0], "score": [1.0]}), FRAME_SCORES)


def test_a_nan_score_is_refused(tmp_path: Path) -> None:
    table = pd.DataFrame({"clip": ["c", "c"], "frame": [0, 1], "score": [1.0, float("nan")], "label": [0, 1]})
    with pytest.raises(LightvadError, match="score is NaN at clip c, frame 1"):
        write_table(tmp_path / "f.parquet", table, FRAME_SCORES)
