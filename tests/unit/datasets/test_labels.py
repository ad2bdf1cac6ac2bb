"""Frame labels from masks and from the publisher's ranges."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightvad.artifacts.tables import LABELS, checked
from lightvad.datasets.labels import (
    check_masks,
    check_ranges,
    labels_from_masks,
    labels_from_ranges,
    labels_table,
    read_matlab_ranges,
)
from lightvad.errors import LightvadError

MATLAB = """TestVideoFile = {};
TestVideoFile{end+1}.gt_frame = [3:5];
TestVideoFile{end+1}.gt_frame = [1:2, 4:4 6];
TestVideoFile{end+1}.gt_frame = [];
"""


def test_a_frame_is_abnormal_where_any_pixel_is() -> None:
    masks = np.zeros((4, 5, 6), bool)
    masks[1, 4, 5] = masks[3] = True
    labels = labels_from_masks(masks)
    assert labels.dtype == np.int8
    assert labels.tolist() == [0, 1, 0, 1]


def test_ranges_count_from_one_and_include_their_ends() -> None:
    ranges = read_matlab_ranges(MATLAB, "x.m")
    assert ranges == [[(3, 5)], [(1, 2), (4, 4), (6, 6)], []]
    assert labels_from_ranges(ranges[0], 6).tolist() == [0, 0, 1, 1, 1, 0]
    assert labels_from_ranges(ranges[1], 6).tolist() == [1, 1, 0, 1, 0, 1]
    assert labels_from_ranges(ranges[2], 6).tolist() == [0] * 6


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_labels_survive_being_written_as_ranges(wanted: list[bool]) -> None:
    labels = np.array(wanted, np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], labels, [0]])))
    text = ", ".join(f"{first + 1}:{last}" for first, last in edges.reshape(-1, 2))
    (spans,) = read_matlab_ranges(f"TestVideoFile{{end+1}}.gt_frame = [{text}];", "x.m")
    assert np.array_equal(labels_from_ranges(spans, len(labels)), labels)
    check_ranges({"Test001": labels}, [spans], "x.m")


@pytest.mark.parametrize("text", ["", "gt_frame = 3", "gt_frame = [5:3];", "gt_frame = [0:3];"])
def test_what_is_no_list_of_ranges_is_refused(text: str) -> None:
    with pytest.raises(LightvadError, match=r"x\.m: .*get the file again"):
        read_matlab_ranges(text, "x.m")


def test_masks_must_fit_their_clip() -> None:
    masks = np.zeros((4, 5, 6), bool)
    check_masks("Test001", masks, frames=4, height=5, width=6, where="raw")
    with pytest.raises(LightvadError, match="raw: clip Test001 has 3 frames but masks of 4"):
        check_masks("Test001", masks, frames=3, height=5, width=6, where="raw")
    with pytest.raises(LightvadError, match="clip Test001 has frames of 6x5 but masks of 5x6"):
        check_masks("Test001", masks, frames=4, height=6, width=5, where="raw")


def test_labels_must_agree_with_the_ranges() -> None:
    labels = {"Test002": np.array([1, 0], np.int8), "Test001": np.array([0, 1, 1], np.int8)}
    check_ranges(labels, [[(2, 3)], [(1, 1)]], "x.m")
    with pytest.raises(LightvadError, match=re.escape("x.m: differs from the pixel masks of clip Test001 at frame 2")):
        check_ranges(labels, [[(2, 2)], [(1, 1)]], "x.m")
    with pytest.raises(LightvadError, match=r"clip Test001 at the end \(3 frames\)"):
        check_ranges(labels, [[(2, 4)], [(1, 1)]], "x.m")
    with pytest.raises(LightvadError, match="lists 1 test clips, but there are 2"):
        check_ranges(labels, [[(2, 3)]], "x.m")


def test_the_table_has_a_row_per_frame_by_clip_name() -> None:
    labels = {"Test002": np.array([1, 0], np.int8), "Test001": np.array([0], np.int8)}
    table = checked(labels_table(labels), LABELS, "labels")
    assert table.to_numpy().tolist() == [["Test001", 0, 0], ["Test002", 0, 1], ["Test002", 1, 0]]
    assert len(labels_table({})) == 0
