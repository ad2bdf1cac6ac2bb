"""Boxes of another backend than the configured one, from the command to the files."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.documents import write_json
from lightvad.artifacts.tables import BOXES, INDEX, read_table, write_table
from lightvad.detection.class_probabilities import read_class_probabilities
from lightvad.errors import LightvadError
from lightvad.layout import boxes_path, checksums_path, classes_path, clips_folder, fetched_for_detection_path
from lightvad.project import Project
from lightvad.resolution import dataset_digest
from lightvad.stages import detect
from lightvad.stages.machine import Machine
from lightvad.video.clips import Clip, index_of, prepared_files, write_zip_clip

HEIGHT, WIDTH, FRAMES = 60, 80, 6


@pytest.fixture
def root(tmp_path: Path, repository: Path) -> Path:
    """Plaza as configured, with one clip of train and of test in which a square moves."""
    (tmp_path / "config").symlink_to(repository / "config")
    images = []
    for t in range(FRAMES):
        frame = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        frame[20:40, 5 + 10 * t : 17 + 10 * t] = 220
        images.append((f"{t:03}.png", cv2.imencode(".png", frame)[1].tobytes()))
    clips = [Clip(f"{split}_01", split, FRAMES, HEIGHT, WIDTH, 10.0, "drawn") for split in ("train", "test")]
    for clip in clips:
        write_zip_clip(tmp_path / clips_folder("plaza") / clip.split / f"{clip.name}.zip", images)
    write_table(tmp_path / clips_folder("plaza") / "index.parquet", index_of(clips), INDEX)
    files = prepared_files(tmp_path / clips_folder("plaza"))
    sums = {str(path): sha256_of(tmp_path / clips_folder("plaza") / path) for path in files}
    write_json(tmp_path / checksums_path("plaza"), sums)
    write_json(tmp_path / fetched_for_detection_path("plaza", "motion"), {"files": []})
    return tmp_path


def test_motion_boxes_of_a_dataset_whose_detector_gives_the_classes_have_none(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detect.run(Project(root), "plaza", Machine("cpu", 1), backend="motion", seed=0)
    table = read_table(root / boxes_path("plaza", "motion"), BOXES)
    assert set(table["clip"]) == {"train_01", "test_01"}
    probabilities, names = read_class_probabilities(root / classes_path("plaza", "motion"), boxes=len(table))
    assert probabilities.shape == (len(table), 0)
    assert names == ()
    assert "plaza motion boxes: no class probabilities, since motion knows no classes" in capsys.readouterr().err


def test_a_configuration_that_contradicts_itself_is_one_line_with_the_override_that_mends_it(root: Path) -> None:
    motion = "datasets.plaza.detection.backend=motion"
    with pytest.raises(LightvadError, match="motion boxes have no classes") as raised:
        detect.run(Project(root, (motion,)), "plaza", Machine("cpu", 1), backend="motion", seed=0)
    remedy = str(raised.value).rpartition("--set ")[2]
    mended = Project(root, (motion, remedy))
    detect.run(mended, "plaza", Machine("cpu", 1), backend=None, seed=0)
    assert (root / boxes_path("plaza", "motion")).is_file()
    same = dataset_digest(Project(root), "detect", "plaza", "motion")
    assert dataset_digest(mended, "detect", "plaza") == same, "the same boxes, however they were asked for"
