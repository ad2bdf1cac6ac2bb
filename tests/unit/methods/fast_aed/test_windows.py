"""Windows: channel order, border rule, sizes, mirrored pairs, and batches that depend on (seed, epoch) alone."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lightvad.artifacts.arrays import maps_writer
from lightvad.errors import LightvadError
from lightvad.methods.fast_aed.batches import Batches
from lightvad.methods.fast_aed.settings import OFFSETS
from lightvad.methods.fast_aed.windows import Targets, normalized, to_frames
from lightvad.methods.protocol import TeacherMaps
from lightvad.video.clips import ClipStore
from lightvad.video.readers import WindowReader, places_of, spread
from lightvad.video.windows import stacked

SIZE = (40, 56)


def reader(store: ClipStore, frames: int = 3) -> WindowReader:
    return WindowReader(store, offsets=OFFSETS[frames], frame_size=SIZE)


def corner(window: np.ndarray) -> list[int]:
    """The frame numbers in a window of the clip `train_01`: its corner pixel's gray level, frame by frame."""
    return window[0, 0, ::3].tolist()


@pytest.mark.parametrize(
    ("t", "frames", "expected"),
    [
        (4, 3, [1, 4, 7]), (0, 3, [0, 0, 3]), (2, 3, [2, 2, 5]), (7, 3, [4, 7, 7]), (4, 1, [4]),
        (4, 5, [4, 1, 4, 7, 4]), (1, 5, [1, 1, 1, 4, 7]),
    ],
)  # fmt: skip
def test_previous_current_next_and_the_current_frame_beyond_the_border(
    store: ClipStore, t: int, frames: int, expected: list[int]
) -> None:
    assert corner(reader(store, frames).read(("train_01", t))) == expected


def test_other_frame_sizes_are_resized_by_area_or_linearly() -> None:
    window = np.random.default_rng(0).integers(0, 256, (3, 40, 56, 3), dtype=np.uint8)
    for size, interpolation in (((20, 28), cv2.INTER_AREA), ((80, 112), cv2.INTER_LINEAR)):
        small = stacked(window, size)
        assert small.shape == (*size, 9)
        np.testing.assert_array_equal(small[..., 3:6], cv2.resize(window[1], size[::-1], interpolation=interpolation))


def test_frames_are_normalised_and_lie_channels_last() -> None:
    frames = to_frames([np.full((4, 6, 9), 255, np.uint8), np.zeros((4, 6, 9), np.uint8)])
    x = normalized(frames)
    assert frames.dtype == torch.uint8
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert x[0].unique().item() == 1.0
    assert x[1].unique().item() == -127 / 128


def batches(store: ClipStore, targets: Targets | None = None, **keys: object) -> Batches:
    settings = {"batch": 4, "windows": 12, "flip": False, "seed": 5, **keys}
    return Batches(reader=reader(store), targets=targets, places=places_of(store.clips("train")), **settings)


def frames_of(made: Batches, epoch: int) -> torch.Tensor:
    return torch.cat([batch.frames for batch in made.epoch(epoch)])


def test_batches_are_a_function_of_seed_and_epoch(store: ClipStore) -> None:
    made = batches(store)
    assert len(made) == 3
    assert torch.equal(frames_of(made, 1), frames_of(batches(store), 1))
    assert not torch.equal(frames_of(made, 0), frames_of(made, 1))
    assert not torch.equal(frames_of(made, 0), frames_of(batches(store, seed=6), 0))
    assert [batch.step for batch in made.epoch(2)] == [6, 7, 8]
    again = torch.cat([batch.frames for batch in made.recalibration(0, 3)])
    assert len(again) == 12
    assert not torch.equal(again, frames_of(made, 0))


def test_an_epoch_without_a_limit_has_every_frame_once(store: ClipStore) -> None:
    made = batches(store, windows=None, batch=9)
    frames = frames_of(made, 0)
    assert len(frames) == 27
    # Clip k, frame t: the corner's gray level in the current frame is 100 k + t.
    assert sorted(frames[:, 3, 0, 0].tolist()) == [100 * k + t for k in range(3) for t in range(9)]


def test_a_batch_larger_than_the_data_holds_what_there_is(store: ClipStore) -> None:
    made = batches(store, windows=None, batch=500)
    assert [len(batch.frames) for batch in made.epoch(0)] == [27]


def targets_of(store: ClipStore, teachers: tuple, folder: Path, resolutions: tuple = (1, 2, "full"), **keys) -> Targets:
    wanted = {"frame_size": SIZE, "folder": folder, "resolutions": resolutions, **keys}
    return Targets(teachers, store.clips("train"), **wanted)


def test_targets_belong_to_their_frames(store: ClipStore, teachers: tuple, tmp_path: Path) -> None:
    targets = targets_of(store, teachers, tmp_path)
    first, second = targets.read([("train_02", 3), ("train_01", 8)])
    expected = np.load(teachers[0].path)
    for maps, side in zip(first, (1, 2, "full"), strict=True):
        np.testing.assert_array_equal(maps[0].numpy(), expected[f"train_02/{side}"][3])
        np.testing.assert_array_equal(maps[1].numpy(), expected[f"train_01/{side}"][8])
    torch.testing.assert_close(second[1], first[1] * 0.5)


def test_full_maps_take_the_frame_size_and_the_scratch_file_goes(
    store: ClipStore, teachers: tuple, tmp_path: Path
) -> None:
    targets = targets_of(store, teachers, tmp_path, frame_size=(80, 112), resolutions=("full",))
    assert targets.read([("train_01", 0)])[0][0].shape == (1, 80, 112)
    assert list(tmp_path.iterdir())
    del targets
    assert not list(tmp_path.iterdir())


def test_mirrored_windows_keep_their_targets(store: ClipStore, teachers: tuple, tmp_path: Path) -> None:
    targets = targets_of(store, teachers, tmp_path, resolutions=(2,))
    straight = list(batches(store, targets).epoch(0))
    mirrored = list(batches(store, targets, flip=True).epoch(0))
    kinds = set()
    for a, b in zip(straight, mirrored, strict=True):
        assert b.frames.is_contiguous(memory_format=torch.channels_last)
        for k in range(len(a.frames)):
            flipped = not torch.equal(a.frames[k], b.frames[k])
            kinds.add(flipped)
            frames, maps = a.frames[k], a.targets[0][0][k]
            assert torch.equal(b.frames[k], frames.flip(-1) if flipped else frames)
            assert torch.equal(b.targets[0][0][k], maps.flip(-1) if flipped else maps)
    assert kinds == {True, False}


def test_maps_of_another_length_than_the_clip_are_one_clear_line(store: ClipStore, tmp_path: Path) -> None:
    with maps_writer(tmp_path / "maps.npz") as writer:
        for clip in store.clips("train"):
            writer.write(clip.name, 1, (8, 1, 1), [np.zeros((8, 1, 1), np.float32)])
    with pytest.raises(LightvadError, match="train_01/1 has 8 maps, but the clip 9 frames"):
        targets_of(store, (TeacherMaps("t", tmp_path / "maps.npz", 1.0),), tmp_path, resolutions=(1,))


def test_spread_is_even_and_never_too_many() -> None:
    places = [("a", t) for t in range(100)]
    for count in (1, 7, 33, 100, 500):
        chosen = spread(places, count)
        assert 0 < len(chosen) <= count
        assert chosen == sorted(set(chosen))
    assert spread([], 5) == []
