"""Which frames, which order, which labels' crops."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightvad.errors import LightvadError
from lightvad.methods.ssmtl.samples import OFFSETS, Sampler, irregular_indices, objects_of, rows_of
from lightvad.objects.crops import crop_sequence
from lightvad.shares import WHOLE, Share
from lightvad.video.clips import ClipStore
from lightvad.video.windows import window_indices

Toy = tuple[ClipStore, pd.DataFrame]


@given(frames=st.integers(7, 60), place=st.floats(0, 1), largest=st.integers(2, 6), seed=st.integers(0, 2**32))
def test_irregular_sequences_skip_frames_and_keep_the_middle(
    frames: int, place: float, largest: int, seed: int
) -> None:
    t = round(place * (frames - 1))
    indices = irregular_indices(t, frames, largest_step=largest, generator=np.random.default_rng(seed))
    assert indices != window_indices(t, OFFSETS, frames, "clamp")
    assert indices[3] == t
    assert min(indices) >= 0
    assert max(indices) < frames
    assert all(0 <= step <= largest for step in np.diff(indices))
    inside = [k for k in indices if 0 < k < frames - 1]
    assert len(set(inside)) == len(inside)


def test_batch_holds_the_crops_of_the_window_and_of_skipped_frames(toy: Toy) -> None:
    clips, boxes = toy
    objects = objects_of(boxes, np.zeros((len(boxes), 0), np.float32))[np.array([8, 20])]
    batch = Sampler(clips, 16, largest_step=4).batch(objects, np.random.default_rng(0))
    assert batch.consecutive.shape == batch.irregular.shape == (2, 7, 16, 16, 3)
    frames = clips.window(str(objects.clip[0]), range(5, 12))
    np.testing.assert_array_equal(batch.consecutive[0], crop_sequence(frames, objects.box[0], size=16))
    assert (batch.consecutive[:, 3] == batch.irregular[:, 3]).all()
    assert (batch.consecutive != batch.irregular).any()


def test_shuffled_epoch_visits_every_object_once_and_depends_on_the_generator_alone(toy: Toy) -> None:
    clips, boxes = toy
    objects = objects_of(boxes, np.arange(len(boxes), dtype=np.float32)[:, None])
    sampler = Sampler(clips, 16, largest_step=3)

    def order(seed: int, share: Share = WHOLE, skipping: int = 0) -> list[float]:
        batches = sampler.shuffled(
            objects,
            size=10,
            generator=np.random.default_rng(seed),
            skipping=np.random.default_rng(skipping),
            share=share,
        )
        return [float(value) for batch in batches for value in batch.targets[:, 0]]

    assert sorted(order(0)) == list(range(len(boxes)))
    assert order(0) == order(0)
    assert order(0) != order(1)
    assert order(0) != sorted(order(0))
    shares = [order(0, Share(rank, 2), skipping=rank) for rank in range(2)]
    assert [value for pair in zip(*shares, strict=True) for value in pair] == order(0)[: 2 * len(shares[0])]


def test_a_last_single_object_is_not_trained_on_but_scored(toy: Toy) -> None:
    clips, boxes = toy
    objects = objects_of(boxes[:9], np.zeros((9, 0), np.float32))
    sampler, generator = Sampler(clips, 16, largest_step=0), np.random.default_rng(0)
    assert [
        len(b.targets) for b in sampler.shuffled(objects, size=8, generator=generator, skipping=generator, share=WHOLE)
    ] == [8]
    assert [len(b.targets) for b in sampler.in_order(objects, size=8, generator=generator)] == [8, 1]


def test_rows_come_from_the_named_clips_at_the_stride(toy: Toy) -> None:
    clips, boxes = toy
    chosen = boxes.iloc[rows_of(boxes, clips, ["train_01", "train_03"], frame_stride=5)]
    assert set(chosen["clip"]) == {"train_01", "train_03"}
    assert set(chosen["frame"]) == {0, 5, 10, 15}


@pytest.mark.parametrize(("column", "value"), [("x1", 70.0), ("frame", 99)])
def test_a_box_outside_its_frame_or_clip_is_named(toy: Toy, column: str, value: float) -> None:
    clips, boxes = toy
    wrong = boxes[:3].copy()
    wrong.loc[1, [column, "x2"]] = [value, 75.0]
    objects = objects_of(wrong, np.zeros((3, 0), np.float32))
    with pytest.raises(LightvadError, match="clip train_01, frame") as caught:
        Sampler(clips, 16, largest_step=0).batch(objects, np.random.default_rng(0))
    assert "\n" not in str(caught.value)
