"""The YOLO backend: what surrounds the network, the training on generated boxes, and what is refused."""

import hashlib
import importlib.util
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.killing import ended
from torch import nn

from lightvad.artifacts.documents import read_csv
from lightvad.artifacts.tables import BOXES, read_table, write_table
from lightvad.config import Detection, Source, UltralyticsDetector
from lightvad.datasets.plaza import CLASSES
from lightvad.detection import detect
from lightvad.detection.class_probabilities import read_class_probabilities
from lightvad.detection.timing import detector_for_timing
from lightvad.detection.yolo import YoloDetector, built_network, network_images, published_network
from lightvad.detection.yolo_training import batches, train_detector, truth_images
from lightvad.errors import LightvadError
from lightvad.project import Project
from lightvad.video.clips import ClipStore

TINY = """
names: [square, disc]
reg_max: 4
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [[2], 1, Detect, [nc]]
"""

needs_ultralytics = pytest.mark.skipif(
    importlib.util.find_spec("ultralytics") is None, reason="the optional extra `ultralytics` is not installed"
)

Store = Callable[[dict[str, list[np.ndarray]]], ClipStore]


class FixedOutput(nn.Module):
    """Stands where a network stands: gives the same raw output (B, 4 + C, A) for every image."""

    def __init__(self, raw: list[list[float]]) -> None:
        super().__init__()
        self.stride = torch.tensor([8.0, 16.0])
        self.raw = torch.tensor(raw).T

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.raw.expand(len(images), -1, -1)


def detector_of(raw: list[list[float]], image_size: int = 160) -> YoloDetector:
    settings = UltralyticsDetector(architecture="none.yaml", image_size=image_size, confidence=0.5, iou=0.45)
    return YoloDetector(FixedOutput(raw), names=("a", "b"), settings=settings, device=torch.device("cpu"))


def test_raw_output_becomes_boxes_with_the_probabilities_of_all_classes() -> None:
    raw = [
        [40, 40, 20, 40, 0.9, 0.2],  # kept
        [41, 40, 20, 40, 0.8, 0.1],  # same object, less sure
        [42, 40, 20, 40, 0.1, 0.7],  # same place, another class: kept
        [90, 40, 20, 40, 0.4, 0.3],  # not sure enough
        [0, 0, 20, 20, 0.6, 0.0],  # reaches over the corner: clipped
        [-30, 10, 20, 20, 0.9, 0.0],  # outside the frame: dropped
    ]
    frame = np.zeros((60, 80, 3), np.uint8)  # the network sees it twice as large
    first, second = detector_of(raw).detect([frame, frame])
    np.testing.assert_allclose(first.boxes, [[15, 10, 25, 30], [16, 10, 26, 30], [0, 0, 5, 5]])
    np.testing.assert_allclose(first.confidence, [0.9, 0.7, 0.6])
    assert first.class_id.tolist() == [0, 1, 0]
    np.testing.assert_allclose(first.probabilities, [[0.9, 0.2], [0.1, 0.7], [0.6, 0.0]])
    np.testing.assert_array_equal(first.boxes, second.boxes)


def test_nothing_found_is_an_empty_answer() -> None:
    (none,) = detector_of([[40, 40, 20, 40, 0.1, 0.2]]).detect([np.zeros((60, 80, 3), np.uint8)])
    assert none.boxes.shape == (0, 4)
    assert none.probabilities.shape == (0, 2)


def test_the_network_sees_rgb_scaled_and_padded_to_its_stride() -> None:
    frame = np.zeros((60, 100, 3), np.uint8)
    frame[..., 0] = 255
    images, scale = network_images([frame], image_size=200, stride=32)
    assert scale == 2
    assert images.shape == (1, 3, 128, 224)
    assert (images[0, 0, :120, :200] == 1).all()
    assert (images[0, 1:, :120, :200] == 0).all()
    np.testing.assert_allclose(images[0, :, 120:], 114 / 255)


@pytest.fixture
def scene(make_store: Store, moving_frame: Callable[[int], np.ndarray], tmp_path: Path) -> tuple[ClipStore, Path]:
    """A store with the splits train, test and detector, true boxes beside it, and the yaml of a tiny network."""
    frames = [moving_frame(t) for t in range(16)]
    store = make_store({"train/a": frames[:6], "test/b": frames[6:10], "detector/d": frames})
    rows = [("d", t, 6 + 3 * t, 20, 18 + 3 * t, 40, 1.0, 0) for t in range(16)]
    rows += [("a", 0, 1, 1, 5, 5, 1.0, 7)]  # of another split: must not matter
    write_table(store.root / "truth_boxes.parquet", pd.DataFrame(rows, columns=list(BOXES)), BOXES)
    (tmp_path / "tiny.yaml").write_text(TINY)
    return store, tmp_path / "tiny.yaml"


