"""Batches: what is pasted and what stays clean, the frames of the gradient, and draws by seed and epoch alone."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from tests.unit.drawn_clips import HEIGHT, WIDTH, boxes

from lightvad.methods.aed_mae.model import grid_of
from lightvad.methods.aed_mae.settings import AedMaeSettings, Settings
from lightvad.methods.aed_mae.synthetic import Anomalies, OtherClips
from lightvad.methods.aed_mae.windows import Batch, Batches, normalized, offsets_read, pasted_frames
from lightvad.objects.pasting import Paster
from lightvad.shares import Share
from lightvad.video.clips import ClipStore
from lightvad.video.readers import WindowReader, places_of

PLACES = 27


def batches(store: ClipStore, **layers: object) -> Batches:
    settings: AedMaeSettings = Settings.model_validate({"network": {"patch": 8}, **layers})
    reader = WindowReader(store, offsets=offsets_read(settings), frame_size=(HEIGHT, WIDTH))
    anomalies = None
    if settings.synthetic is not None:
        own = Paster(reader, boxes(), ["train_01", "train_02", "train_03"], settings.synthetic.changes)
        anomalies = Anomalies(settings.synthetic, OtherClips(own), own if settings.synthetic.normal_share else None)
    places = places_of(store.clips("train"))
    return Batches(reader, places, 4, None, settings, grid_of((HEIGHT, WIDTH), 8), 5, anomalies)


def everything(own: Batches, epoch: int = 0) -> Batch:
    parts = list(own.epoch(epoch))
    return Batch(
        torch.cat([one.windows for one in parts]),
        torch.cat([one.targets for one in parts]),
        (torch.cat([one.gradients[0] for one in parts]), torch.cat([one.gradients[1] for one in parts])),
        torch.cat([one.maps for one in parts]),
        torch.cat([one.noise for one in parts]),
    )


def test_anomalies_lie_where_the_map_says_and_not_in_the_target(drawn_clips: ClipStore) -> None:
    seen = everything(batches(drawn_clips, synthetic={"share": 0.5, "changes": {"anomalies": ["stretched"]}}))
    middle = seen.windows[:, 3:6]
    differs = (middle != seen.targets).any(1)
    assert 0.2 < seen.abnormal.float().mean() < 0.8
    assert not differs[~seen.abnormal].any()
    for k in seen.abnormal.nonzero()[:, 0].tolist():
        assert differs[k].any()
        rows, columns = (seen.maps[k, 0].any(axis).nonzero()[:, 0] for axis in (1, 0))
        around = differs[k].clone()
        # What is pasted fades out over a sixth of the object's size.
        around[max(0, rows[0] - 4) : rows[-1] + 5, max(0, columns[0] - 7) : columns[-1] + 8] = False
        assert not around.any()


def test_the_number_of_pastes_does_not_tell_what_is_abnormal(
    drawn_clips: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[list[int]] = []
    whole = Paster.paste

    def noted(self: Paster, window: np.ndarray, clip: str, draw: np.random.Generator, **wanted: int) -> object:
        counts[-1].append(sum(wanted.values()))
        return whole(self, window, clip, draw, **wanted)

    monkeypatch.setattr(Paster, "paste", noted)
    own = batches(drawn_clips, synthetic={"share": 0.5, "abnormal": 2, "normal_share": 0.7})
    own = replace(own, batch=1)
    numbers: dict[bool, list[int]] = {True: [], False: []}
    for epoch in range(12):
        reading = own.epoch(epoch)
        for _ in range(len(own)):
            counts.append([])
            seen = next(reading)
            numbers[bool(seen.abnormal)].append(sum(counts[-1]))
    assert np.mean(numbers[True]) == pytest.approx(np.mean(numbers[False]), abs=0.4)
    assert min(numbers[True] + numbers[False]) == 1


def test_heldout_batches_are_always_the_same_and_no_trainings(drawn_clips: ClipStore) -> None:
    own = batches(drawn_clips)
    first, again = (list(own.ordered()) for _ in "ab")
    assert all(torch.equal(a.windows, b.windows) for a, b in zip(first, again, strict=True))
    assert sum(len(one.windows) for one in first) == PLACES
    assert not torch.equal(first[0].noise, next(iter(own.epoch(0))).noise)


def test_shares_are_parts_of_one_batch(drawn_clips: ClipStore) -> None:
    layers = {"synthetic": None, "class_head": False, "scoring": {"class_probability": 0}}
    whole = next(iter(batches(drawn_clips, **layers).epoch(0)))
    parts = [next(iter(replace(batches(drawn_clips, **layers), share=Share(rank, 2)).epoch(0))) for rank in (0, 1)]
    together = torch.stack([part.targets for part in parts], dim=1).flatten(0, 1)
    assert torch.equal(together, whole.targets)
    assert not torch.equal(parts[0].noise, parts[1].noise)


def test_unchanged_objects_stay_in_the_target(drawn_clips: ClipStore) -> None:
    plain = everything(batches(drawn_clips, synthetic=None, class_head=False, scoring={"class_probability": 0}))
    pasted = everything(batches(drawn_clips, synthetic={"share": 1e-9, "normal_share": 1}))
    assert not pasted.abnormal.any()
    assert torch.equal(pasted.windows[:, 3:6], pasted.targets)
    assert (pasted.targets != plain.targets).flatten(1).any(1).float().mean() > 0.9


@pytest.mark.parametrize(("gradients", "offsets"), [("paper", (-1, 0)), ("released_code", (-1, 1))])
def test_gradients_are_between_the_named_frames(
    drawn_clips: ClipStore, gradients: str, offsets: tuple[int, int]
) -> None:
    layers = {"synthetic": None, "class_head": False, "scoring": {"class_probability": 0}, "gradients": gradients}
    seen = everything(batches(drawn_clips, **layers))
    current = seen.targets[:, 0, 0, 0].int() % 100
    for offset, frames in zip(offsets, seen.gradients, strict=True):
        wanted = current + offset
        wanted = torch.where((wanted < 0) | (wanted > 8), current, wanted)
        assert torch.equal(frames[:, 0, 0, 0].int() % 100, wanted)


def test_batches_depend_on_seed_and_epoch_alone(drawn_clips: ClipStore) -> None:
    first, again, other = (everything(batches(drawn_clips), epoch) for epoch in (0, 0, 1))
    for name in ("windows", "targets", "maps", "noise"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert not torch.equal(getattr(first, name), getattr(other, name))
    assert len(first.windows) == PLACES // 4 * 4
    assert first.noise.shape[1] == 5 * 7


def test_frames_are_normalised_to_one() -> None:
    levels = torch.tensor([0, 255], dtype=torch.uint8)
    np.testing.assert_allclose(normalized(levels).numpy(), [-1, 1])


def test_frames_kept_for_a_figure_have_anomalies_and_are_the_same_every_time(drawn_clips: ClipStore) -> None:
    own = batches(drawn_clips, synthetic={"share": 0.5})
    first, again = (list(pasted_frames(own, 3)) for _ in range(2))
    assert len({(one.clip, one.frame) for one in first}) == 3
    for one, other in zip(first, again, strict=True):
        assert (one.clip, one.frame) == (other.clip, other.frame)
        assert np.array_equal(one.pictures["pasted"], other.pictures["pasted"])
        changed = (one.pictures["pasted"] != one.pictures["clean"]).any(2)
        inside = one.maps["anomalies"] > 0
        assert inside.any()
        assert changed[inside].mean() > 0.5
        grown = cv2.dilate(inside.astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
        assert not changed[~grown].any(), "nothing but the anomaly and its margins"
    every = list(pasted_frames(own, 10_000))
    assert 3 < len(every) < PLACES, "no more than there are"
