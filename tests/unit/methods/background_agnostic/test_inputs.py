"""From frames and boxes to crops."""

import numpy as np
import pandas as pd
import pytest
import torch

from lightvad.errors import LightvadError
from lightvad.methods.background_agnostic.inputs import (
    as_inputs,
    counts,
    frames_with_objects,
    motion_of,
    object_crops,
)
from lightvad.methods.background_agnostic.settings import Settings


def test_frames_come_in_order_with_all_their_boxes(tiny_job):
    job = tiny_job()
    names = ["train_01", "test_01"]
    shuffled = job.boxes.sample(frac=1, random_state=0).reset_index(drop=True)
    frames = list(frames_with_objects(job.clips, names, shuffled, gap=1))
    assert [(f.clip, f.t) for f in frames] == [(name, t) for name in names for t in range(14) if t != 5]
    assert (len(frames), sum(len(f.rows) for f in frames)) == counts(names, shuffled) == (26, 78)
    for f in frames:
        assert (shuffled.loc[f.rows, "frame"] == f.t).all()
        assert np.array_equal(f.boxes, shuffled.loc[f.rows, ["x1", "y1", "x2", "y2"]])
    assert [f.t for f in frames_with_objects(job.clips, ["train_01"], job.boxes, gap=1, stride=4)] == [0, 4, 8, 12]


def test_the_window_is_clamped_at_the_ends_of_a_clip(tiny_job):
    job = tiny_job()
    frames = list(frames_with_objects(job.clips, ["train_01"], job.boxes, gap=3))
    assert np.array_equal(frames[0].window[0], frames[0].window[1])
    assert np.array_equal(frames[0].window[2], job.clips.frame("train_01", 3))
    assert np.array_equal(frames[-1].window[2], frames[-1].window[1])


def test_crops_of_moving_objects(tiny_job):
    job = tiny_job()
    still, moving = (list(frames_with_objects(job.clips, ["test_01"], job.boxes, gap=1))[k] for k in (0, 3))
    motion = motion_of(job.settings)
    crops = object_crops(moving.window, moving.boxes, motion, "here")
    assert [part.shape for part in crops] == [(3, 1, 64, 64), (3, 2, 64, 64), (3, 2, 64, 64)]
    # The second square moves by 6 pixels to the left; the scale is 8 pixels.
    assert np.median(crops.following[1, 0, 12:52, 12:52]) == pytest.approx(-6 / 8, abs=0.15)
    assert np.median(crops.previous[1, 0, 12:52, 12:52]) == pytest.approx(6 / 8, abs=0.15)
    assert np.abs(object_crops(still.window, still.boxes, motion, "here").previous).max() < 0.05
    gray, previous, _ = as_inputs(crops, torch.device("cpu"))
    assert gray.dtype == previous.dtype == torch.float32
    assert gray.max() <= 1
    assert gray.max() > 0.5


def test_gradients_have_one_channel_and_their_own_gap():
    settings = Settings.model_validate({"motion": "gradients", "gradients": {"gap": 2}})
    assert settings.gap == 2
    window = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3)).astype(np.uint8)
    crops = object_crops(window, np.array([[5, 5, 30, 35]], np.float32), motion_of(settings), "here")
    assert crops.previous.shape == (1, 1, 64, 64)
    assert crops.previous.min() >= 0


def test_a_frame_without_objects_gives_empty_crops():
    window = np.zeros((3, 40, 50, 3), np.uint8)
    crops = object_crops(window, np.empty((0, 4), np.float32), motion_of(Settings()), "here")
    assert [part.shape for part in crops] == [(0, 1, 64, 64), (0, 2, 64, 64), (0, 2, 64, 64)]


def test_errors_name_clip_and_frame(tiny_job):
    job = tiny_job()
    late = pd.concat([job.boxes, job.boxes.iloc[[0]].assign(frame=99)], ignore_index=True)
    with pytest.raises(LightvadError, match=r"train_01 has a box at frame 99, but only 14 frames"):
        list(frames_with_objects(job.clips, ["train_01"], late, gap=1))
    outside = np.array([[500, 5, 530, 35]], np.float32)
    with pytest.raises(LightvadError, match="clip x, frame 3"):
        object_crops(np.zeros((3, 40, 50, 3), np.uint8), outside, motion_of(Settings()), "clip x, frame 3")
