"""A dataset that a test adds: noise, and in the second half of every test clip a light that blinks."""

import shutil
from pathlib import Path

import cv2
import numpy as np

from lightvad.artifacts.arrays import write_masks
from lightvad.config import Dataset
from lightvad.datasets.clips import write_tables
from lightvad.datasets.labels import labels_from_masks, labels_table
from lightvad.datasets.tracks import tracks_table
from lightvad.video.clips import Clip, write_zip_clip


def prepare(dataset: Dataset, *, raw: Path, root: Path) -> None:
    """Write `root` (data/clips/blinks); `index.parquet` is written last."""
    del raw
    (root / "index.parquet").unlink(missing_ok=True)
    for folder in ("train", "test", "masks"):
        shutil.rmtree(root / folder, ignore_errors=True)
    height, width = dataset.frame_size
    generator = np.random.default_rng((dataset.generator or {})["seed"])
    clips, masks = [], {}
    for split in ("train", "test"):
        length = dataset.frames[split] // dataset.clips[split]
        for number in range(dataset.clips[split]):
            clip = Clip(f"{split}_{number}", split, length, height, width, dataset.fps, "generated")
            frames = generator.integers(100, 110, (length, height, width, 3), np.uint8)
            if split == "test":
                mask = np.zeros((length, height, width), bool)
                mask[length // 2 :, 8:24, 8:24] = True
                frames[length // 2 :: 2, 8:24, 8:24] = 250
                masks[clip.name] = mask
            images = ((f"{t:04d}.png", cv2.imencode(".png", frame)[1].tobytes()) for t, frame in enumerate(frames))
            write_zip_clip(root / split / f"{clip.name}.zip", images)
            clips.append(clip)
    for name, mask in masks.items():
        write_masks(root / "masks" / f"{name}.npz", mask)
    labels = {name: labels_from_masks(mask) for name, mask in masks.items()}
    write_tables(root, clips, labels=labels_table(labels), tracks=tracks_table(masks))
