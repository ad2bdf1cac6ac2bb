import hashlib
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightvad.artifacts.arrays import read_masks
from lightvad.artifacts.tables import BOXES, INDEX, LABELS, TRACKS, read_table
from lightvad.config import Dataset
from lightvad.datasets import plaza
from lightvad.datasets.plaza.cast import RUNNING, SCRIPTS, WALKING, Director, cast_clip, cast_still
from lightvad.datasets.plaza.geometry import Camera, Pose, placed
from lightvad.datasets.plaza.paths import Motion
from lightvad.datasets.plaza.people import RUN, WALK, Fall, Person, random_look
from lightvad.datasets.plaza.rendering import Body, draw
from lightvad.datasets.plaza.scene import OBSTACLES, build_scene
from lightvad.datasets.plaza.settings import BICYCLE, CART, PERSON
from lightvad.errors import LightvadError
from lightvad.project import Project
from lightvad.video.clips import ClipStore

TINY = plaza.PlazaSettings.model_validate(
    {
        "seed": 3,
        "frame_size": (80, 120),
        "fps": 4,
        "clips": {"train": 2, "test": 10, "detector": 1},
        "frames_per_clip": {"train": 12, "test": 40, "detector": 12},
        "supersampling": 2,
        "minimal_pixels": 4,
        "people": 3,
    }
)
BICYCLES, FALLEN, PAPERS, NORMAL, LAPS = 1, 4, 5, 6, 7
"""Numbers of test clips, by their script."""


def tiny_dataset(**changes: object) -> Dataset:
    generator = {
        **TINY.model_dump(mode="json"),
        "clips": {"train": 1, "test": 2, "detector": 1},
        "frames_per_clip": {"train": 4, "test": 5, "detector": 3},
    }
    content = {
        "name": "plaza",
        "title": "tiny",
        "fps": 4,
        "frame_size": (80, 120),
        "clips": {"train": 1, "test": 2, "detector": 1},
        "frames": {"train": 4, "test": 10, "detector": 3},
        "generator": generator,
        "detection": {"backend": "motion"},
        "map_resolutions": [1],
    }
    return Dataset.model_validate({**content, **changes})


@pytest.fixture(scope="module")
def clips() -> dict[int, plaza.GeneratedClip]:
    return {number: plaza.generate_clip(TINY, "test", number) for number in range(1, 11)}


