"""Anomaly maps and scores: Eq. 6 by hand, filters against SciPy, and that scores depend on their window alone."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage

from lightvad.artifacts.arrays import Maps
from lightvad.artifacts.pictures import read_shown
from lightvad.artifacts.weights import write_weights
from lightvad.config import RECONSTRUCTIONS_NAME
from lightvad.methods.aed_mae.scoring import AnomalyMaps, averaged, score, scorer, shown_frames
from lightvad.methods.aed_mae.settings import Settings
from lightvad.methods.aed_mae.training import pretrain, train
from lightvad.methods.aed_mae.windows import GRAY_MEAN
from lightvad.methods.protocol import Job

SIZE = (16, 32)


def maps_of(**scoring: object) -> tuple[AnomalyMaps, torch.Tensor]:
    torch.manual_seed(0)
    weights = {"teacher_error": 0, "discrepancy": 0, "class_probability": 0, "filter_size": None}
    settings = Settings.model_validate({"network": {"patch": 8}, "scoring": {**weights, **scoring}})
    return AnomalyMaps(settings, SIZE).eval(), torch.rand(2, 9, *SIZE) * 2 - 1


def test_each_weight_has_its_own_term() -> None:
    network, windows = maps_of(teacher_error=1)
    with torch.inference_mode():
        rebuilt = network.network(windows, network.kept)
        found, cells = network(windows)
    assert rebuilt.student is not None
    assert rebuilt.logits is not None

    def pixels(patches: torch.Tensor) -> torch.Tensor:
        """(2, 8, 8 * 8 * 4) -> (2, 16, 32, 4)."""
        return patches.reshape(2, 2, 4, 8, 8, 4).permute(0, 1, 3, 2, 4, 5).reshape(2, *SIZE, 4)

    frame = torch.cat([windows[:, 3:6], torch.zeros(2, 1, *SIZE)], 1).permute(0, 2, 3, 1)
    teacher, student = pixels(rebuilt.teacher), pixels(rebuilt.student)
    terms = {
        "teacher_error": (frame - teacher).square().mean(3),
        "discrepancy": (teacher - student).square().mean(3),
        "student_error": (frame - student).square().mean(3),
        "class_probability": torch.sigmoid(rebuilt.logits)[:, None, None].expand(2, *SIZE),
    }
    torch.testing.assert_close(found, terms["teacher_error"])
    torch.testing.assert_close(cells, found.reshape(2, 2, 8, 4, 8).mean((2, 4)))
    for name, term in terms.items():
        other, same = maps_of(**{name: 0.7})
        assert torch.equal(same, windows)
        with torch.inference_mode():
            torch.testing.assert_close(other(windows)[0], 0.7 * term)


@pytest.mark.parametrize("size", [3, 4, 9])
def test_the_filter_is_scipys_mean_with_zeros_outside(size: int) -> None:
    plain, windows = maps_of(teacher_error=1)
    filtered, _ = maps_of(teacher_error=1, filter_size=size)
    with torch.inference_mode():
        before, after = plain(windows)[0].numpy(), filtered(windows)[0].numpy()
    for one, own in zip(before, after, strict=True):
        np.testing.assert_allclose(own, ndimage.uniform_filter(one, size, mode="constant"), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 5, 9])
@pytest.mark.parametrize("length", [1, 3, 12])
def test_maps_are_averaged_over_the_frames_that_there_are(frames: int, length: int) -> None:
    planes = torch.rand(length, 2, 3)
    found = list(averaged(iter(planes), frames))
    assert len(found) == length
    for t, own in enumerate(found):
        near = planes[max(0, t - frames // 2) : t + (frames - 1 - frames // 2) + 1]
        torch.testing.assert_close(own, near.mean(0))


def test_scores_are_those_of_the_run_whatever_the_batch(make_job: Callable[..., Job]) -> None:
    job = make_job()
    pretrain(job)
    train(job)
    score(job)
    first = pd.read_parquet(job.folder / "frame_scores.parquet")
    assert first["frame"].tolist() == list(range(9))
    assert first["label"].tolist() == [0] * 5 + [1] * 4
    with Maps(job.folder / "maps.npz") as maps:
        assert maps.read("test_01", "patches").shape == (9, 5, 7)
    other = make_job(settings={"score_batch": 3})
    score(other)
    np.testing.assert_allclose(
        pd.read_parquet(other.folder / "frame_scores.parquet")["score"], first["score"], rtol=1e-4
    )


def test_the_timed_path_sees_frames_in_its_own_size() -> None:
    settings = Settings.model_validate({"network": {"patch": 8, "input_size": SIZE}})
    path = scorer(settings, frame_size=(40, 56), resolutions=(1,), weights=None, device="cpu")
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 56, 3), np.uint8)
    (inputs,) = path.inputs(frames, np.zeros((0, 4), np.float32))
    assert inputs.shape == (1, 9, *SIZE)
    assert path.scores(inputs).shape == (1,)
    assert path.example_inputs(batch=2, height=40, width=56, objects=0)[0].shape == (2, 9, *SIZE)
    torch.testing.assert_close(path.scores(torch.cat([inputs, inputs])), path.scores(inputs).expand(2))


def test_kept_frames_are_those_that_the_network_draws(make_job: Callable[..., Job]) -> None:
    """`reconstructions.npz`: two frames of each label, bounded, and its terms add up to the stored map."""
    torch.manual_seed(0)
    layer = {"shown_frames": 2, "class_head": False, "scoring": {"teacher_error": 0.5, "class_probability": 0}}
    job = make_job(settings=layer)
    network = AnomalyMaps(job.settings, job.settings.input_size(job.frame_size)).network
    write_weights(job.folder / "model.safetensors", network.state_dict(), job.metadata)
    score(job)
    kept = read_shown(job.folder / RECONSTRUCTIONS_NAME, remedy="again")
    assert [(one.clip, one.frame) for one in kept] == [("test_01", t) for t in (1, 3, 6, 8)], "5 normal, 4 abnormal"
    with Maps(job.folder / "maps.npz") as maps:
        cells = maps.read("test_01", "patches")
    for one in kept:
        assert {name: picture.shape for name, picture in one.pictures.items()} == {
            "teacher": (40, 56, 3), "student": (40, 56, 3)
        }  # fmt: skip
        total = 0.5 * one.maps["teacher_error"] + 0.3 * one.maps["discrepancy"]
        np.testing.assert_allclose(total.reshape(5, 8, 7, 8).mean((1, 3)), cells[one.frame], rtol=1e-4)
        distance = (one.pictures["teacher"].astype(float) - one.pictures["student"]) ** 2 / GRAY_MEAN**2
        assert 0.75 * distance.mean() <= one.maps["discrepancy"].mean() + 0.02, "without the map's channel, rounded"
    assert RECONSTRUCTIONS_NAME in job.settings.scoring_documents
    assert make_job().settings.scoring_documents == ()


@pytest.mark.parametrize(
    ("labels", "count", "frames"),
    [
        ([0, 0, 0, 1, 1, 1], 1, [1, 4]),
        ([0, 1, 0, 1, 0, 1], 2, [0, 1, 4, 5]),
        ([-1] * 4, 2, [1, 3]),
        ([0, 0, 1], 5, [0, 1, 2]),
    ],
)
def test_shown_frames_are_spread_over_each_label(labels: list[int], count: int, frames: list[int]) -> None:
    assert shown_frames(np.array(labels), count) == frames
