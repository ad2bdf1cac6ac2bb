"""Scoring: the timed path is the scored path, and what is written."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lightvad.artifacts.arrays import Maps
from lightvad.artifacts.tables import EPOCH_SCORES, FRAME_SCORES, read_table
from lightvad.artifacts.weights import read_weights, write_weights
from lightvad.errors import LightvadError
from lightvad.methods.fast_aed import scoring, training
from lightvad.methods.fast_aed.settings import Settings
from lightvad.methods.protocol import Job, Scorer
from lightvad.video.windows import window_indices

MakeJob = Callable[..., Job]
NO_BOXES = np.zeros((0, 4), np.float32)
RECONSTRUCTION: dict[str, Any] = {
    "teachers": [], "distillation": False, "adversarial": {"discriminators": "none"}, "pretrained_variant": "run",
}  # fmt: skip


def scorer_of(job: Job) -> scoring.FastAedScorer:
    return scoring.scorer(
        job.settings, frame_size=job.frame_size, resolutions=job.resolutions,
        weights=job.folder / "model.safetensors", device="cpu",
    )  # fmt: skip


def prepared(make_job: MakeJob, settings: dict[str, Any] | None = None, **keys: Any) -> Job:
    """A job with trained weights in its folder."""
    job = make_job("run", {"training": {"epochs": 1}, **(settings or {})}, **keys)
    if not job.settings.distils:
        training.pretrain(job)
        keys["pretrained"] = job.folder / "pretrained.safetensors"
        job = make_job("run", settings, **keys)
    training.train(job)
    return job


@pytest.mark.parametrize(
    "settings",
    [None, {"network": {"branches": "per_teacher", "input_frames": 1, "resolutions": [2, "full"]}}, RECONSTRUCTION],
    ids=["default", "branches", "reconstruction"],
)
def test_the_scores_written_are_those_of_the_scorer(make_job: MakeJob, settings: dict[str, Any] | None) -> None:
    job = prepared(make_job, settings)
    scoring.score(job)
    path = scorer_of(job)
    table = read_table(job.folder / "frame_scores.parquet", FRAME_SCORES)
    assert table["clip"].unique().tolist() == ["test_01"]
    assert table["frame"].tolist() == list(range(9))
    assert table["label"].tolist() == [0] * 5 + [1] * 4
    for t in range(9):
        window = job.clips.window("test_01", window_indices(t, path.offsets, 9, "current"))
        score = path.scores(*path.inputs(window, NO_BOXES))
        assert score.shape == (1,)
        assert score.item() == pytest.approx(table["score"][t], rel=1e-4)


def test_kept_epochs_are_those_of_a_training_that_ended_there(make_job: MakeJob) -> None:
    """Constant learning rate: the kept first epoch is the last one of a training of a single epoch."""
    layers = {"training": {"epochs": 3, "lr_decay": "constant"}, "checkpoints_on_test": 3}
    job, short = make_job("run", layers), make_job("short", {"training": {"epochs": 1, "lr_decay": "constant"}})
    assert job.settings.kept_epochs == (1, 2)
    for one in (job, short):
        training.train(one)
        scoring.score(one)
    kept, _ = read_weights(job.folder / "epochs" / "001.safetensors", "fast_aed")
    last, _ = read_weights(short.folder / "model.safetensors", "fast_aed")
    assert all(torch.equal(kept[name], last[name]) for name in last)
    table = read_table(job.folder / "epoch_scores.parquet", EPOCH_SCORES)
    assert table["epoch"].tolist() == [1] * 9 + [2] * 9
    first = table[table["epoch"] == 1]["score"].to_numpy()
    np.testing.assert_array_equal(first, read_table(short.folder / "frame_scores.parquet", FRAME_SCORES)["score"])
    assert not (short.folder / "epoch_scores.parquet").exists()
    # Trained and scored again in the same folder without them: nothing of them is left.
    none = replace(job, settings=short.settings)
    training.train(none)
    scoring.score(none)
    assert not list((job.folder / "epochs").iterdir())
    assert not (job.folder / "epoch_scores.parquet").exists()


@pytest.mark.parametrize(("epochs", "count", "kept"), [(35, 0, ()), (35, 1, ()), (6, 3, (2, 4)), (3, 10, (1, 2))])
def test_kept_epochs_are_spread_up_to_the_last(epochs: int, count: int, kept: tuple[int, ...]) -> None:
    settings = Settings.model_validate({"training": {"epochs": epochs}, "checkpoints_on_test": count})
    assert settings.kept_epochs == kept
    assert settings.epoch_weights == tuple(f"epochs/{epoch:03}.safetensors" for epoch in kept)


def test_maps_are_written_at_every_resolution_and_scores_come_from_them(make_job: MakeJob) -> None:
    job = prepared(make_job)
    scoring.score(job)
    with Maps(job.folder / "maps.npz") as maps:
        assert maps.keys() == ["test_01/1", "test_01/2", "test_01/4"]
        maxima = [maps.read("test_01", side).max((1, 2)) for side in (1, 2, 4)]
        assert maps.read("test_01", 4).shape == (9, 4, 4)
    table = read_table(job.folder / "frame_scores.parquet", FRAME_SCORES)
    np.testing.assert_allclose(table["score"], np.mean(maxima, axis=0), rtol=1e-5)
    assert not list(job.folder.glob(".maps_*"))


def test_the_settings_resolutions_go_before_the_datasets_and_full_is_the_frame_size(make_job: MakeJob) -> None:
    job = prepared(make_job, {"network": {"resolutions": ["full", 4]}}, frame_size=(48, 64))
    scoring.score(job)
    with Maps(job.folder / "maps.npz") as maps:
        assert maps.read("test_01", "full").shape == (9, 48, 64)
        assert maps.keys() == ["test_01/full", "test_01/4"]


def test_the_scorer_keeps_the_protocol_and_needs_no_weights() -> None:
    path = scoring.scorer(
        Settings.model_validate({"network": {"blocks": 1, "heads": 1}}), frame_size=(40, 56), resolutions=(1, 4),
        weights=None, device="cpu",
    )  # fmt: skip
    assert isinstance(path, Scorer)
    assert path.offsets == (-3, 0, 3)
    assert path.precision == "32-true"
    assert not path.network.training
    inputs = path.example_inputs(batch=3, height=40, width=56, objects=0)
    assert path.scores(*inputs).shape == (3,)
    window = np.random.default_rng(0).integers(0, 256, (3, 30, 50, 3), dtype=np.uint8)
    (frames,) = path.inputs(window, NO_BOXES)
    assert frames.shape == (1, 9, 40, 56)
    assert frames.dtype == torch.uint8
    assert frames.stride() == inputs[0][:1].stride()


def test_precision_and_activation_reach_the_scores(make_job: MakeJob) -> None:
    job = prepared(make_job)
    frames = scorer_of(job).example_inputs(batch=2, height=40, width=56, objects=0)
    plain = scorer_of(job).scores(*frames)
    assert plain.dtype == torch.float32
    other = make_job("run", {"score_precision": "bf16-mixed"})
    coarse = scorer_of(other).scores(*frames)
    assert not torch.equal(coarse, plain)
    torch.testing.assert_close(coarse, plain, atol=0.05, rtol=0.05)


def test_weights_that_do_not_fit_or_belong_elsewhere_are_refused(make_job: MakeJob) -> None:
    job = prepared(make_job)
    wider = make_job("run", {"network": {"heads": 2}})
    with pytest.raises(LightvadError, match="weights do not fit"):
        scorer_of(wider)
    write_weights(job.folder / "model.safetensors", {"w": torch.zeros(1)}, {"method": "ssmtl"})
    with pytest.raises(LightvadError, match="'ssmtl'"):
        scorer_of(job)