def settings_of(architecture: Path, epochs: int = 1) -> UltralyticsDetector:
    return UltralyticsDetector(architecture=str(architecture), epochs=epochs, image_size=80, batch=2, confidence=0.2)


@needs_ultralytics
def test_batches_are_a_function_of_seed_and_epoch_and_mirror_boxes_with_images(scene: tuple[ClipStore, Path]) -> None:
    data = truth_images(scene[0], image_size=80, stride=8, classes=2)
    assert len(data.images) == 16
    first, again = (list(batches(data, batch=8, seed=1, epoch=2)) for _ in range(2))
    other = next(batches(data, batch=8, seed=1, epoch=3))
    assert all(torch.equal(one[key], two[key]) for one, two in zip(first, again, strict=True) for key in one)
    assert not torch.equal(first[0]["img"], other["img"])
    for batch in first:
        height, width = batch["img"].shape[-2:]
        for index, (x, y, w, h) in zip(batch["batch_idx"].int(), batch["bboxes"].numpy(), strict=True):
            bright = (batch["img"][index, 0] > 0.6).nonzero()
            found = [*bright.amin(0).tolist(), *(bright.amax(0) + 1).tolist()]
            expected = [(y - h / 2) * height, (x - w / 2) * width, (y + h / 2) * height, (x + w / 2) * width]
            np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.slow
@needs_ultralytics
def test_a_training_gives_valid_tables_and_is_found_again_for_timing(
    scene: tuple[ClipStore, Path], tmp_path: Path
) -> None:
    clips, architecture = scene
    detection = Detection.model_validate(
        {
            "backend": "ultralytics",
            "ultralytics": settings_of(architecture, epochs=20).model_dump(),
            "class_probabilities": {"source": "backend"},
        }
    )
    boxes, classes, folder = tmp_path / "u.parquet", tmp_path / "u.classes.npz", tmp_path / "working"
    places = {"raw": tmp_path, "folder": folder, "device": "cpu"}
    detect(detection, dataset="drawn", clips=clips, out_boxes=boxes, out_classes=classes, seed=0, **places)
    table = read_table(boxes, BOXES)
    probabilities, names = read_class_probabilities(classes, boxes=len(table))
    assert set(table["clip"]) <= {"a", "b"}
    assert table.equals(table.sort_values(["clip", "frame"], kind="stable"))
    assert names == ("square", "disc")
    np.testing.assert_allclose(probabilities.max(1), table["confidence"], atol=1e-3)
    assert [int(row["epoch"]) for row in read_csv(folder / "detector.csv")] == list(range(1, 21))
    assert not (folder / "_resume").exists()
    timed = detector_for_timing(detection, stand_in="yolov3u.yaml", **places)
    found = timed.open()(clips.frame("b", 0))
    np.testing.assert_allclose(found, table[(table["clip"] == "b") & (table["frame"] == 0)][["x1", "y1", "x2", "y2"]])
    assert timed.network is not None


@pytest.mark.slow
@needs_ultralytics
def test_a_killed_training_ends_with_the_bytes_of_an_undisturbed_one(
    scene: tuple[ClipStore, Path], tmp_path: Path
) -> None:
    clips, architecture = scene
    training = partial(
        train_detector, settings_of(architecture, 3), architecture=architecture, clips=clips, device="cpu", what="drawn"
    )
    whole, killed, other = tmp_path / "whole", tmp_path / "killed", tmp_path / "other"
    first = partial(training, folder=killed, seed=0)
    # Eight batches an epoch: in the middle of the second, then at the end of the third.
    everything = [partial(training, folder=other, seed=1), partial(training, folder=whole, seed=0), first]
    assert ended(everything, tmp_path, kill_at=12) == -signal.SIGKILL
    assert (killed / "_resume" / "detector.pt").is_file()
    assert ended([first], tmp_path, kill_at=16) == -signal.SIGKILL
    assert not (killed / "detector.safetensors").exists()
    assert ended([first], tmp_path) == 0
    kept = [(folder / "detector.safetensors").read_bytes() for folder in (killed, whole, other)]
    assert kept[0] == kept[1] != kept[2]


