"""Normal and pseudo-abnormal crops, and the batches drawn from them."""

import numpy as np
import pytest

from lightvad.errors import LightvadError
from lightvad.methods.background_agnostic.samples import collected


@pytest.fixture
def collect(tiny_job):
    def make(names=("train_01", "train_02"), **changes):
        job = tiny_job(**changes)
        images = np.arange(4 * 64 * 64, dtype=np.uint32).reshape(4, 64, 64).astype(np.uint8)
        return collected(
            job.clips, names, job.boxes, settings=job.settings, images=images, seed=0, folder=job.folder, what="tiny"
        )

    return make


def drawn(samples, seed=(0, 0), **kwargs):
    return list(samples.batches(np.random.default_rng(seed), **{"objects": 16, "batch": 6, **kwargs}))


def test_all_objects_of_every_second_frame_are_cut_and_the_files_removed(collect, tmp_path):
    with collect() as samples:
        assert [part.shape for part in samples.normal] == [(42, 1, 64, 64), (42, 2, 64, 64), (42, 2, 64, 64)]
        assert all(part.reshape(42, -1).any(axis=1).all() for part in samples.normal[:1])
        assert list((tmp_path / "run").glob(".scratch.*"))
    assert not list((tmp_path / "run").glob(".scratch.*"))


def test_batches_depend_on_the_seed_alone_and_hold_as_many_abnormal_objects(collect):
    with collect() as samples:
        first, again, other = drawn(samples), drawn(samples), drawn(samples, seed=(0, 1))
        assert [len(batch.normal.appearance) for batch in first] == [6, 6, 4]
        for batch, same in zip(first, again, strict=True):
            for part, same_part in zip((*batch.normal, *batch.abnormal), (*same.normal, *same.abnormal), strict=True):
                assert np.array_equal(part, same_part)
            assert [part.shape for part in batch.abnormal] == [part.shape for part in batch.normal]
        assert not np.array_equal(first[0].normal.appearance, other[0].normal.appearance)
        everything = np.concatenate([batch.normal.following for batch in drawn(samples, objects=None)])
        assert sorted(map(bytes, everything)) == sorted(map(bytes, samples.normal.following))


def test_pseudo_abnormal_motion_is_larger_than_normal_motion(collect):
    def motion(part):
        return np.hypot(part[:, 0].astype(float), part[:, 1].astype(float)).mean()

    for share in (0.0, 1.0):
        with collect(pseudo={"images": 32, "motions": 24, "transformed": share}) as samples:
            batches = drawn(samples, objects=None)
            for stream in (1, 2):
                abnormal = np.mean([motion(batch.abnormal[stream]) for batch in batches])
                normal = np.mean([motion(batch.normal[stream]) for batch in batches])
                assert abnormal > 1.5 * normal
            assert all(np.abs(part).max() <= 1 for batch in batches for part in batch.abnormal[1:])


def test_about_as_much_wide_gap_motion_as_asked_for(collect):
    with collect() as samples:
        assert 12 <= len(samples.motions) <= 24
        assert samples.motions.shape[1:] == (2, 64, 64)


def test_clips_too_short_for_a_wide_gap_leave_turned_and_enlarged_motion(collect):
    with collect(pseudo={"gaps": [20, 30], "images": 32, "motions": 24}) as samples:
        assert len(samples.motions) == 0
        assert np.abs(drawn(samples)[0].abnormal.following).max() > 0


def test_gradients_have_one_channel(collect):
    with collect(motion="gradients") as samples:
        batch = drawn(samples)[0]
        assert batch.abnormal.previous.shape == (6, 1, 64, 64)
        assert batch.abnormal.previous.min() >= 0


def test_clips_without_boxes_are_an_error(collect):
    with pytest.raises(LightvadError, match="no boxes on the clips nowhere"), collect(names=("nowhere",)):
        pass
