"""Pasted objects: what lies in the window, where they come from, and the targets painted for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.unit.methods.fast_aed.conftest import FRAMES, HEIGHT, WIDTH, boxes

from lightvad.artifacts.weights import read_weights
from lightvad.errors import LightvadError
from lightvad.methods.fast_aed.batches import Batches, places_of
from lightvad.methods.fast_aed.model import Student
from lightvad.methods.fast_aed.pasting import BORDER, Pasted, Paster, paint
from lightvad.methods.fast_aed.settings import OFFSETS, Pasting
from lightvad.methods.fast_aed.training import train
from lightvad.methods.fast_aed.windows import Targets, WindowReader, normalized
from lightvad.methods.protocol import Job, TeacherMaps
from lightvad.video.clips import ClipStore

CLIPS = ["train_01", "train_02", "train_03"]
NORMAL_ONLY = Pasting(normal_share=0, abnormal=1, abnormal_share=1e-9)
ABNORMAL_ONLY = Pasting(normal_share=0, abnormal_share=1, abnormal=1)


def paster(store: ClipStore, settings: Pasting, clips: list[str] = CLIPS, table: pd.DataFrame | None = None) -> Paster:
    reader = WindowReader(store, offsets=OFFSETS[3], frame_size=(HEIGHT, WIDTH))
    return Paster(reader, boxes() if table is None else table, clips, settings)


def pasted_windows(own: Paster, count: int = 40) -> list[tuple[np.ndarray, Pasted]]:
    """Black windows of `train_01` with one object each."""
    draw = np.random.default_rng(0)
    result = []
    for _ in range(count):
        window = np.zeros((HEIGHT, WIDTH, 9), np.uint8)
        (item,) = own.paste(window, "train_01", draw)
        result.append((window, item))
    return result


def test_a_normal_object_is_pasted_as_it_is_from_another_clip(store: ClipStore) -> None:
    own = paster(store, NORMAL_ONLY)
    for window, item in pasted_windows(own):
        assert item.source[0] != "train_01"
        assert not item.abnormal
        (x1, y1, x2, y2), (a1, b1, a2, b2) = item.bounds, item.source_bounds
        source = own.reader.read(item.source)
        np.testing.assert_array_equal(window[y1:y2, x1:x2], source[b1:b2, a1:a2])
        assert not window[: max(0, y1 - 4)].any()
        assert not window[:, x2 + 4 :].any()


def only(kind: str, **settings: Any) -> Pasting:
    return Pasting(normal_share=0, abnormal_share=1, abnormal=1, anomalies=(kind,), **settings)


def test_stretched_objects_are_wider_and_keep_their_height(store: ClipStore) -> None:
    for _, item in pasted_windows(paster(store, only("stretched"))):
        assert item.abnormal
        assert 1.6 * 8 - 1 <= item.bounds[2] - item.bounds[0] <= 3 * 8 + 1
        assert item.bounds[3] - item.bounds[1] == 12


def test_turned_objects_lie_on_their_side(store: ClipStore) -> None:
    own = paster(store, only("turned"))
    for window, item in pasted_windows(own):
        (x1, y1, x2, y2), (a1, b1, a2, b2) = item.bounds, item.source_bounds
        source = own.reader.read(item.source)[b1:b2, a1:a2]
        found = window[y1:y2, x1:x2]
        assert found.shape == (8, 12, 9)
        assert any(np.array_equal(found, np.rot90(source, k)) for k in (1, -1))


def test_objects_move_by_the_given_speed(store: ClipStore) -> None:
    own = paster(store, only("moved", speed=(0.1, 0.1)))
    seen = 0
    for window, item in pasted_windows(own, 80):
        x1, y1, x2, y2 = item.bounds
        whole = x1 > 8 and x2 < WIDTH - 8 and y1 > 8 and y2 < HEIGHT - 8
        if not whole:
            continue
        centres = [np.argwhere(window[..., 3 * k].astype(bool)).mean(0) for k in range(3)]
        distance = np.linalg.norm(centres[2] - centres[0])
        assert distance == pytest.approx(2 * 3 * 0.1 * 12, abs=1.5)
        seen += 1
    assert seen > 3


def test_the_same_draw_gives_the_same_windows(store: ClipStore) -> None:
    first, second = (pasted_windows(paster(store, ABNORMAL_ONLY), 5) for _ in "ab")
    for (one, item), (other, same) in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
        assert item == same


def test_a_single_clip_pastes_its_own_objects(store: ClipStore) -> None:
    assert {item.source[0] for _, item in pasted_windows(paster(store, NORMAL_ONLY, ["train_01"]))} == {"train_01"}


def test_boxes_that_are_cut_off_or_tiny_are_not_pasted(store: ClipStore) -> None:
    table = boxes()
    table.loc[:, "x2"] = WIDTH - BORDER + 1
    with pytest.raises(LightvadError, match=r"none of the \d+ boxes of train_01, train_02, train_03 can be pasted"):
        paster(store, Pasting(), table=table)


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
    own, draw = paster(store, Pasting()), np.random.default_rng(0)
    counts: dict[bool, list[int]] = {True: [], False: []}
    for _ in range(600):
        items = own.paste(np.zeros((HEIGHT, WIDTH, 9), np.uint8), "train_01", draw)
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
        return Batches(reader, targets, places, 4, None, flip, 5, training, heldout)

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
    settings = {"pasting": {"abnormal_share": 0.5}, "validation_windows": FRAMES}
    job = make_job(settings=settings, boxes=boxes(), heldout=frozenset({"train_03"}))
    train(job)
    student = Student(job.settings.network, job.resolutions)
    student.load_state_dict(read_weights(job.folder / "model.safetensors")[0])
    student.eval()
    reader = WindowReader(job.clips, offsets=job.settings.offsets, frame_size=job.frame_size)
    heldout = Paster(reader, boxes(), ["train_03"], job.settings.pasting)
    batches = Batches(reader, None, [], job.settings.training.batch, None, False, job.seed, None, heldout)
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
