"""From tasks to scores: ranges, weights, and that what is timed is what is scored."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from lightvad.artifacts.tables import BOX, OBJECT_SCORES, read_table
from lightvad.errors import LightvadError
from lightvad.methods.protocol import Job, Scorer
from lightvad.methods.ssmtl.scoring import SSMTLScorer, score, scorer
from lightvad.methods.ssmtl.settings import TASKS, Settings
from lightvad.methods.ssmtl.task_scores import task_scores
from lightvad.methods.ssmtl.training import train
from lightvad.video.windows import window_indices

JobMaker = Callable[..., Job]


@pytest.fixture
def scored(toy_job: JobMaker) -> Job:
    job = toy_job(training={"epochs": 1, "batch": 8, "validation_objects": 16})
    train(job)
    score(job)
    return job


def scorer_of(job: Job, settings: Settings | None = None) -> SSMTLScorer:
    return scorer(
        settings or job.settings, frame_size=job.frame_size, resolutions=(1,),
        weights=job.folder / "model.safetensors", device="cpu",
    )  # fmt: skip


def test_every_box_has_a_raw_score_per_task_in_the_unit_interval(scored: Job) -> None:
    table = read_table(scored.folder / "object_scores.parquet", OBJECT_SCORES)
    assert list(table.columns) == [*[name for name in OBJECT_SCORES if name != "score"], *TASKS, "score"]
    np.testing.assert_array_equal(table[list(BOX)], scored.boxes[list(BOX)])
    assert list(table["clip"]) == list(scored.boxes["clip"])
    for task in TASKS:
        assert table[task].between(0, 1).all()
        assert table[task].nunique() > 1
    np.testing.assert_allclose(table["score"], table[list(TASKS)].mean(axis=1), rtol=1e-5)


def test_the_scorer_gives_the_scores_of_the_stage(scored: Job) -> None:
    path = scorer_of(scored)
    assert isinstance(path, Scorer)
    table = read_table(scored.folder / "object_scores.parquet", OBJECT_SCORES)
    for row in (0, 9, len(table) - 1):
        clip, t = table.loc[row, "clip"], int(table.loc[row, "frame"])
        window = scored.clips.window(clip, window_indices(t, path.offsets, scored.clips[clip].frames, "clamp"))
        box = scored.boxes.loc[[row], list(BOX)].to_numpy(np.float32)
        inputs = path.inputs(window, box, scored.class_probabilities[[row]])
        assert float(path.scores(*inputs)) == pytest.approx(float(table.loc[row, "score"]), rel=1e-4)


def test_scores_do_not_depend_on_the_order_of_the_boxes(scored: Job) -> None:
    order = np.random.default_rng(0).permutation(len(scored.boxes))
    before = read_table(scored.folder / "object_scores.parquet", OBJECT_SCORES)
    score(replace(scored, boxes=scored.boxes.iloc[order], class_probabilities=scored.class_probabilities[order]))
    after = read_table(scored.folder / "object_scores.parquet", OBJECT_SCORES)
    np.testing.assert_allclose(after["score"], before["score"].to_numpy()[order], rtol=1e-4, atol=1e-6)


def test_weights_and_standardisation_change_the_mean_alone(scored: Job) -> None:
    raw = scorer_of(scored)
    inputs = raw.example_inputs(batch=2, height=240, width=360, objects=3)
    by_task = raw.scores_by_task(*inputs)
    assert by_task.shape == (6, 4)
    assert raw.scores(*inputs).shape == (6,)

    def with_scoring(**scoring: object) -> SSMTLScorer:
        return scorer_of(scored, Settings.model_validate(scored.settings.model_dump() | {"scoring": scoring}))

    weighted = with_scoring(task_weights={"arrow": 1, "irregularity": 3, "middle": 0, "distillation": 0})
    assert weighted.tasks == ("arrow", "irregularity")
    expected = by_task[:, 0] / 4 + by_task[:, 1] * 3 / 4
    torch.testing.assert_close(weighted.scores(*inputs), expected, rtol=1e-4, atol=1e-6)
    standardised = with_scoring(standardise="training")
    torch.testing.assert_close(standardised.scores_by_task(*inputs), by_task)
    expected = (by_task / raw.network.score_spread).mean(1)
    torch.testing.assert_close(standardised.scores(*inputs), expected, rtol=1e-4, atol=1e-6)
    assert (standardised.scores(*inputs) >= 0).all()


def test_perfect_predictions_score_zero(scored: Job) -> None:
    path = scorer_of(scored)
    crops, targets = path.example_inputs(batch=1, height=40, width=64, objects=2)
    with torch.inference_mode():
        head = path.network.distillation[-1]
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.25, 1.5, -0.5]))
        targets[0] = torch.tensor([0.25, 1.0, 0.0])
        targets[1] = torch.tensor([0.75, 0.0, 1.0])
        found = task_scores(path.network, crops, targets, ("distillation",), "classes")
    torch.testing.assert_close(found[:, 0], torch.tensor([0.0, (0.5 + 1 + 1) / 3]))


@pytest.mark.parametrize("probabilities", [None, np.zeros((1, 5), np.float32)])
def test_missing_class_probabilities_are_never_zero_in_silence(scored: Job, probabilities: np.ndarray | None) -> None:
    path = scorer_of(scored)
    window, box = np.zeros((7, 40, 64, 3), np.uint8), np.array([[1, 1, 9, 9]], np.float32)
    assert path.needs_class_probabilities
    with pytest.raises(LightvadError, match="class probabilities") as caught:
        path.inputs(window, box, probabilities)
    assert "\n" not in str(caught.value)


def test_a_frame_without_boxes_has_no_scores(scored: Job) -> None:
    path = scorer_of(scored)
    inputs = path.inputs(np.zeros((7, 40, 64, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros((0, 3), np.float32))
    assert inputs[0].shape == (0, 7, 16, 16, 3)
    assert path.scores(*inputs).shape == (0,)


def test_without_weights_a_fresh_network_of_the_papers_targets_is_timed() -> None:
    path = scorer(Settings(), frame_size=(360, 640), resolutions=(1,), weights=None, device="cpu")
    inputs = path.example_inputs(batch=1, height=360, width=640, objects=2)
    assert inputs[0].shape == (2, 7, 64, 64, 3)
    assert inputs[1].shape == (2, 1080)
    assert path.scores(*inputs).shape == (2,)
    assert not path.network.training


def test_weights_of_other_settings_are_refused(scored: Job) -> None:
    other = Settings.model_validate(scored.settings.model_dump() | {"crop_size": 32})
    with pytest.raises(LightvadError, match="do not fit"):
        scorer_of(scored, other)
