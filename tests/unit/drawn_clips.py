"""A tiny dataset: a square glides over a ramp in three training clips and a test clip."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lightvad.artifacts.tables import BOXES, INDEX, LABELS, write_table
from lightvad.video.clips import Clip, ClipStore, index_of, write_zip_clip

HEIGHT, WIDTH, FRAMES = 40, 56, 9
CLIPS = {"train_01": "train", "train_02": "train", "train_03": "train", "test_01": "test"}


def frame(clip: int, t: int) -> np.ndarray:
    """A square that glides over a ramp; the gray level of the corner pixel says which frame it is."""
    image = np.tile(np.linspace(40, 120, WIDTH, dtype=np.uint8)[None, :, None], (HEIGHT, 1, 3))
    image[8 + 4 * clip : 20 + 4 * clip, 3 + 4 * t : 11 + 4 * t] = (230, 200, 150)
    image[0, 0] = 100 * clip + t
    return image


def boxes() -> pd.DataFrame:
    """Table BOXES of the squares of the training clips."""
    rows = [
        (name, t, 3 + 4 * t, 8 + 4 * clip, 11 + 4 * t, 20 + 4 * clip, np.nan, -1)
        for clip, name in enumerate(n for n, split in CLIPS.items() if split == "train")
        for t in range(FRAMES)
    ]
    return pd.DataFrame(rows, columns=list(BOXES)).astype(BOXES)


def write_clips(root: Path) -> ClipStore:
    """The clip store of the drawn clips, with labels of the test clip."""
    clips = []
    for number, (name, split) in enumerate(CLIPS.items()):
        images = [(f"{t:03d}.png", cv2.imencode(".png", frame(number % 3, t)[:, :, ::-1])[1]) for t in range(FRAMES)]
        write_zip_clip(root / split / f"{name}.zip", [(file, coded.tobytes()) for file, coded in images])
        clips.append(Clip(name, split, FRAMES, HEIGHT, WIDTH, 10.0, "drawn"))
    write_table(root / "index.parquet", index_of(clips), INDEX)
    labels = pd.DataFrame({"clip": "test_01", "frame": range(FRAMES), "label": [0] * 5 + [1] * (FRAMES - 5)})
    write_table(root / "labels.parquet", labels, LABELS)
    return ClipStore(root)
