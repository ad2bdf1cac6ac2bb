"""The stage: boxes of train and test in order, their class probabilities, what is said and what is refused."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lightvad.artifacts.tables import BOX, BOXES, read_table
from lightvad.config import Detection
from lightvad.detection import detect
from lightvad.detection.class_probabilities import COCO_NAMES, iou, read_class_probabilities
from lightvad.detection.timing import detector_for_timing
from lightvad.errors import LightvadError
from lightvad.video.clips import ClipStore

Store = Callable[[dict[str, list[np.ndarray]]], ClipStore]
MOTION = {"backend": "motion", "motion": {"threshold": 15, "minimal_area": 40, "gap": 2}}


@pytest.fixture
def store(make_store: Store, moving_frame: Callable[[int], np.ndarray]) -> ClipStore:
    """A moving object in train and test, a still test clip, and a split that is not looked at."""
    moving = [moving_frame(t) for t in range(10)]
    return make_store({"train/b": moving, "test/a": moving[:7], "test/still": moving[:1] * 4, "detector/d": moving})


def run(detection: dict[str, Any], clips: ClipStore, folder: Path) -> tuple[pd.DataFrame, np.ndarray, tuple[str, ...]]:
    boxes, classes = folder / "boxes.parquet", folder / "boxes.classes.npz"
    detect(
        Detection.model_validate(detection),
        dataset="drawn",
        clips=clips,
        raw=folder / "raw",
        out_boxes=boxes,
        out_classes=classes,
        folder=folder,
        device="cpu",
        seed=0,
    )
    table = read_table(boxes, BOXES)
    return table, *read_class_probabilities(classes, boxes=len(table))


def source(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"file": path.name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def imported(folder: Path, **tables: list[tuple]) -> dict[str, Any]:
    (folder / "raw").mkdir()
    for split, rows in tables.items():
        pd.DataFrame(rows, columns=["clip", "frame", *BOX]).to_csv(folder / "raw" / f"{split}.csv", index=False)
    files = {split: source(folder / "raw" / f"{split}.csv") for split in tables}
    return {"backend": "import", "imported": files}


def test_motion_follows_the_object_and_says_how_many_were_found(
    store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, probabilities, names = run(MOTION, store, tmp_path)
    assert set(table["clip"]) == {"a", "b"}
    assert table.equals(table.sort_values(["clip", "frame"], kind="stable"))
    assert probabilities.shape == (len(table), 0)
    assert names == ()
    inner = table[(table["clip"] == "b") & table["frame"].between(2, 7)]
    truth = np.array([[6 + 3 * t, 20, 18 + 3 * t, 40] for t in range(2, 8)], np.float32)
    assert len(inner) == 6
    assert np.diag(iou(truth, inner[list(BOX)].to_numpy())).min() > 0.7
    said = capsys.readouterr().err
    assert f"drawn motion boxes: train {(table['clip'] == 'b').sum()} in 10 frames" in said
    assert "warning: drawn motion boxes: none in clip still" in said


def test_where_nothing_is_found_at_all_nothing_is_written(
    make_store: Store, moving_frame: Callable[[int], np.ndarray], tmp_path: Path
) -> None:
    still = make_store({"train/a": [moving_frame(1)] * 3, "test/b": [moving_frame(2)] * 3})
    with pytest.raises(LightvadError, match="nothing was found in any clip"):
        run(MOTION, still, tmp_path)
    assert not (tmp_path / "boxes.parquet").exists()


def test_imported_boxes_of_both_splits_are_joined_in_the_order_of_clips(store: ClipStore, tmp_path: Path) -> None:
    detection = imported(tmp_path, train=[("b", 3, 1, 2, 3, 4)], test=[("still", 0, 5, 6, 7, 8), ("a", 6, 1, 1, 9, 9)])
    table, probabilities, _ = run(detection, store, tmp_path)
    assert table[["clip", "frame"]].to_numpy().tolist() == [["a", 6], ["b", 3], ["still", 0]]
    assert probabilities.shape == (3, 0)


def test_boxes_that_are_not_the_configured_ones_are_refused(store: ClipStore, tmp_path: Path) -> None:
    detection = imported(tmp_path, train=[("b", 3, 1, 2, 3, 4)], test=[("a", 6, 1, 1, 9, 9)])
    (tmp_path / "raw" / "test.csv").write_text("clip,frame,x1,y1,x2,y2\na,6,1,1,9,8\n")
    with pytest.raises(LightvadError, match=r"test\.csv: sha256"):
        run(detection, store, tmp_path)


def test_classes_of_the_backend_need_a_backend_that_has_classes(store: ClipStore, tmp_path: Path) -> None:
    wrong = {**MOTION, "class_probabilities": {"source": "backend"}}
    with pytest.raises(LightvadError, match=r"config/datasets/drawn\.yaml: detection\.class_probabilities\.source"):
        run(wrong, store, tmp_path)


def test_an_onnx_detector_gives_every_box_the_coco_classes(store: ClipStore, shared_data: Path, tmp_path: Path) -> None:
    network = shared_data / "detectors" / "yolox_nano.onnx"
    classes = {"source": "onnx", "onnx": source(network), "tiles": 1}
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / network.name).symlink_to(network)
    table, probabilities, names = run({**MOTION, "class_probabilities": classes}, store, tmp_path)
    assert names == COCO_NAMES
    assert probabilities.shape == (len(table), 80)
    assert (probabilities.max(1) > 0).all()


def test_motion_of_a_stream_is_about_the_frame_whose_future_is_known(
    moving_frame: Callable[[int], np.ndarray], tmp_path: Path
) -> None:
    detection = Detection.model_validate(MOTION)
    timed = detector_for_timing(detection, stand_in="yolov3u.yaml", raw=tmp_path, folder=tmp_path, device="cpu")
    boxes = timed.open()
    found = [boxes(moving_frame(t)) for t in range(8)]
    assert found[0].shape == (0, 4)
    truth = np.array([[6 + 3 * 5, 20, 18 + 3 * 5, 40]], np.float32)
    assert iou(truth, found[7]).max() > 0.7
    assert timed.network is None


def test_streams_of_different_sizes_take_turns(moving_frame: Callable[[int], np.ndarray], tmp_path: Path) -> None:
    timed = detector_for_timing(
        Detection.model_validate(MOTION), stand_in="yolov3u.yaml", raw=tmp_path, folder=tmp_path, device="cpu"
    )
    whole, lower = timed.open(), timed.open()
    for t in range(8):
        found, found_below = whole(moving_frame(t)), lower(moving_frame(t)[10:])
    np.testing.assert_array_equal(found_below, found - np.array([0, 10, 0, 10], np.float32))
    assert len(found)