@needs_ultralytics
def test_truth_that_does_not_fit_is_refused(scene: tuple[ClipStore, Path], make_store: Store, tmp_path: Path) -> None:
    clips, _ = scene
    with pytest.raises(LightvadError, match="names 0 classes"):
        truth_images(clips, image_size=80, stride=8, classes=0)
    (clips.root / "truth_boxes.parquet").unlink()
    with pytest.raises(LightvadError, match=r"truth_boxes\.parquet: no boxes of a split `detector`"):
        truth_images(clips, image_size=80, stride=8, classes=2)


@needs_ultralytics
@pytest.mark.parametrize(
    "content", ["names: [a]", "- 1", "names: [a]\nbackbone: [[-1, 1, NoSuchLayer, [8]]]\nhead: []"]
)
def test_a_wrong_model_yaml_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(content)
    with pytest.raises(LightvadError, match=r"wrong\.yaml: not a model yaml") as refused:
        built_network(tmp_path / "wrong.yaml", folder=tmp_path)
    assert "\n" not in str(refused.value)
    with pytest.raises(LightvadError, match="cannot be read"):
        built_network(tmp_path / "missing.yaml", folder=tmp_path)


class Trap:
    """Unpickling this writes a file: the trace of code that must never run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def weights_detection(content: bytes, *, sha256: str | None = None) -> Detection:
    source = Source(file="yolov3u.pt", size=len(content), sha256=sha256 or hashlib.sha256(content).hexdigest())
    return Detection(backend="ultralytics", ultralytics=UltralyticsDetector(weights=source))


def test_weights_of_a_wrong_sha256_are_refused_before_they_are_loaded(
    make_store: Store, moving_frame: Callable[[int], np.ndarray], tmp_path: Path
) -> None:
    store = make_store({"train/a": [moving_frame(0)], "test/b": [moving_frame(1)]})
    torch.save({"model": Trap(tmp_path / "ran")}, tmp_path / "yolov3u.pt")
    content = (tmp_path / "yolov3u.pt").read_bytes()
    places = {
        "raw": tmp_path,
        "folder": tmp_path,
        "out_boxes": tmp_path / "u.parquet",
        "out_classes": tmp_path / "c.npz",
    }
    wrong = weights_detection(content, sha256="0" * 64)
    with pytest.raises(
        LightvadError, match=r"yolov3u\.pt: sha256 .* this is the detector weights: run `lightvad fetch`"
    ):
        detect(wrong, dataset="drawn", clips=store, device="cpu", seed=0, **places)
    assert not (tmp_path / "ran").exists()
    (tmp_path / "yolov3u.pt").unlink()
    with pytest.raises(
        LightvadError, match=r"yolov3u\.pt: missing; this is the detector weights: run `lightvad fetch`"
    ) as refused:
        detect(wrong, dataset="drawn", clips=store, device="cpu", seed=0, **places)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "u.parquet").exists()


@needs_ultralytics
def test_a_checkpoint_is_loaded_as_data_and_code_in_it_never_runs(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    network, _ = built_network(tmp_path / "tiny.yaml", folder=tmp_path)
    network.names = {0: "square", 1: "disc"}  # type: ignore[assignment]
    network.args = {}  # type: ignore[assignment]
    torch.save({"model": network.half(), "train_args": {}}, tmp_path / "good.pt")
    loaded, names = published_network(tmp_path / "good.pt", folder=tmp_path)
    assert names == ("square", "disc")
    assert next(loaded.parameters()).dtype == torch.float32
    torch.save({"model": Trap(tmp_path / "ran")}, tmp_path / "trap.pt")
    with pytest.raises(LightvadError, match=r"trap\.pt: ultralytics cannot load it as data"):
        published_network(tmp_path / "trap.pt", folder=tmp_path)
    assert not (tmp_path / "ran").exists()


@needs_ultralytics
def test_the_detector_of_the_plaza_knows_the_classes_of_its_generator(repository: Path, tmp_path: Path) -> None:
    settings = Project(repository).dataset("plaza").detection.ultralytics
    assert settings is not None
    assert settings.architecture is not None
    network, names = built_network(repository / settings.architecture, folder=tmp_path)
    assert names == CLASSES
    assert sum(parameter.numel() for parameter in network.parameters()) < 300_000
    (answer,) = YoloDetector(network, names=names, settings=settings, device=torch.device("cpu")).detect(
        [np.zeros((160, 240, 3), np.uint8)]
    )
    assert answer.probabilities.shape[1] == len(CLASSES)
