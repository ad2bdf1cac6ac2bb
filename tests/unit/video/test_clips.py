"""The clip store: any frame of any clip, exactly, from stills and from videos."""

from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.documents import write_json
from lightvad.artifacts.tables import INDEX, LABELS, write_table
from lightvad.errors import LightvadError
from lightvad.video.clips import (
    Clip,
    ClipStore,
    decode_image,
    index_of,
    prepared_files,
    read_labels,
    write_zip_clip,
)
from lightvad.video.decoding import VideoFrames

HEIGHT, WIDTH, FRAMES = 48, 64, 23


def frame_number(t: int) -> np.ndarray:
    frame = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    frame[:, 2 * t : 2 * t + 8] = (200, 90, 20)
    return frame


def write_video(path: Path, *, rate: int = 10, gop: int = 6) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        stream.options = {"crf": "1", "g": str(gop), "bf": "2"}
        for t in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame_number(t), format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    png = [(f"{t:06d}.png", cv2.imencode(".png", frame_number(t)[..., ::-1])[1].tobytes()) for t in range(FRAMES)]
    write_zip_clip(tmp_path / "train" / "stills.zip", png)
    (tmp_path / "test").mkdir()
    write_video(tmp_path / "test" / "video.mp4")
    clips = [Clip(n, s, FRAMES, HEIGHT, WIDTH, 10.0, "made here") for n, s in (("stills", "train"), ("video", "test"))]
    write_table(tmp_path / "index.parquet", index_of(clips), INDEX)
    return ClipStore(tmp_path, cache_bytes=4 * HEIGHT * WIDTH * 3)


def test_stills_are_exact_and_rgb(store: ClipStore) -> None:
    for t in (0, 22, 7, 7, 3):
        assert np.array_equal(store.frame("stills", t), frame_number(t))


def test_video_random_access_equals_sequential(store: ClipStore) -> None:
    sequential = [frame.copy() for frame in store.sequential("video")]
    assert len(sequential) == FRAMES
    fresh = ClipStore(store.root, cache_bytes=1)
    for t in (20, 0, 5, 6, 7, 22, 1):
        assert np.array_equal(fresh.frame("video", t), sequential[t])
        assert np.abs(sequential[t].astype(int) - frame_number(t)).mean() < 3, f"frame {t} shows another moment"


def test_the_cache_is_bounded_and_read_only(store: ClipStore) -> None:
    for t in range(FRAMES):
        store.frame("stills", t)
    assert store._cached <= 4 * HEIGHT * WIDTH * 3
    with pytest.raises(ValueError, match="read-only"):
        store.frame("stills", 0)[0, 0] = 0


@pytest.mark.parametrize("clip", ["stills", "video"])
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_clip_that_is_not_as_prepared_is_refused_before_it_is_decoded(
    store: ClipStore, clip: str, damage: str
) -> None:
    files = prepared_files(store.root)
    write_json(store.root / "checksums.json", {file.as_posix(): sha256_of(store.root / file) for file in files})
    path = store.path(clip)
    content = path.read_bytes()
    assert ClipStore(store.root).frame(clip, 3).shape == (HEIGHT, WIDTH, 3)
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.write_bytes(flipped if damage == "flip" else content[:-1])
    with pytest.raises(LightvadError, match=rf"{path.name}: sha256 \w+, but checksums.json says \w+; run .*prepare"):
        ClipStore(store.root).frame(clip, 3)
    path.write_bytes(content)
    assert ClipStore(store.root).frame(clip, 3).shape == (HEIGHT, WIDTH, 3)


def test_splits_and_windows(store: ClipStore) -> None:
    assert [clip.name for clip in store.clips("train")] == ["stills"]
    assert [clip.name for clip in store.clips()] == ["stills", "video"]
    assert store.window("stills", [3, 3, 6]).shape == (3, HEIGHT, WIDTH, 3)
    with pytest.raises(LightvadError, match="no clip 'other'; it holds stills, video"):
        store.frame("other", 0)


def test_a_clip_of_another_length_is_an_error(store: ClipStore) -> None:
    write_zip_clip(store.path("stills"), [("0.png", cv2.imencode(".png", frame_number(0))[1].tobytes())])
    with pytest.raises(LightvadError, match=r"stills.zip: 1 frames, but the index says 23"):
        ClipStore(store.root).frame("stills", 0)


def test_a_missing_clip_is_an_error(store: ClipStore) -> None:
    store.path("stills").unlink()
    with pytest.raises(LightvadError, match="0 files for clip stills, expected 1"):
        ClipStore(store.root).frame("stills", 0)


def test_a_missing_clip_is_named_by_the_file_that_was_prepared(store: ClipStore) -> None:
    named = {file.as_posix(): sha256_of(store.root / file) for file in prepared_files(store.root)}
    write_json(store.root / "checksums.json", named)
    store.path("video").unlink()
    with pytest.raises(LightvadError, match=r"test/video.mp4: missing, though checksums.json names it; run"):
        ClipStore(store.root).frame("video", 0)


@pytest.mark.parametrize("content", [b"", b"not a video", None])
def test_a_damaged_video_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "v.mp4"
    write_video(path)
    path.write_bytes(path.read_bytes()[:700] if content is None else content)
    with pytest.raises(LightvadError, match="cannot be decoded"):
        VideoFrames(path)


def test_a_damaged_archive_is_one_line(store: ClipStore) -> None:
    path = store.path("stills")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(LightvadError, match="missing or damaged clip"):
        ClipStore(store.root).frame("stills", 0)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_gray_and_16_bit_images_become_rgb(suffix: str) -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    assert np.array_equal(decode_image(cv2.imencode(suffix, gray)[1].tobytes(), "x"), np.repeat(gray[..., None], 3, 2))
    if suffix != ".bmp":
        deep = cv2.imencode(suffix, gray.astype(np.uint16) * 256)[1].tobytes()
        assert np.array_equal(decode_image(deep, "x")[..., 0], gray)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 cut"])
def test_a_damaged_image_names_its_place(content: bytes) -> None:
    with pytest.raises(LightvadError, match="clip 3, frame 7: truncated or not an image"):
        decode_image(content, "clip 3, frame 7")


def test_labels_come_in_order_and_one_for_every_frame(store: ClipStore) -> None:
    labels = pd.DataFrame({"clip": "video", "frame": range(FRAMES), "label": [0] * 20 + [1] * 3})
    write_table(store.root / "labels.parquet", labels.sample(frac=1, random_state=0), LABELS)
    assert read_labels(store)["label"].tolist() == [0] * 20 + [1] * 3
    write_table(store.root / "labels.parquet", labels[:-1], LABELS)
    with pytest.raises(LightvadError, match=r"labels\.parquet: clip video has 23 frames and 22 labels; run"):
        read_labels(store)


def test_a_clip_of_frames_of_another_size_is_an_error(store: ClipStore) -> None:
    clips = [Clip("stills", "train", FRAMES, HEIGHT, WIDTH + 1, 10.0, "made here")]
    write_table(store.root / "index.parquet", index_of(clips), INDEX)
    with pytest.raises(LightvadError, match=r"stills\.zip: frame 3 has 48x64 pixels, but the index says 48x65"):
        ClipStore(store.root).frame("stills", 3)
