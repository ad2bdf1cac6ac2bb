"""Boxes files in every format, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lightvad.artifacts.tables import BOX, BOXES, checked
from lightvad.detection.imported import read_boxes
from lightvad.errors import LightvadError
from lightvad.video.clips import Clip

CLIPS = [Clip("a", "test", 2, 60, 80, 10.0, ""), Clip("b", "test", 3, 60, 80, 10.0, "")]
GOOD = [("a", 0, 1, 2, 30, 40), ("a", 0, 5, 5, 6, 9), ("b", 1, 0, 0, 80, 60), ("b", 2, 10.5, 20.25, 30.5, 59)]


def rows_of(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["clip", "frame", *BOX])


def as_npz(path: Path, table: pd.DataFrame) -> Path:
    table = table.sort_values(["clip", "frame"], kind="stable")
    places = [(clip.name, frame) for clip in CLIPS for frame in range(clip.frames)]
    count = [int(((table["clip"] == clip) & (table["frame"] == frame)).sum()) for clip, frame in places]
    np.savez(path, boxes=table[list(BOX)].to_numpy(np.float32), boxes_per_frame=np.array(count, np.int16))
    return path


def as_parquet(path: Path, table: pd.DataFrame) -> Path:
    table.to_parquet(path)
    return path


def as_csv(path: Path, table: pd.DataFrame) -> Path:
    table.to_csv(path, index=False)
    return path


FORMATS = {".npz": as_npz, ".parquet": as_parquet, ".csv": as_csv}


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_table(suffix: str, tmp_path: Path) -> None:
    shuffled = rows_of(*GOOD) if suffix == ".npz" else rows_of(GOOD[3], GOOD[0], GOOD[2], GOOD[1])
    table = read_boxes(FORMATS[suffix](tmp_path / f"boxes{suffix}", shuffled), CLIPS)
    assert list(table.columns) == list(BOXES)
    assert list(zip(table["clip"], table["frame"], strict=True)) == [("a", 0), ("a", 0), ("b", 1), ("b", 2)]
    np.testing.assert_array_equal(table[list(BOX)], np.array([row[2:] for row in GOOD], np.float32))
    assert table["confidence"].isna().all()
    assert (table["class_id"] == -1).all()
    checked(table, BOXES, "boxes")


def test_confidence_and_class_are_kept_where_they_are_given(tmp_path: Path) -> None:
    table = rows_of(*GOOD).assign(confidence=[0.9, 0.8, 0.7, 0.6], class_id=[0, 1, 2, 3])
    read = read_boxes(as_csv(tmp_path / "boxes.csv", table), CLIPS)
    assert read["class_id"].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(read["confidence"], [0.9, 0.8, 0.7, 0.6], rtol=1e-6)


@pytest.mark.parametrize("suffix", FORMATS)
def test_boxes_up_to_a_pixel_over_the_edge_are_clipped(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = rows_of(("a", 0, -1, -0.5, 30, 61), ("b", 2, 3, 4, 81, 60), ("b", 2, 3, 4, 80, 60))
    read = read_boxes(FORMATS[suffix](tmp_path / f"boxes{suffix}", table), CLIPS)
    np.testing.assert_array_equal(read[list(BOX)], [[0, 0, 30, 60], [3, 4, 80, 60], [3, 4, 80, 60]])
    assert "2 boxes reached over the edge" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((1, 2, float("nan"), 4), "not a number"),
        ((1, 2, float("inf"), 4), "not a number"),
        ((30, 2, 10, 4), "inverted"),
        ((30, 2, 30, 4), "inverted"),
        ((-5, 2, 10, 4), "outside its frame of 80x60 px"),
        ((70, 2, 82, 4), "outside its frame of 80x60 px"),
        ((1, 2, 10, 240), "outside its frame of 80x60 px"),
        ((80, 2, 81, 4), "outside its frame of 80x60 px"),
    ],
)
def test_a_bad_box_is_refused_with_file_clip_and_frame(suffix: str, box: tuple, reason: str, tmp_path: Path) -> None:
    path = FORMATS[suffix](tmp_path / f"boxes{suffix}", rows_of(*GOOD, ("b", 2, *box)))
    with pytest.raises(LightvadError, match=reason) as refused:
        read_boxes(path, CLIPS)
    line = str(refused.value)
    assert str(path) in line
    assert "clip b, frame 2" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("c", 0, 1, 2, 3, 4), "clip c, which this split has not"),
        (("a", 2, 1, 2, 3, 4), "clip a, frame 2, but that clip has 2 frames"),
        (("b", -1, 1, 2, 3, 4), "clip b, frame -1"),
    ],
)
def test_a_box_of_an_unknown_clip_or_frame_is_refused(row: tuple, reason: str, tmp_path: Path) -> None:
    path = as_parquet(tmp_path / "boxes.parquet", rows_of(*GOOD, row))
    with pytest.raises(LightvadError, match=reason):
        read_boxes(path, CLIPS)


def broken_count(path: Path) -> None:
    np.savez(path, boxes=np.ones((3, 4), np.float32), boxes_per_frame=np.array([1, 0, 0, 0], np.int16))


def broken_sum(path: Path) -> None:
    np.savez(path, boxes=np.ones((3, 4), np.float32), boxes_per_frame=np.array([1, 0, 0, 0, 0], np.int16))


def broken_keys(path: Path) -> None:
    np.savez(path, other=np.ones(3))


def broken_pickle(path: Path) -> None:
    np.savez(path, boxes=np.array([{}], dtype=object), boxes_per_frame=np.zeros(5, np.int16))


def broken_zip(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 cut off")


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [
        (broken_count, "boxes for 4 frames, but the 2 clips have 5"),
        (broken_sum, "adds up to 1"),
        (broken_keys, "missing or damaged boxes"),
        (broken_pickle, "missing or damaged boxes"),
        (broken_zip, "missing or damaged boxes"),
    ],
)
def test_a_wrong_npz_is_refused(breaks: Callable[[Path], None], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "boxes.npz"
    breaks(path)
    with pytest.raises(LightvadError, match=reason) as refused:
        read_boxes(path, CLIPS)
    assert str(path) in str(refused.value)


def test_a_table_without_a_column_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LightvadError, match=r"lacks the column\(s\) y2"):
        read_boxes(as_csv(tmp_path / "boxes.csv", rows_of(*GOOD).drop(columns="y2")), CLIPS)
    with pytest.raises(LightvadError, match="wrong type"):
        read_boxes(as_csv(tmp_path / "words.csv", rows_of(("a", "first", 1, 2, 3, 4))), CLIPS)
    (tmp_path / "boxes.parquet").write_bytes(b"no parquet")
    with pytest.raises(LightvadError, match="not a readable table"):
        read_boxes(tmp_path / "boxes.parquet", CLIPS)
    with pytest.raises(LightvadError, match=r"boxes are read from \.npz"):
        read_boxes(tmp_path / "boxes.txt", CLIPS)


def test_the_shared_boxes_of_ped2_are_read_whole(shared_data: Path) -> None:
    lengths = [180, 180, 150, 180, 150, 180, 180, 180, 120, 150, 180, 180]
    clips = [Clip(f"Test{n:03d}", "test", count, 240, 360, 10.0, "") for n, count in enumerate(lengths, start=1)]
    table = read_boxes(shared_data / "boxes" / "ped2_test_boxes.npz", clips)
    assert len(table) == 34715
    with np.load(shared_data / "boxes" / "ped2_test_boxes.npz") as archive:
        count = table.groupby(["clip", "frame"]).size()
        assert count.to_numpy().tolist() == archive["boxes_per_frame"].tolist()
        np.testing.assert_array_equal(table[list(BOX)], archive["boxes"])
