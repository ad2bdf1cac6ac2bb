"""What task 4 distils: class probabilities, and the features of an ONNX classifier made here byte by byte."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lightvad.artifacts.tables import OBJECT_SCORES, read_table
from lightvad.artifacts.weights import read_weights
from lightvad.config import Source
from lightvad.errors import LightvadError
from lightvad.methods.protocol import Job
from lightvad.methods.ssmtl import targets
from lightvad.methods.ssmtl.features import feature_network, normalised
from lightvad.methods.ssmtl.scoring import score
from lightvad.methods.ssmtl.settings import Distillation
from lightvad.methods.ssmtl.targets import targets_of
from lightvad.methods.ssmtl.training import train

JobMaker = Callable[..., Job]
CPU = torch.device("cpu")


def field(number: int, value: int | str | bytes) -> bytes:
    """One field of a protocol buffer: a varint below 128, or bytes below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    content = value.encode() if isinstance(value, str) else value
    length = bytes([len(content)]) if len(content) < 128 else bytes([len(content) & 127 | 128, len(content) >> 7])
    return bytes([number << 3 | 2]) + length + content


def mean_colour_classifier() -> bytes:
    """An ONNX model (N, 3, S, S) -> (N, 3): global average pooling, flattened."""

    def tensor(name: str, *sides: str) -> bytes:
        shape = b"".join(field(1, field(2, side)) for side in sides)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))

    pool = field(1, "x") + field(2, "p") + field(4, "GlobalAveragePool")
    flatten = field(1, "p") + field(2, "y") + field(4, "Flatten")
    graph = field(1, pool) + field(1, flatten) + field(2, "g")
    graph += field(11, tensor("x", "n", "c", "h", "w")) + field(12, tensor("y", "n", "c"))
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))


def source(path: Path, content: bytes) -> dict[str, Any]:
    """The file at `path`, as the settings name it if it holds `content`."""
    return {"file": str(path), "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.fixture
def classifier(tmp_path: Path) -> dict[str, Any]:
    path, content = tmp_path / "classifier.onnx", mean_colour_classifier()
    path.write_bytes(content)
    return {"features": "onnx", "features_onnx": source(path, content), "features_size": 32}


def test_onnx_features_are_what_the_classifier_says(classifier: dict[str, Any]) -> None:
    network = feature_network(Distillation.model_validate(classifier), CPU)
    assert network is not None
    crops = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    torch.testing.assert_close(network(crops), normalised(crops, 32).mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_normalised_maps_imagenet_mean_to_zero() -> None:
    crop = (torch.tensor([0.485, 0.456, 0.406]) * 255).round().to(torch.uint8).expand(1, 8, 8, 3)
    assert normalised(crop, 24).shape == (1, 3, 24, 24)
    assert normalised(crop, 24).abs().max() < 0.01


def test_features_are_standardised_over_the_training_objects(toy_job: JobMaker, classifier: dict[str, Any]) -> None:
    job = toy_job(distillation=classifier)
    found = targets_of(job, np.arange(40), trained=30, device=CPU)
    assert (found.classes, found.features) == (3, 3)
    np.testing.assert_array_equal(found.values[:, :3], job.class_probabilities[:40])
    np.testing.assert_allclose(found.values[:30, 3:].mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(found.values[:30, 3:].std(0), 1, atol=1e-2)
    as_they_are = toy_job(distillation={**classifier, "standardise_features": False}, folder="raw")
    raw = targets_of(as_they_are, np.arange(40), trained=30, device=CPU).values[:, 3:]
    np.testing.assert_allclose(raw, found.values[:, 3:] * found.feature_spread + found.feature_mean, atol=1e-3)


def test_features_are_computed_once(
    toy_job: JobMaker, classifier: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = toy_job(distillation=classifier)
    first = targets_of(job, np.arange(20), trained=20, device=CPU)

    def never(_: torch.Tensor) -> torch.Tensor:
        raise AssertionError

    monkeypatch.setattr(targets, "feature_network", lambda *_: never)
    np.testing.assert_array_equal(targets_of(job, np.arange(20), trained=20, device=CPU).values, first.values)


def test_features_alone_can_be_distilled_and_scored(toy_job: JobMaker, classifier: dict[str, Any]) -> None:
    job = toy_job(classes=0, tasks=("distillation",), distillation={**classifier, "kd_score": "both"})
    train(job)
    score(job)
    state, metadata = read_weights(job.folder / "model.safetensors")
    assert (metadata["classes"], metadata["features"]) == ("0", "3")
    assert not (state["feature_spread"] == 1).any()
    table = read_table(job.folder / "object_scores.parquet", OBJECT_SCORES)
    assert table["distillation"].gt(0).all()


def test_what_is_no_classifier_is_one_line(tmp_path: Path) -> None:
    path, content = tmp_path / "broken.onnx", b"no onnx"
    path.write_bytes(content)
    with pytest.raises(LightvadError, match=r"broken\.onnx is not a loadable ONNX model") as caught:
        feature_network(Distillation(features="onnx", features_onnx=Source(**source(path, content))), CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, r"classifier\.onnx: missing; "),
        (b"", r"classifier\.onnx: 0 bytes, "),
        (mean_colour_classifier()[:-1] + b"\x0c", r"classifier\.onnx: sha256 .* expected; "),
    ],
    ids=["missing", "truncated", "another"],
)
def test_a_classifier_that_is_not_the_configured_one_is_never_loaded(
    classifier: dict[str, Any], content: bytes | None, complaint: str
) -> None:
    path = Path(classifier["features_onnx"]["file"])
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LightvadError, match=complaint + r".*distillation\.features_onnx.*features: none") as caught:
        feature_network(Distillation.model_validate(classifier), CPU)
    assert "\n" not in str(caught.value)


def test_resnet50_weights_that_cannot_be_had_name_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    with pytest.raises(LightvadError, match=r"resnet50.*distillation.features") as caught:
        feature_network(Distillation(), CPU)
    assert "\n" not in str(caught.value)


def test_onnx_needs_its_file() -> None:
    with pytest.raises(ValidationError, match="features_onnx"):
        Distillation(features="onnx")
