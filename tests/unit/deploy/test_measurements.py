"""The measurements of deployment (`tests.measure`) do what they say, on little video."""

from pathlib import Path

import pytest
from tests.measure import growth, streams

from lightvad.artifacts.documents import read_json


@pytest.mark.slow
def test_what_scoring_costs_against_length(export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "growth.json"
    growth.main([
        "--model", str(export), "--frames", "5", "20", "--height", "48", "--width", "64", "--out", str(out),
    ])  # fmt: skip
    rows = read_json(out)["rows"]
    assert [row["frames"] for row in rows] == [5, 20]
    assert all(row["peak_memory_mb"] > 50 for row in rows)
    assert "20 drawn frames: " in capsys.readouterr().out


@pytest.mark.slow
def test_no_frame_of_many_streams_is_lost_without_being_counted(export: Path, tmp_path: Path) -> None:
    out = tmp_path / "streams.json"
    streams.main([
        "--model", str(export), "--streams", "3", "--minutes", "0.05", "--height", "48", "--width", "64",
        "--every", "0.5", "--out", str(out),
    ])  # fmt: skip
    found = read_json(out)
    assert found["frames_a_stream"] == 75
    assert found["scored"] + found["dropped"] == 3 * 75
    assert found["streams_with_uncounted_frames"] == []
    assert found["memory_mb"]["peak"] > 50
