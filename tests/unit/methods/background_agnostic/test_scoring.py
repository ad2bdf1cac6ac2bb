"""Scores of all boxes, and the path that is timed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lightvad.artifacts.tables import OBJECT_SCORES, read_table
from lightvad.artifacts.weights import write_weights
from lightvad.errors import LightvadError
from lightvad.methods.background_agnostic.inputs import frames_with_objects
from lightvad.methods.background_agnostic.model import STREAMS, network_of
from lightvad.methods.background_agnostic.scoring import score, scorer
from lightvad.methods.protocol import Scorer


@pytest.fixture
def scored(tiny_job):
    job = tiny_job()
    torch.manual_seed(0)
    write_weights(job.folder / "model.safetensors", network_of(job.settings).state_dict(), job.metadata)
    score(job)
    return job, read_table(job.folder / "object_scores.parquet", OBJECT_SCORES)


def path_of(job, weights):
    return scorer(job.settings, frame_size=job.frame_size, resolutions=job.resolutions, weights=weights, device="cpu")


def test_every_box_has_a_score_per_stream_and_their_mean(scored):
    job, table = scored
    assert list(table.columns) == ["clip", "frame", "x1", "y1", "x2", "y2", *STREAMS, "score"]
    assert table[list(job.boxes.columns[:6])].equals(job.boxes[list(job.boxes.columns[:6])])
    values = table[[*STREAMS, "score"]].to_numpy()
    assert ((values >= 0) & (values <= 1)).all()
    assert table["score"].to_numpy() == pytest.approx(table[list(STREAMS)].mean(axis=1).to_numpy(), abs=1e-6)
    assert (table[list(STREAMS)].std() > 0).all()


def test_the_timed_path_gives_the_written_scores(scored):
    job, table = scored
    path = path_of(job, job.folder / "model.safetensors")
    assert isinstance(path, Scorer)
    assert (tuple(path.offsets), path.needs_boxes, path.precision) == ((-1, 0, 1), True, "32-true")
    for frame in frames_with_objects(job.clips, ["test_01"], job.boxes, gap=1):
        scores = path.scores(*path.inputs(frame.window, frame.boxes))
        assert scores.numpy() == pytest.approx(table["score"].to_numpy()[frame.rows], abs=1e-5)


def test_no_objects_no_scores(tiny_job):
    path = path_of(tiny_job(), None)
    inputs = path.inputs(np.zeros((3, 60, 80, 3), np.uint8), np.empty((0, 4), np.float32))
    assert path.scores(*inputs).shape == (0,)


@pytest.mark.parametrize("motion", ["flow", "gradients"])
def test_example_inputs_fit_the_network(tiny_job, motion):
    path = path_of(tiny_job(motion=motion), None)
    inputs = path.example_inputs(batch=2, height=240, width=360, objects=3)
    assert [tuple(x.shape[:2]) for x in inputs] == [(6, 1), *[(6, 2 if motion == "flow" else 1)] * 2]
    assert path.scores(*inputs).shape == (6,)


def test_only_what_runs_at_test_time_is_counted(tiny_job):
    # Three streams of encoder 14,192, decoder 34,929 and classifier; 577 more inputs and outputs for a flow stream.
    network = path_of(tiny_job(), None).network
    classifier = 320 + 9_248 + 4_624 + 4_624 + 65_600 + 65
    expected = 3 * (14_192 + 34_929 + classifier) + 2 * (288 + 289 + 288)
    assert sum(p.numel() for p in network.parameters()) == expected


def test_bf16_scores_are_close(scored):
    job, table = scored
    half = replace(job, settings=job.settings.model_copy(update={"precision": "bf16-mixed"}))
    score(half)
    again = read_table(job.folder / "object_scores.parquet", OBJECT_SCORES)
    assert again["score"].to_numpy() == pytest.approx(table["score"].to_numpy(), abs=0.02)


def test_weights_of_another_architecture_are_refused(scored, tiny_job):
    job, _ = scored
    other = replace(tiny_job(skips=False), folder=job.folder)
    with pytest.raises(LightvadError, match=r"model\.safetensors: weights do not fit"):
        score(other)


def test_no_boxes_give_an_empty_table(scored):
    job, _ = scored
    score(replace(job, boxes=job.boxes.iloc[:0]))
    assert len(read_table(job.folder / "object_scores.parquet", OBJECT_SCORES)) == 0