@pytest.fixture(scope="module")
def stills() -> plaza.GeneratedClip:
    return plaza.generate_clip(TINY, "detector", 1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plaza")
    plaza.prepare(tiny_dataset(), raw=root / "raw", root=root / "clips")
    return root / "clips"


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_settings_give_the_same_bytes(prepared: Path, tmp_path: Path) -> None:
    plaza.prepare(tiny_dataset(), raw=tmp_path / "raw", root=tmp_path / "clips")
    assert digests(tmp_path / "clips") == digests(prepared)


def test_another_seed_gives_other_people() -> None:
    other = TINY.model_copy(update={"seed": 4})
    assert not np.array_equal(
        plaza.generate_clip(TINY, "train", 1).frames, plaza.generate_clip(other, "train", 1).frames
    )


def test_prepared_clips_are_those_generated_alone(prepared: Path) -> None:
    settings = plaza.settings_of(tiny_dataset())
    store = ClipStore(prepared)
    assert [clip.name for clip in store.clips()] == ["detector_01", "test_01", "test_02", "train_01"]
    for split, number in (("train", 1), ("test", 2), ("detector", 1)):
        clip = plaza.generate_clip(settings, split, number)
        assert np.array_equal(np.stack(list(store.sequential(clip.name))), clip.frames)


def test_prepared_tables_agree_with_each_other(prepared: Path) -> None:
    index = read_table(prepared / "index.parquet", INDEX)
    assert set(index["source"]) == {"generated, seed 3"}
    labels = read_table(prepared / "labels.parquet", LABELS)
    tracks = read_table(prepared / "tracks.parquet", TRACKS)
    boxes = read_table(prepared / "truth_boxes.parquet", BOXES)
    assert set(boxes["clip"]) <= set(index["clip"])
    assert set(labels["clip"]) == {"test_01", "test_02"}
    for clip, rows in labels.groupby("clip"):
        masks = read_masks(prepared / "masks" / f"{clip}.npz")
        assert np.array_equal(masks.any(axis=(1, 2)), rows["label"] == 1)
        assert set(tracks[tracks["clip"] == clip]["frame"]) == set(np.flatnonzero(rows["label"]))


def test_labels_agree_with_masks_and_tracks(clips: dict[int, plaza.GeneratedClip]) -> None:
    for clip in clips.values():
        assert np.array_equal(clip.labels == 1, clip.masks.any(axis=(1, 2)))
        assert set(clip.tracks["frame"]) == set(np.flatnonzero(clip.labels))
        for t, rows in clip.tracks.groupby("frame"):
            covered = np.zeros(TINY.frame_size, bool)
            for row in rows.itertuples():
                region = (slice(int(row.y1), int(row.y2)), slice(int(row.x1), int(row.x2)))
                assert clip.masks[t][region].sum() >= TINY.minimal_pixels
                covered[region] = True
            assert not (clip.masks[t] & ~covered).any()


def test_a_track_is_one_object_of_one_clip(clips: dict[int, plaza.GeneratedClip]) -> None:
    tracks = pd.concat([clip.tracks for clip in clips.values()])
    assert (tracks.groupby("track")["clip"].nunique() == 1).all()
    assert not tracks.duplicated(["track", "frame"]).any()


def test_one_clip_is_wholly_normal_and_one_wholly_abnormal(clips: dict[int, plaza.GeneratedClip]) -> None:
    assert not clips[NORMAL].labels.any()
    assert clips[LAPS].labels.all()
    for number in set(clips) - {NORMAL, LAPS}:
        labels = clips[number].labels
        assert labels[0] == 0, number
        assert labels.any(), number


def test_training_is_normal_only() -> None:
    for number in (1, 2):
        clip = plaza.generate_clip(TINY, "train", number)
        assert not clip.masks.any()
        assert clip.tracks.empty
        assert not clip.boxes["class_id"].isin([BICYCLE, CART]).any()
    camera = Camera(*TINY.frame_size)
    cast = cast_clip(Director(camera, np.random.default_rng(0), 60.0), Director.nothing, people=6)
    assert len(cast) > 20
    assert all(actor.abnormal is None for actor in cast)
    assert all(actor.body.gait is not RUN for actor in cast if isinstance(actor.body, Person))


def test_papers_are_never_shown_to_the_detector() -> None:
    camera, rng = Camera(*TINY.frame_size), np.random.default_rng(1)
    casts = [cast_still(camera, rng, people=5) for _ in range(60)]
    classes = {actor.class_id for cast in casts for actor in cast}
    assert classes == set(range(len(plaza.CLASSES)))


def test_papers_have_a_mask_but_no_class(clips: dict[int, plaza.GeneratedClip]) -> None:
    clip = clips[PAPERS]
    corners = ["frame", "x1", "y1", "x2", "y2"]
    shared = clip.tracks.merge(clip.boxes, on=corners)
    assert len(clip.tracks) > 0
    assert shared.empty


def test_a_lying_person_is_a_person(clips: dict[int, plaza.GeneratedClip]) -> None:
    clip = clips[FALLEN]
    shared = clip.tracks.merge(clip.boxes, on=["frame", "x1", "y1", "x2", "y2"])
    assert set(shared["class_id"]) == {PERSON}
    lying = shared[shared["frame"] == clip.tracks["frame"].median()]
    assert ((lying["x2"] - lying["x1"]) > (lying["y2"] - lying["y1"])).all()


def test_boxes_lie_inside_the_frame(clips: dict[int, plaza.GeneratedClip], stills: plaza.GeneratedClip) -> None:
    height, width = TINY.frame_size
    for clip in (*clips.values(), stills):
        for table in (clip.boxes, clip.tracks):
            assert (table[["x1", "y1"]] >= 0).all(axis=None)
            assert (table["x2"] <= width).all()
            assert (table["y2"] <= height).all()
            assert ((table["x2"] > table["x1"]) & (table["y2"] > table["y1"])).all()
    assert set(clips[BICYCLES].boxes["class_id"]) >= {PERSON, BICYCLE}


def test_sizes_and_types(stills: plaza.GeneratedClip) -> None:
    assert stills.name == "detector_01"
    assert stills.frames.shape == (12, 80, 120, 3)
    assert stills.frames.dtype == np.uint8
    assert stills.masks.shape == (12, 80, 120)
    assert not stills.labels.any()
    assert 40 < stills.frames.mean() < 215


def test_a_larger_picture_shows_the_same_people() -> None:
    small = plaza.generate_clip(TINY, "test", BICYCLES)
    large = plaza.generate_clip(plaza.enlarged(TINY, 2), "test", BICYCLES)
    assert large.frames.shape[1:] == (160, 240, 3)
    keys = ["frame", "track"]
    both = small.tracks.merge(large.tracks, on=keys)
    assert len(both) > 0.8 * len(small.tracks)
    centre = (both["x1_x"] + both["x2_x"]) / 2 - (both["x1_y"] + both["x2_y"]) / 4
    assert centre.abs().median() < 1.5


def test_the_dataset_file_fits_the_generator(repository: Path) -> None:
    dataset = Project(repository).dataset("plaza")
    settings = plaza.settings_of(dataset)
    assert settings.frame_size == dataset.frame_size
    assert len(SCRIPTS) <= settings.clips.test


def test_an_unknown_generator_key_is_named(tmp_path: Path) -> None:
    dataset = tiny_dataset(generator={"seeds": 1})
    with pytest.raises(LightvadError, match=r"plaza\.yaml: generator: seeds: unknown key; allowed here: .*seed"):
        plaza.prepare(dataset, raw=tmp_path, root=tmp_path / "clips")
    assert not (tmp_path / "clips").exists()


def test_counts_that_contradict_the_generator_are_named(tmp_path: Path) -> None:
    dataset = tiny_dataset(frames={"train": 5, "test": 10, "detector": 3})
    with pytest.raises(LightvadError, match=r"frames: is .*'train': 5.*makes .*'train': 4"):
        plaza.prepare(dataset, raw=tmp_path, root=tmp_path / "clips")


def test_runners_are_told_from_walkers_by_speed() -> None:
    assert RUNNING[0] > 2 * WALKING[1]


def test_the_nearer_person_hides_the_farther() -> None:
    camera, look = Camera(160, 240), random_look(np.random.default_rng(0), children=0)
    parts = Person(look, gait=WALK).parts(0.0, 0.0)
    far, near = Body(parts, Pose(3.5, 18.5, 0.0, 0.0)), Body(parts, Pose(3.5, 17.8, 0.0, 0.0))
    scene = build_scene(camera, 0)
    alone = draw(scene, camera, [near], time=0, supersampling=3).owner == 0
    for order in ([far, near], [near, far]):
        drawing = draw(scene, camera, order, time=0, supersampling=3)
        place = order.index(near)
        assert np.array_equal(drawing.owner == place, alone)
        assert (drawing.owner == 1 - place).sum() < drawing.extent[1 - place]


@given(x=st.floats(0, 240), y=st.floats(0, 160))
def test_a_pixel_of_the_ground_projects_onto_itself(x: float, y: float) -> None:
    camera = Camera(160, 240)
    ground_x, ground_z = camera.ground(np.array([x]), np.array([y]))
    pixels, scale = camera.project(np.array([[ground_x[0], ground_z[0], 0.0]]))
    assert np.allclose(pixels, [[x, y]])
    assert scale[0] == pytest.approx(camera.focal / ground_z[0])


@given(heading=st.floats(0, 2 * math.pi), forward=st.floats(-2, 2), left=st.floats(-2, 2))
def test_moving_a_pose_is_placing_a_point(heading: float, forward: float, left: float) -> None:
    pose = Pose(1.0, 20.0, heading, 0.0)
    moved = pose.moved(forward=forward, left=left)
    assert np.allclose(placed(np.array([[forward, left, 0.0]]), pose), [[moved.x, moved.z, 0.0]])


@given(seed=st.integers(0, 1000))
def test_paths_go_around_obstacles(seed: int) -> None:
    points = Director(Camera(160, 240), np.random.default_rng(seed), 10.0).ground.path()
    for x, z, radius in OBSTACLES:
        assert np.hypot(points[:, 0] - x, points[:, 1] - z).min() >= radius


@given(time=st.floats(-5, 20))
def test_motion_is_at_constant_speed(time: float) -> None:
    motion = Motion(np.array([[0.0, 15.0], [4.0, 15.0], [4.0, 21.0]]), speed=2.0, start=1.0)
    pose = motion.at(time)
    assert (pose is not None) == (1.0 <= time < 6.0)
    if pose is not None:
        assert pose.distance == pytest.approx(2 * (time - 1))
        assert abs(pose.x) + abs(pose.z - 15) == pytest.approx(pose.distance)


@given(time=st.floats(-5, 30))
def test_a_fall_ends_where_it_began(time: float) -> None:
    recline = Fall(start=3.0, end=9.0).recline(time)
    assert 0 <= recline <= 1
    assert recline == pytest.approx(1 if 3.8 <= time <= 8.2 else recline)
    assert (recline == 0) == (time <= 3.0 or time >= 9.0)
