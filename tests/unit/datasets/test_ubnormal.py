"""UBnormal from the publisher's archive, and its real clips."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lightvad.artifacts.arrays import ObjectMasks, read_masks
from lightvad.artifacts.tables import OBJECTS, TRACKS, read_table
from lightvad.config import Dataset
from lightvad.errors import LightvadError
from lightvad.video.clips import ClipStore, read_labels

from .published import FRAMES, HEIGHT, WIDTH, Files, block, dataset, prepared, refusal, video, zipped

TRAIN, NORMAL, ABNORMAL = "normal_scene_1_scenario_2", "normal_scene_12_scenario1_10", "abnormal_scene_3_scenario_4_fog"
CUT = "abnormal_scene_1_scenario_1"
"""An abnormal training video: its objects are cut out."""


def annotation(t: int) -> bytes:
    """Object 4 is the block, object 1 a normal person, 0 the ground."""
    objects = block(t).astype(np.uint8) * 4
    objects[40:44, 3:6] = 1
    return cv2.imencode(".png", objects)[1].tobytes()


def members() -> Files:
    annotations = f"Scene3/{ABNORMAL}_annotations/{ABNORMAL}"
    files = {
        f"Scene1/{TRAIN}.mp4": video(1, rate=30),
        f"Scene12/{NORMAL}.mp4": video(2, rate=30),
        f"Scene3/{ABNORMAL}.mp4": video(3, rate=30),
        f"Scene1/{CUT}.mp4": video(4, rate=30),
        # As NumPy writes them, like some of the published files; object 1 stands in the way of object 4's box.
        f"Scene1/{CUT}_annotations/{CUT}_tracks.txt": b"4.000000000000000000e+00,1.000000000000000000e+00,"
        b"4.000000000000000000e+00\r\n1.0,0.0,2.0\r\n",
        f"{annotations}_tracks.txt": b"4,1,3\r\n",
        "scripts/normal_training_video_names.txt": f"{TRAIN}\n".encode(),
        "scripts/abnormal_training_video_names.txt": f"{CUT}\n".encode(),
        "scripts/normal_test_video_names.txt": f"{NORMAL}\n".encode(),
        "scripts/abnormal_test_video_names.txt": f"{ABNORMAL}\n".encode(),
    }
    for folder in (annotations, f"Scene1/{CUT}_annotations/{CUT}"):
        files |= {f"{folder}_{t:04d}_gt.png": annotation(t) for t in range(FRAMES)}
    return {f"UBnormal/{name}": content for name, content in files.items()}


def tiny(clips: dict[str, int] | None = None, pattern: str = "UBnormal.zip") -> Dataset:
    found = {"files": [pattern], "place": "get the archive by the link"}
    return dataset("ubnormal", fps=30, clips={"test": 2} if clips is None else clips, found=found)


def archive(files: Files) -> Files:
    return {"UBnormal.zip": zipped(files)}


@pytest.mark.parametrize("packed", [True, False])
def test_normal_videos_train_and_tracks_label(tmp_path: Path, packed: bool) -> None:
    files = archive(members()) if packed else members()
    root = prepared(tmp_path, tiny(pattern="UBnormal.zip" if packed else "UBnormal/**/*"), files)
    store = ClipStore(root)
    assert [(clip.name, clip.split, clip.frames, clip.height, clip.width, clip.fps) for clip in store.clips()] == [
        (CUT, "abnormal", FRAMES, HEIGHT, WIDTH, 30.0),
        (ABNORMAL, "test", FRAMES, HEIGHT, WIDTH, 30.0),
        (NORMAL, "test", FRAMES, HEIGHT, WIDTH, 30.0),
        (TRAIN, "train", FRAMES, HEIGHT, WIDTH, 30.0),
    ]
    labels = read_labels(store)
    assert labels["clip"].tolist() == [ABNORMAL] * FRAMES + [NORMAL] * FRAMES
    assert labels["label"].tolist() == [0, 1, 1, 1, 0, 0] + [0] * FRAMES
    masks = read_masks(root / "masks" / f"{ABNORMAL}.npz")
    assert np.array_equal(masks, np.stack([block(t) & (1 <= t <= 3) for t in range(FRAMES)]))
    tracks = read_table(root / "tracks.parquet", TRACKS)
    assert tracks[["track", "frame", "x1", "y1", "x2", "y2"]].to_numpy().tolist() == [
        [0, 1, 12, 10, 24, 20], [0, 2, 14, 10, 26, 20], [0, 3, 16, 10, 28, 20],
    ]  # fmt: skip
    assert not (root / "masks" / f"{CUT}.npz").exists()


def test_objects_of_abnormal_training_videos_are_kept_with_their_masks(tmp_path: Path) -> None:
    root = prepared(tmp_path, tiny({"test": 2, "abnormal": 1}), archive(members()))
    objects = read_table(root / "objects.parquet", OBJECTS)
    assert set(objects["clip"]) == {CUT}
    assert objects[["track", "frame", "x1", "y1", "x2", "y2", "area"]].to_numpy().tolist() == [
        *([0, t, 10 + 2 * t, 10, 22 + 2 * t, 20, 120] for t in (1, 2, 3, 4)),
        *([1, t, 3, 40, 6, 44, 12] for t in (0, 1, 2)),
    ]
    masks = ObjectMasks(root / "objects" / f"{CUT}.npz", np.array([[10, 12]] * 4 + [[4, 3]] * 3))
    assert [masks[row].shape for row in (0, 3, 4, 6)] == [(10, 12), (10, 12), (4, 3), (4, 3)]
    assert all(masks[row].all() for row in range(7))
    with pytest.raises(LightvadError, match=r"objects/abnormal_scene_1_scenario_1.npz: not the masks of the 1 boxes"):
        ObjectMasks(root / "objects" / f"{CUT}.npz", np.array([[10, 12]]))


ANNOTATIONS = f"UBnormal/Scene3/{ABNORMAL}_annotations/{ABNORMAL}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({f"{ANNOTATIONS}_tracks.txt": None}, f"no {ABNORMAL}_tracks.txt for the abnormal clip"),
        ({f"{ANNOTATIONS}_tracks.txt": b""}, f"no track of the abnormal clip {ABNORMAL}"),
        ({f"{ANNOTATIONS}_tracks.txt": b"4,1,6\n"}, "line 1 ('4,1,6'): no object,first,last below 6"),
        ({f"{ANNOTATIONS}_tracks.txt": b"4,3,1\n"}, "line 1 ('4,3,1')"),
        ({f"{ANNOTATIONS}_tracks.txt": b"4,1,2\n4,nan,3\n"}, "line 2 ('4,nan,3')"),
        ({f"{ANNOTATIONS}_0002_gt.png": None}, f"no {ABNORMAL}_0002_gt.png, though a track is there in frame 2"),
        ({f"{ANNOTATIONS}_0002_gt.png": annotation(2)[:60]}, "_0002_gt.png: truncated or not an image"),
        ({f"UBnormal/Scene12/{NORMAL}.mp4": None}, f"no {NORMAL}.mp4, which is in the list of test videos"),
        ({"UBnormal/scripts/normal_test_video_names.txt": None}, "no list normal_test_video_names.txt"),
        ({"UBnormal/scripts/normal_test_video_names.txt": TRAIN.encode()}, f"{TRAIN} is in two lists"),
        ({"UBnormal/scripts/abnormal_training_video_names.txt": None}, "no list abnormal_training_video_names.txt"),
        ({f"{ANNOTATIONS}_tracks.txt": b"4,1,2.5\n"}, "line 1 ('4,1,2.5')"),
        ({f"{ANNOTATIONS}_tracks.txt": b"4,1,1e999\n"}, "line 1 ('4,1,1e999')"),
        ({f"UBnormal/Scene1/{CUT}_annotations/{CUT}_0003_gt.png": None}, f"no {CUT}_0003_gt.png, though a track is"),
        ({"UBnormal/scripts/abnormal_test_video_names.txt": b"\n"}, "1 clips for test, 2 expected"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, change: dict[str, bytes | None], expected: str) -> None:
    files = {name: content for name, content in {**members(), **change}.items() if content is not None}
    assert expected in refusal(tmp_path, tiny(), archive(files))


def test_the_real_normal_clips(tmp_path: Path, shared_data: Path) -> None:
    names = ["normal_scene_16_scenario_2", "normal_scene_28_scenario_7", "normal_scene_6_scenario_5"]
    files = {f"UBnormal/{name}.mp4": (shared_data / "ubnormal" / f"{name}.mp4").read_bytes() for name in names}
    files |= {
        "UBnormal/scripts/normal_training_video_names.txt": "\n".join(names[:2]).encode(),
        "UBnormal/scripts/normal_test_video_names.txt": names[2].encode(),
        "UBnormal/scripts/abnormal_test_video_names.txt": b"\n",
        "UBnormal/scripts/abnormal_training_video_names.txt": b"\n",
    }
    store = ClipStore(prepared(tmp_path, tiny({"train": 2, "test": 1}), archive(files)))
    assert [(clip.name, clip.split, clip.frames, clip.fps) for clip in store.clips()] == [
        (names[0], "train", 451, 30.0), (names[1], "train", 451, 30.0), (names[2], "test", 451, 30.0),
    ]  # fmt: skip
    assert not read_labels(store)["label"].any()
