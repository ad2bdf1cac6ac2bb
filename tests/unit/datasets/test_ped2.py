"""Ped2 from its three layouts, on tiny archives built here, and from the real files where they are."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lightvad.artifacts.arrays import read_masks
from lightvad.artifacts.tables import LABELS, TRACKS, read_table
from lightvad.config import Dataset
from lightvad.datasets import fetch, prepare
from lightvad.errors import LightvadError
from lightvad.project import Project
from lightvad.video.clips import ClipStore

HEIGHT, WIDTH, FRAMES = 48, 64, 4
CLIPS = [("train", 1), ("train", 2), ("test", 1), ("test", 2)]
ABNORMAL = {1: range(1, 3), 2: range(4)}
MATLAB = b"TestVideoFile = {};\nTestVideoFile{end+1}.gt_frame = [2:3];\nTestVideoFile{end+1}.gt_frame = [1:4];\n"
Files = dict[str, bytes]


def gray(split: str, number: int, t: int) -> np.ndarray:
    """A frame uint8 (H, W) that is like no other."""
    rng = np.random.default_rng([split == "train", number, t])
    return rng.integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8)


def mask(number: int, t: int) -> np.ndarray:
    """A mask bool (H, W): a block that moves by 2 pixels a frame, in the abnormal frames only."""
    result = np.zeros((HEIGHT, WIDTH), bool)
    if t in ABNORMAL[number]:
        result[10:20, 10 + 2 * t : 22 + 2 * t] = True
    return result


def encoded(suffix: str, image: np.ndarray) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def tar(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def npz(masks: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    shapes = np.array([stack.shape for stack in masks.values()])
    np.savez(buffer, shapes=shapes, **{name: np.packbits(stack) for name, stack in masks.items()})
    return buffer.getvalue()


def packed_masks() -> bytes:
    return npz({f"{number:02d}": np.stack([mask(number, t) for t in range(FRAMES)]) for number in (1, 2)})


def jpeg_members(folder: str) -> Files:
    split = folder.removesuffix("ing")
    return {
        f"ped2/{folder}/frames/{number:02d}/{t:03d}.jpg": encoded(".jpg", gray(split, number, t))
        for number in (1, 2)
        for t in range(FRAMES)
    }


def jpeg_layout(change: Callable[[Files], None] = lambda files: None, masks: bytes | None = None) -> Files:
    training, testing = jpeg_members("training"), jpeg_members("testing")
    change(training)
    change(testing)
    return {
        "ped2/ped2_training_jpeg.tar": tar(training),
        "ped2/ped2_testing_jpeg.tar": tar(testing),
        "ped2/ped2_gt_masks.npz": packed_masks() if masks is None else masks,
        "ped2/UCSDped2.m": MATLAB,
    }


def official_layout(change: Callable[[Files], None] = lambda files: None) -> Files:
    root = "UCSD_Anomaly_Dataset.v1p2"
    files = {
        f"{root}/UCSDped1/Train/Train001/001.tif": b"another dataset",
        f"{root}/UCSDped2/Test/UCSDped2.m": MATLAB,
        f"{root}/UCSDped2/.DS_Store": b"x",
    }
    for split, number in CLIPS:
        folder = f"{root}/UCSDped2/{split.capitalize()}/{split.capitalize()}{number:03d}"
        for t in reversed(range(FRAMES)):  # archives of file systems are in no order
            files[f"{folder}/{t + 1:03d}.tif"] = encoded(".tif", gray(split, number, t))
            files[f"{folder}/._{t + 1:03d}.tif"] = b"resource fork"
            if split == "test":
                files[f"{folder}_gt/{t + 1:03d}.bmp"] = encoded(".bmp", mask(number, t).astype(np.uint8) * 255)
    change(files)
    return {"ped2/UCSD_Anomaly_Dataset.tar.gz": tar(files, "w:gz")}


def video(split: str, number: int) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for t in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(gray(split, number, t), format="gray")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    return buffer.getvalue()


def compact_layout() -> Files:
    videos = {f"ped2_compact/{split}ing/{number:02d}.mp4": video(split, number) for split, number in CLIPS}
    return {"ped2/ped2_compact_h264.tar": tar(videos), "ped2/ped2_gt_masks.npz": packed_masks()}


def tiny(tmp_path: Path, layout: str, files: Files, **changes: object) -> tuple[Dataset, Path, Path]:
    """A dataset of 2 training and 2 test clips of 4 frames, fetched from a mirror; its raw and clips folders."""
    sources = []
    for name, content in files.items():
        path = tmp_path / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        sources.append({"file": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    spec = Dataset.model_validate(
        {
            "name": "ped2", "title": "tiny Ped2", "fps": 10, "frame_size": (HEIGHT, WIDTH),
            "clips": {"train": 2, "test": 2}, "frames": {"train": 8, "test": 8}, "layouts": {layout: sources},
            "detection": {"backend": "motion"}, "map_resolutions": (4,), **changes,
        }
    )  # fmt: skip
    fetch(spec, root=tmp_path / "raw", mirror=str(tmp_path / "mirror"))
    return spec, tmp_path / "raw", tmp_path / "clips"


def prepared(tmp_path: Path, layout: str, files: Files, **changes: object) -> Path:
    spec, raw, root = tiny(tmp_path, layout, files, **changes)
    prepare(spec, raw=raw, root=root)
    return root


def refusal(tmp_path: Path, layout: str, files: Files, **changes: object) -> str:
    """The line with which preparing fails; it must leave no index."""
    spec, raw, root = tiny(tmp_path, layout, files, **changes)
    with pytest.raises(LightvadError) as caught:
        prepare(spec, raw=raw, root=root)
    assert not (root / "index.parquet").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("layout", "build", "source"),
    [
        ("jpeg", jpeg_layout, "JPEG q95 frames (future-frame-prediction distribution)"),
        ("official", official_layout, "official .tif frames, stored losslessly as PNG"),
        ("compact_h264", compact_layout, "re-encoded H.264 (compact: x264 CRF 17 of the JPEG frames)"),
    ],
)
def test_every_layout_gives_the_same_clips_labels_masks_and_tracks(
    tmp_path: Path, layout: str, build: Callable[[], Files], source: str
) -> None:
    root = prepared(tmp_path, layout, build())
    clips = ClipStore(root).clips()
    assert [clip.name for clip in clips] == ["Test001", "Test002", "Train001", "Train002"]
    assert [clip.split for clip in clips] == ["test", "test", "train", "train"]
    assert {(c.frames, c.height, c.width, c.fps, c.source) for c in clips} == {(FRAMES, HEIGHT, WIDTH, 10.0, source)}
    labels = read_table(root / "labels.parquet", LABELS)
    assert labels["clip"].tolist() == ["Test001"] * 4 + ["Test002"] * 4
    assert labels["label"].tolist() == [0, 1, 1, 0, 1, 1, 1, 1]
    for number in (1, 2):
        expected = np.stack([mask(number, t) for t in range(FRAMES)])
        assert np.array_equal(read_masks(root / "masks" / f"Test00{number}.npz"), expected)
    tracks = read_table(root / "tracks.parquet", TRACKS)
    assert tracks[["track", "frame"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [1, 3]]
    assert tracks.iloc[0][["x1", "y1", "x2", "y2"]].tolist() == [12, 10, 24, 20]


def test_official_frames_keep_every_pixel_and_their_order(tmp_path: Path) -> None:
    store = ClipStore(prepared(tmp_path, "official", official_layout()))
    for split, number in CLIPS:
        for t, frame in enumerate(store.sequential(f"{split.capitalize()}{number:03d}")):
            assert np.array_equal(frame, np.repeat(gray(split, number, t)[..., None], 3, axis=2))


def test_jpeg_frames_are_stored_byte_for_byte(tmp_path: Path) -> None:
    root = prepared(tmp_path, "jpeg", jpeg_layout())
    content = (root / "train" / "Train002.zip").read_bytes()
    for t in range(FRAMES):
        assert encoded(".jpg", gray("train", 2, t)) in content


def test_videos_are_stored_byte_for_byte_at_the_rate_of_the_dataset(tmp_path: Path) -> None:
    files = compact_layout()
    root = prepared(tmp_path, "compact_h264", files)
    assert (root / "test" / "Test001.mp4").read_bytes() in files["ped2/ped2_compact_h264.tar"]
    assert ClipStore(root)["Test001"].fps == 10


def test_another_layout_replaces_the_first_whole(tmp_path: Path) -> None:
    prepared(tmp_path, "jpeg", jpeg_layout())
    root = prepared(tmp_path, "compact_h264", compact_layout())
    assert {path.name for path in (root / "train").iterdir()} == {"Train001.mp4", "Train002.mp4"}
    assert ClipStore(root).frame("Train001", FRAMES - 1).shape == (HEIGHT, WIDTH, 3)


def without(name: str) -> Callable[[Files], None]:
    return lambda files: files.pop(name, None) and None


def cut(name: str) -> Callable[[Files], None]:
    return lambda files: files.update({name: files[name][: len(files[name]) // 2]} if name in files else {})


def added(name: str, content: bytes) -> Callable[[Files], None]:
    """Put a member into the archive of its split."""
    split = name.split("/")[1]
    return lambda files: files.update({name: content} if split in next(iter(files)) else {})


BAD_JPEG = {
    "cut frame": (
        cut("ped2/testing/frames/02/003.jpg"),
        "ped2_testing_jpeg.tar: ped2/testing/frames/02/003.jpg: truncated or not an image",
    ),
    "no frame": (without("ped2/training/frames/01/002.jpg"), r"clip Train001: frame 2 is missing"),
    "no last frame": (
        without("ped2/training/frames/02/003.jpg"),
        "train has 7 frames, 8 expected; clips have Train001 4, Train002 3",
    ),
    "no clip": (
        lambda files: [files.pop(name) for name in list(files) if "training/frames/02" in name] and None,
        "3 clips, 4 expected; missing: Train002",
    ),
    "a clip too many": (
        added("ped2/training/frames/03/000.jpg", encoded(".jpg", gray("train", 3, 0))),
        "5 clips, 4 expected; unknown: Train003",
    ),
    "another size": (
        added("ped2/testing/frames/01/001.jpg", encoded(".jpg", np.zeros((8, 8), np.uint8))),
        "clip Test001: frames of different sizes",
    ),
    "no frame of its mask": (without("ped2/testing/frames/01/003.jpg"), "test has 7 frames, 8 expected"),
}


@pytest.mark.parametrize("case", BAD_JPEG)
def test_bad_frames_name_their_clip(tmp_path: Path, case: str) -> None:
    change, expected = BAD_JPEG[case]
    assert expected in refusal(tmp_path, "jpeg", jpeg_layout(change))


def test_masks_that_do_not_match_the_frames_name_their_clip(tmp_path: Path) -> None:
    shorter = npz({"01": np.zeros((4, HEIGHT, WIDTH), bool), "02": np.zeros((3, HEIGHT, WIDTH), bool)})
    message = refusal(tmp_path / "a", "jpeg", jpeg_layout(masks=shorter))
    assert "clip Test001 at frame 1" not in message
    assert "clip Test002 has 4 frames but masks of 3" in message
    smaller = npz({"01": np.zeros((4, HEIGHT, WIDTH), bool), "02": np.zeros((4, HEIGHT, 8), bool)})
    assert "clip Test002 has frames of 48x64 but masks of 48x8" in refusal(
        tmp_path / "b", "jpeg", jpeg_layout(masks=smaller)
    )
    other = npz({"01": np.zeros((4, HEIGHT, WIDTH), bool), "02": np.ones((4, HEIGHT, WIDTH), bool)})
    assert "UCSDped2.m: differs from the pixel masks of clip Test001 at frame 1" in refusal(
        tmp_path / "c", "jpeg", jpeg_layout(masks=other)
    )
    none = npz({"01": np.zeros((4, HEIGHT, WIDTH), bool)})
    assert "no masks of clip Test002" in refusal(tmp_path / "d", "jpeg", jpeg_layout(masks=none))


@pytest.mark.parametrize("masks", [b"not an archive", packed_masks()[:300], npz({})])
def test_damaged_masks_are_one_line(tmp_path: Path, masks: bytes) -> None:
    assert "masks" in refusal(tmp_path, "jpeg", jpeg_layout(masks=masks))


def test_damaged_official_files_name_archive_member_or_clip(tmp_path: Path) -> None:
    root = "UCSD_Anomaly_Dataset.v1p2/UCSDped2"
    cases = {
        cut(f"{root}/Train/Train002/003.tif"): "Train/Train002/003.tif: truncated or not an image",
        cut(f"{root}/Test/Test001_gt/002.bmp"): "clip Test001, mask 1: truncated or not an image",
        without(f"{root}/Test/Test002_gt/002.bmp"): "clip Test002: mask 2 is missing",
        without(f"{root}/Test/Test002_gt/004.bmp"): "clip Test002 has 4 frames but masks of 3",
        without(f"{root}/Train/Train001/001.tif"): "clip Train001: frame 1 is missing",
    }
    for number, (change, expected) in enumerate(cases.items()):
        assert expected in refusal(tmp_path / str(number), "official", official_layout(change))


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    for layout, files in (("official", official_layout()), ("jpeg", jpeg_layout())):
        name = next(iter(files))
        files[name] = files[name][: len(files[name]) // 2 + 100]
        message = refusal(tmp_path / layout, layout, files)
        assert f"{tmp_path / layout / 'raw' / name}: truncated" in message


def test_a_truncated_video_is_named(tmp_path: Path) -> None:
    content = video("train", 1)
    files = {"ped2_compact/training/01.mp4": content[: len(content) // 2]}
    files |= {f"ped2_compact/{split}ing/{number:02d}.mp4": video(split, number) for split, number in CLIPS[1:]}
    layout = {"ped2/ped2_compact_h264.tar": tar(files), "ped2/ped2_gt_masks.npz": packed_masks()}
    assert "Train001.mp4: cannot be decoded" in refusal(tmp_path, "compact_h264", layout)


def test_an_archive_that_reaches_outside_is_refused(tmp_path: Path) -> None:
    files = jpeg_layout(lambda files: files.update({"../../ped2/training/frames/01/000.jpg": b""}))
    assert "points outside the archive" in refusal(tmp_path, "jpeg", files)
    assert not (tmp_path / "ped2").exists()


def test_a_failed_preparation_leaves_no_index_of_an_earlier_one(tmp_path: Path) -> None:
    root = prepared(tmp_path, "jpeg", jpeg_layout())
    assert (root / "index.parquet").exists()
    refusal(tmp_path, "compact_h264", {"ped2/ped2_compact_h264.tar": tar({}), "ped2/ped2_gt_masks.npz": packed_masks()})


def test_preparing_before_fetching_is_one_line(tmp_path: Path) -> None:
    spec, _, root = tiny(tmp_path, "jpeg", jpeg_layout())
    with pytest.raises(LightvadError, match=r"fetched\.json: missing"):
        prepare(spec, raw=tmp_path / "elsewhere", root=root)


def test_a_dataset_without_a_module_is_one_line(tmp_path: Path) -> None:
    spec, raw, root = tiny(tmp_path, "jpeg", jpeg_layout(), name="nowhere")
    with pytest.raises(LightvadError, match="no module src/lightvad/datasets/nowhere"):
        prepare(spec, raw=raw, root=root)


@pytest.mark.slow
def test_real_ped2_has_the_published_counts_and_labels(tmp_path: Path, repository: Path, shared_data: Path) -> None:
    spec = Project(repository).dataset("ped2")
    fetch(spec, root=tmp_path / "raw", mirror=str(shared_data))
    prepare(spec, raw=tmp_path / "raw", root=tmp_path / "clips")
    store = ClipStore(tmp_path / "clips")
    train = [120, 150, 150, 180, 180, 150, 150, 120, 180, 180, 180, 180, 180, 150, 150, 150]
    test = [180, 180, 150, 180, 150, 180, 180, 180, 120, 150, 180, 180]
    assert [clip.frames for clip in store.clips("train")] == train
    assert [clip.frames for clip in store.clips("test")] == test
    assert {(clip.height, clip.width) for clip in store.clips()} == {(240, 360)}
    labels = read_table(tmp_path / "clips" / "labels.parquet", LABELS)
    published = np.load(shared_data / "labels" / "frame_labels_ped2.npy").ravel()
    assert np.array_equal(labels["label"], published)
    whole = labels.groupby("clip")["label"].min()
    assert whole[whole == 1].index.tolist() == ["Test008", "Test009", "Test010", "Test011"]
    tracks = read_table(tmp_path / "clips" / "tracks.parquet", TRACKS)
    assert tracks["track"].nunique() == 21
    abnormal = labels[labels["label"] == 1]
    assert set(zip(tracks["clip"], tracks["frame"], strict=True)) == set(
        zip(abnormal["clip"], abnormal["frame"], strict=True)
    )
