"""Windows with pasted objects: how many, the targets painted for them, and who is pasted where."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.unit.drawn_clips import FRAMES, HEIGHT, WIDTH, boxes

from lightvad.artifacts.weights import read_weights
from lightvad.methods.fast_aed.batches import Batches
from lightvad.methods.fast_aed.model import Student
from lightvad.methods.fast_aed.painting import paint, paste
from lightvad.methods.fast_aed.settings import OFFSETS, Pasting
from lightvad.methods.fast_aed.training import train
from lightvad.methods.fast_aed.windows import Targets, normalized
from lightvad.methods.protocol import Job, TeacherMaps
from lightvad.objects.pasting import Pasted, Paster
from lightvad.video.clips import ClipStore
from lightvad.video.readers import WindowReader, places_of

CLIPS = ["train_01", "train_02", "train_03"]


def test_maps_are_one_in_abnormal_objects_and_the_scaled_source_in_normal_ones(
    store: ClipStore, teachers: tuple[TeacherMaps, ...], tmp_path: Path
) -> None:
    targets = Targets(
        teachers, store.clips("train"), resolutions=(1, 4, "full"), frame_size=(HEIGHT, WIDTH), folder=tmp_path
    )
    maps = targets.read([("train_01", 4), ("train_01", 5)])
    source = ("train_02", 2)
    normal = Pasted((30, 12, 38, 24), source, (11, 12, 19, 24), abnormal=False)
    abnormal = Pasted((0, 0, 14, 10), source, (11, 12, 19, 24), abnormal=True)
    settings = Pasting(normal_ceiling=0.5)
    painted = paint(maps, [[normal], [abnormal]], targets, settings)
    looked_up = targets.read([source])
    for teacher in range(2):
        for k, one in enumerate(painted[teacher]):
            before = maps[teacher][k] * 0.5
            value = 0.5 * looked_up[teacher][2][0, 12:24, 11:19].max()
            assert torch.all(one >= before - 1e-7)
            assert one.max() <= 1
            if k == 0:
                assert one[1].item() == 1.0
                torch.testing.assert_close(one[0], before[0].clamp(min=value.item()))
            if k == 2:
                torch.testing.assert_close(one[0, 12:24, 30:38], before[0, 12:24, 30:38].clamp(min=value.item()))
                assert torch.all(one[1, :10, :14] == 1)
                torch.testing.assert_close(one[1, 10:], before[1, 10:])
                torch.testing.assert_close(one[0, :12], before[0, :12])
    # 4x4 cells of 10x14 pixels: the abnormal object fills exactly the first.
    cells = painted[0][1][1]
    assert cells[0, 0] == 1
    torch.testing.assert_close(cells[1:], maps[0][1][1, 1:] * 0.5)


def test_the_number_of_pastes_does_not_tell_what_is_abnormal(store: ClipStore) -> None:
    reader = WindowReader(store, offsets=OFFSETS[3], frame_size=(HEIGHT, WIDTH))
    settings, draw = Pasting(), np.random.default_rng(0)
    own = Paster(reader, boxes(), CLIPS, settings)
    counts: dict[bool, list[int]] = {True: [], False: []}
    for _ in range(600):
        items = paste(own, np.zeros((HEIGHT, WIDTH, 9), np.uint8), "train_01", draw, settings)
        counts[any(item.abnormal for item in items)].append(len(items))
    assert np.mean(counts[True]) == pytest.approx(np.mean(counts[False]), abs=0.35)
    assert len(counts[True]) == pytest.approx(450, abs=40)


def test_batches_are_pasted_by_seed_epoch_and_place_alone(
    store: ClipStore, teachers: tuple[TeacherMaps, ...], tmp_path: Path
) -> None:
    targets = Targets(teachers, store.clips("train"), resolutions=(1, 4), frame_size=(HEIGHT, WIDTH), folder=tmp_path)

    def batches(*, flip: bool = False) -> Batches:
        reader = WindowReader(store, offsets=OFFSETS[3], frame_size=(HEIGHT, WIDTH))
        training = Paster(reader, boxes(), CLIPS[:2], Pasting())
        heldout = Paster(reader, boxes(), CLIPS[2:], Pasting())
        places = places_of(store.clips("train"))[:18]
        return Batches(reader, targets, places, 4, None, flip, 5, training, heldout, Pasting())

    first, again, other = (list(batches().epoch(epoch)) for epoch in (0, 0, 1))
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.frames, b.frames)
        assert torch.equal(a.abnormal, b.abnormal)
        assert all(torch.equal(x, y) for k in range(2) for x, y in zip(a.targets[k], b.targets[k], strict=True))
    assert any(not torch.equal(a.frames, b.frames) for a, b in zip(first, other, strict=True))
    for a, b in zip(first, batches(flip=True).epoch(0), strict=True):
        for k in range(4):
            whole, cells = a.frames[k], a.targets[0][1][k]
            mirrored = not torch.equal(whole, b.frames[k])
            torch.testing.assert_close(b.frames[k], whole.flip(-1) if mirrored else whole)
            torch.testing.assert_close(b.targets[0][1][k], cells.flip(-1) if mirrored else cells)
    for batch in first:
        assert torch.equal(batch.targets[0][0][:, 0, 0] == 1, batch.abnormal)
    one, two = (list(batches().ordered(heldout_places())) for _ in "ab")
    assert all(torch.equal(a.frames, b.frames) for a, b in zip(one, two, strict=True))


def test_heldout_clips_stay_out_of_training_and_the_others_out_of_validation(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []
    whole = Paster.__init__

    def noted(self: Paster, reader: WindowReader, table: pd.DataFrame, clips: list[str], settings: Pasting) -> None:
        made.append(list(clips))
        whole(self, reader, table, clips, settings)

    monkeypatch.setattr(Paster, "__init__", noted)
    train(make_job(settings={"pasting": {}}, boxes=boxes(), heldout=frozenset({"train_03"})))
    assert made == [["train_01", "train_02"], ["train_03"]]


def test_the_heldout_auc_is_that_of_the_weights_that_are_kept(make_job: Callable[..., Job]) -> None:
    layer = {"pasting": {"abnormal_share": 0.5}, "validation_windows": FRAMES}
    job = make_job(settings=layer, boxes=boxes(), heldout=frozenset({"train_03"}))
    train(job)
    student = Student(job.settings.network, job.resolutions)
    student.load_state_dict(read_weights(job.folder / "model.safetensors")[0])
    student.eval()
    reader = WindowReader(job.clips, offsets=job.settings.offsets, frame_size=job.frame_size)
    heldout = Paster(reader, boxes(), ["train_03"], job.settings.pasting)
    batches = Batches(
        reader, None, [], job.settings.training.batch, None, False, job.seed, None, heldout, job.settings.pasting
    )
    with torch.inference_mode():
        seen = [(b.abnormal, student.scored(normalized(b.frames))[0]) for b in batches.ordered(heldout_places())]
    abnormal, scores = (torch.cat(parts) for parts in zip(*seen, strict=True))
    told = pd.read_csv(job.folder / "training.csv")["heldout_pasted_auc"]
    assert len(told) == 2
    assert told.iloc[-1] == pytest.approx(roc_auc_score(abnormal, scores))


def test_there_is_no_heldout_auc_of_a_single_kind(make_job: Callable[..., Job]) -> None:
    job = make_job(settings={"pasting": {"abnormal_share": 1}}, boxes=boxes(), heldout=frozenset({"train_03"}))
    train(job)
    assert "heldout_pasted_auc" not in pd.read_csv(job.folder / "training.csv")


def heldout_places() -> list[tuple[str, int]]:
    return [("train_03", t) for t in range(FRAMES)]
