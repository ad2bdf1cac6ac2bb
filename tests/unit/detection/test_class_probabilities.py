"""Class probabilities: their file, the geometry of tiles and anchors, and the real network on a real frame."""

import itertools
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightvad.detection.class_probabilities import (
    COCO_NAMES,
    PADDING_GRAY,
    STRIDES,
    OnnxClassifier,
    decode,
    iou,
    letterbox,
    matched,
    read_class_probabilities,
    tile_columns,
    write_class_probabilities,
)
from lightvad.errors import LightvadError
from lightvad.video.clips import decode_image


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "b.classes.npz"
    written = np.array([[0.25, 0.5], [1, 0], [0.125, 0.75]], np.float32)
    write_class_probabilities(path, written, ["person", "cart"])
    read, names = read_class_probabilities(path, boxes=3)
    np.testing.assert_array_equal(read, written)
    assert read.dtype == np.float32
    assert names == ("person", "cart")
    with np.load(path) as archive:
        assert archive["probabilities"].dtype == np.float16


def test_off_is_a_file_without_classes(tmp_path: Path) -> None:
    write_class_probabilities(tmp_path / "b.classes.npz", np.zeros((7, 0), np.float32), [])
    read, names = read_class_probabilities(tmp_path / "b.classes.npz", boxes=7)
    assert read.shape == (7, 0)
    assert names == ()


@pytest.mark.parametrize(
    "wrong", [np.full((2, 1), 1.5), np.full((2, 1), -0.1), np.full((2, 1), np.nan), np.ones((2, 2))]
)
def test_what_is_no_probability_is_not_written(wrong: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(LightvadError, match="class probabilities"):
        write_class_probabilities(tmp_path / "b.classes.npz", wrong, ["person"])
    assert not (tmp_path / "b.classes.npz").exists()


def test_a_file_of_other_boxes_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.classes.npz"
    with pytest.raises(LightvadError, match="missing or damaged"):
        read_class_probabilities(path, boxes=2)
    write_class_probabilities(path, np.zeros((3, 1)), ["person"])
    with pytest.raises(LightvadError, match=r"shape \(3, 1\) for 2 boxes"):
        read_class_probabilities(path, boxes=2)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(LightvadError, match="missing or damaged"):
        read_class_probabilities(path, boxes=3)


@given(width=st.integers(20, 2000), height=st.integers(20, 1200), tiles=st.integers(1, 6))
def test_tiles_cover_the_frame_and_overlap(width: int, height: int, tiles: int) -> None:
    columns = tile_columns(width, height, tiles)
    assert columns[0][0] == 0
    assert columns[-1][1] == width
    assert len({right - left for left, right in columns}) == 1
    tile = columns[0][1]
    assert all(second[0] < first[1] for first, second in itertools.pairwise(columns))
    assert all(first[1] - second[0] >= 0.2 * tile - 2 for first, second in itertools.pairwise(columns))


def test_letterbox_keeps_proportions_and_turns_to_bgr() -> None:
    image = np.zeros((60, 120, 3), np.uint8)
    image[..., 0] = 200  # red
    square, scale = letterbox(image, 240)
    assert square.shape == (1, 3, 240, 240)
    assert scale == 2
    assert (square[0, 2, :120] == 200).all()
    assert (square[0, :2, :120] == 0).all()
    assert (square[0, :, 120:] == PADDING_GRAY).all()


def test_decoding_puts_boxes_where_the_grid_says() -> None:
    size = 64
    anchors = sum((size // stride) ** 2 for stride in STRIDES)
    output = np.zeros((anchors, 7), np.float32)
    output[:, 4:] = 0.5
    third = 8 * 3 + 5  # row 3, column 5 of the grid of stride 8
    output[third, :4] = [0.5, 0.25, np.log(2), np.log(4)]
    decoded = decode(output, size)
    np.testing.assert_allclose(decoded[third, :4], [44 - 8, 26 - 16, 44 + 8, 26 + 16], rtol=1e-5)
    last = decoded[-1]  # row 1, column 1 of the grid of stride 32
    np.testing.assert_allclose(last[:4], [32 - 16, 32 - 16, 32 + 16, 32 + 16], rtol=1e-5)
    np.testing.assert_array_equal(decoded[:, 4:], 0.5)


def test_overlap_of_known_boxes() -> None:
    boxes = np.array([[0, 0, 2, 2]], np.float32)
    others = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [2, 0, 4, 2], [-1, -1, 3, 3]], np.float32)
    np.testing.assert_allclose(iou(boxes, others), [[1, 1 / 3, 0, 0.25]], rtol=1e-6)


def test_a_box_takes_the_largest_score_of_the_candidates_on_it() -> None:
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [80, 0, 90, 10]], np.float32)
    candidates = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 3], [50, 50, 60, 53]], np.float32)
    scores = np.array([[0.5, 0.1], [0.2, 0.3], [0.9, 0.9], [0.0, 0.4]], np.float32)
    expected = [[0.5, 0.3], [0.0, 0.4], [0, 0]]  # both good overlaps; the best of the bad; nothing there at all
    np.testing.assert_allclose(matched(boxes, candidates, scores), expected)


def ped2_frame(shared_data: Path, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame `t` of the first test clip, and its shared boxes."""
    name = f"ped2/testing/frames/01/{t:03d}.jpg"
    with tarfile.open(shared_data / "ped2" / "ped2_testing_jpeg.tar") as archive:
        file = archive.extractfile(name)
        assert file is not None
        frame = decode_image(file.read(), name)
    with np.load(shared_data / "boxes" / "ped2_test_boxes.npz") as archive:
        first = int(archive["boxes_per_frame"][:t].sum())
        return frame, archive["boxes"][first : first + int(archive["boxes_per_frame"][t])]


def test_the_real_network_finds_people_and_the_cyclist_of_a_ped2_frame(shared_data: Path) -> None:
    frame, boxes = ped2_frame(shared_data, 100)
    network = shared_data / "detectors" / "yolox_nano.onnx"
    whole = OnnxClassifier(network, tiles=1, threads=1).probabilities(frame, boxes)
    tiled = OnnxClassifier(network, tiles=2, threads=1).probabilities(frame, boxes)
    assert whole.shape == tiled.shape == (len(boxes), 80)
    assert ((tiled >= 0) & (tiled <= 1)).all()
    person, bicycle = COCO_NAMES.index("person"), COCO_NAMES.index("bicycle")
    assert (whole[:, person] > 0.3).sum() >= 9
    assert (tiled[:, person] > 0.3).sum() >= 16
    assert tiled[:, bicycle].max() > 0.5
    assert np.argmax(tiled.sum(0)) == person
    nothing = OnnxClassifier(network, tiles=1, threads=1).probabilities(frame, np.zeros((0, 4), np.float32))
    assert nothing.shape == (0, 80)


def test_a_file_that_is_no_such_network_is_refused(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(LightvadError, match=r"broken\.onnx: not a readable ONNX network"):
        OnnxClassifier(tmp_path / "broken.onnx", tiles=1, threads=1)
    with pytest.raises(LightvadError, match="expected"):
        OnnxClassifier(shared_data / "detectors" / "object_detection_nanodet_2022nov.onnx", tiles=1, threads=1)
