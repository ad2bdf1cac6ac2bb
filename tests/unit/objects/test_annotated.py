"""Annotated objects: which tracks are pasted, where, and with which frames. UBnormal's clips are drawn and prepared."""

from typing import Any

import numpy as np
import pytest
from tests.unit.datasets.published import HEIGHT, UBNORMAL_OBJECTS, WIDTH, annotated_ubnormal, block

from lightvad.errors import LightvadError
from lightvad.objects.annotated import AnnotatedPaster
from lightvad.video.clips import ClipStore

NAMES = list(UBNORMAL_OBJECTS[:2])
OFFSETS = (-3, 0, 3)
WANTED: dict[str, Any] = {
    "frame_size": (HEIGHT, WIDTH), "offsets": OFFSETS, "smallest": 50, "largest": 0.1, "appearance": "paper"
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return annotated_ubnormal(tmp_path_factory.mktemp("ubnormal"))


def windows(own: AnnotatedPaster, count: int = 40) -> list[tuple[np.ndarray, np.ndarray]]:
    draw, found = np.random.default_rng(1), []
    for _ in range(count):
        window = np.zeros((*own.reader.frame_size, 3 * len(OFFSETS)), np.uint8)
        found.append((window, own.paste(window, draw)))
    return found


def shift_of(mask: np.ndarray) -> int:
    """The frame in which object 4 lies where the mask is."""
    return (int(np.nonzero(mask.any(0))[0][0]) - 10) // 2


def test_an_object_lies_and_moves_as_in_its_own_clip(store: ClipStore) -> None:
    own = AnnotatedPaster(store, NAMES[:1], **WANTED)
    seen = set()
    for window, covered in windows(own):
        assert not window[..., 3:6][~covered].any()
        if covered[35].any():  # object 7, which stands
            continue
        t = shift_of(covered)
        seen.add(t)
        assert np.array_equal(covered, block(t))
        for k, offset in enumerate(OFFSETS):
            expected = store.frame(NAMES[0], t + offset) * block(t + offset)[..., None]
            np.testing.assert_array_equal(window[..., 3 * k : 3 * k + 3], expected)
    assert seen == {5, 6, 7, 8, 9}, "the track is of frames 2 to 12, and a window needs three more on each side"


def test_a_track_ends_at_its_first_small_mask(store: ClipStore) -> None:
    own = AnnotatedPaster(store, NAMES[:1], **WANTED)
    standing = own._frames[own._places[own._corners[own._places, 1] == 30]]
    assert sorted(standing.tolist()) == [3, 4, 5, 6, 7], "frames 0 to 10, of which a window needs three on each side"


def test_large_objects_are_not_pasted(store: ClipStore) -> None:
    own = AnnotatedPaster(store, NAMES, **{**WANTED, "largest": 125 / (HEIGHT * WIDTH)})
    assert all(covered.sum() == 120 for _, covered in windows(own))
    with pytest.raises(LightvadError, match=r"none of the 4 tracks of 2 clips of the split abnormal can be pasted"):
        AnnotatedPaster(store, NAMES, **{**WANTED, "largest": 1e-3})


def test_at_another_size_the_mask_is_of_that_size(store: ClipStore) -> None:
    own = AnnotatedPaster(store, NAMES, **{**WANTED, "frame_size": (HEIGHT // 2, WIDTH // 2)})
    for window, covered in windows(own, 6):
        assert covered.shape == (HEIGHT // 2, WIDTH // 2)
        assert 25 <= covered.sum() <= 36
        assert not window[..., 3:6][~covered].any()


def test_the_codes_objects_are_gray(store: ClipStore) -> None:
    plain = windows(AnnotatedPaster(store, NAMES, **WANTED), 4)
    gray = windows(AnnotatedPaster(store, NAMES, **{**WANTED, "appearance": "released_code"}), 4)
    for (first, mask), (second, same) in zip(plain, gray, strict=True):
        np.testing.assert_array_equal(mask, same)
        assert (np.ptp(first[..., 3:6].astype(int), axis=2) > 0).any()
        assert (np.ptp(second[..., 3:6].astype(int), axis=2) == 0).all()
        assert second.any()


def test_clips_without_objects_are_one_line(store: ClipStore, drawn_clips: ClipStore) -> None:
    with pytest.raises(LightvadError, match=r"no annotated objects of clips of the split abnormal.*another source"):
        AnnotatedPaster(drawn_clips, [], **WANTED)
    with pytest.raises(LightvadError, match="no annotated objects"):
        AnnotatedPaster(store, [], **WANTED)


def test_damaged_masks_are_one_line(store: ClipStore) -> None:
    damaged = ClipStore(store.root)
    own = AnnotatedPaster(damaged, NAMES[:1], **WANTED)
    path = store.root / "objects" / f"{NAMES[0]}.npz"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(LightvadError, match="missing or damaged mask file"):
            windows(own, 1)
    finally:
        path.write_bytes(whole)
