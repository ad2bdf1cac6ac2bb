"""Optical flow, gradients and their crops."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightvad.errors import LightvadError
from lightvad.objects.flow import Gradients, OpticalFlow, gray_frame, motion_crops, rotated_motion


def textured(height: int = 120, width: int = 160) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def shifted(image: np.ndarray, x: float, y: float) -> np.ndarray:
    height, width = image.shape
    return cv2.warpAffine(
        image, np.array([[1, 0, x], [0, 1, y]], float), (width, height), borderMode=cv2.BORDER_REFLECT
    )


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
@pytest.mark.parametrize("displacement", [(3.0, 0.0), (0.0, -2.0), (-1.5, 2.5)])
def test_flow_of_a_known_translation(preset, displacement):
    image = textured()
    flow = OpticalFlow(preset=preset, scale=20).pixels(image, shifted(image, *displacement))
    assert flow.shape == (120, 160, 2)
    assert flow.dtype == np.float32
    inner = flow[20:-20, 20:-20].reshape(-1, 2)
    assert np.median(inner, axis=0) == pytest.approx(displacement, abs=0.25)


def test_flow_is_divided_by_the_scale_and_clipped():
    image = textured()
    moved = shifted(image, 6, 0)
    assert np.median(OpticalFlow(preset="fast", scale=20)(image, moved)[30:-30, 30:-30, 0]) == pytest.approx(
        0.3, abs=0.03
    )
    clipped = OpticalFlow(preset="fast", scale=2)(image, moved)
    assert np.median(clipped[30:-30, 30:-30, 0]) == 1.0
    assert np.abs(clipped).max() <= 1.0


def test_a_still_scene_does_not_move():
    image = textured()
    assert np.abs(OpticalFlow(preset="medium", scale=20)(image, image)).max() < 0.01
    assert Gradients()(image, image).max() == 0.0


def test_flow_refuses_frames_that_are_too_small():
    tiny = np.zeros((12, 40), np.uint8)
    with pytest.raises(LightvadError, match="40x12"):
        OpticalFlow(preset="fast", scale=20)(tiny, tiny)


def test_gradients_are_absolute_differences():
    first, second = np.full((20, 30), 200, np.uint8), np.full((20, 30), 98, np.uint8)
    assert Gradients()(first, second) == pytest.approx(np.full((20, 30, 1), 0.4))
    assert np.array_equal(Gradients()(first, second), Gradients()(second, first))


def test_gray_weighs_red_green_blue_as_rgb():
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert gray_frame(pixels).tolist() == [[76, 150, 29]]


@given(
    x=st.floats(-10, 150),
    y=st.floats(-10, 110),
    w=st.floats(11, 90),
    h=st.floats(11, 90),
    channels=st.sampled_from([1, 2]),
)
@settings(max_examples=40, deadline=None)
def test_crops_keep_values_whatever_the_size_of_the_box(x, y, w, h, channels):
    motion = np.full((120, 160, channels), 0.25, np.float32)
    crops = motion_crops(motion, np.array([[x, y, x + w, y + h]], np.float32), size=64)
    assert crops.shape == (1, channels, 64, 64)
    assert crops == pytest.approx(np.float32(0.25), abs=1e-6)


def test_a_crop_shows_its_box_and_its_channels():
    motion = np.zeros((100, 100, 2), np.float32)
    motion[20:52, 30:62] = 0.5, -0.25
    crops = motion_crops(motion, np.array([[30, 20, 62, 52], [62, 52, 94, 84]], np.float32))
    assert (crops[0, 0] == 0.5).all()
    assert (crops[0, 1] == -0.25).all()
    assert not crops[1].any()
    assert motion_crops(motion, np.empty((0, 4), np.float32)).shape == (0, 2, 64, 64)


@given(angle=st.floats(-7, 7))
@settings(max_examples=30, deadline=None)
def test_rotation_turns_directions_and_keeps_lengths(angle):
    crops = np.random.default_rng(1).normal(size=(3, 2, 4, 4)).astype(np.float32)
    turned = rotated_motion(crops, np.full(3, angle))
    assert np.hypot(turned[:, 0], turned[:, 1]) == pytest.approx(np.hypot(crops[:, 0], crops[:, 1]), abs=1e-5)
    assert rotated_motion(turned, np.full(3, -angle)) == pytest.approx(crops, abs=1e-5)


def test_a_quarter_turn_makes_right_into_down():
    right = np.zeros((1, 2, 1, 1), np.float32)
    right[0, 0] = 1
    assert rotated_motion(right, np.array([np.pi / 2])).ravel() == pytest.approx([0, 1], abs=1e-6)
    gradient = np.ones((1, 1, 2, 2), np.float32)
    assert np.array_equal(rotated_motion(gradient, np.array([1.0])), gradient)
