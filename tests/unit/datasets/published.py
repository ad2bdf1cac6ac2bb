"""Tiny datasets in the layouts of their publishers: what the tests of the readers share."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from lightvad.config import Dataset
from lightvad.datasets import fetch, prepare
from lightvad.errors import LightvadError
from lightvad.video.clips import ClipStore

HEIGHT, WIDTH, FRAMES = 48, 64, 6
Files = dict[str, bytes]


def block(t: int) -> np.ndarray:
    """A mask bool (H, W): a block that moves by 2 pixels a frame."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, 10 + 2 * t : 22 + 2 * t] = True
    return mask


def video(
    seed: int, *, suffix: str = ".mp4", frames: int = FRAMES, rate: int = 25, height: int = HEIGHT, width: int = WIDTH
) -> bytes:
    """A video of smooth noise: MPEG-4 in .avi as the publishers of 2013 made it, H.264 in .mp4."""
    buffer = io.BytesIO()
    rng = np.random.default_rng(seed)
    with av.open(buffer, "w", format={".mkv": "matroska"}.get(suffix, suffix[1:])) as container:
        stream = container.add_stream("mpeg4" if suffix == ".avi" else "libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(frames):
            small = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
            image = cv2.resize(small, (width, height))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode())
    return buffer.getvalue()


def image(seed: int, suffix: str, height: int = HEIGHT) -> bytes:
    """An encoded colour image of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, WIDTH, 3), dtype=np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A `.zip` with these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    """A `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def put(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def dataset(name: str, **changes: Any) -> Dataset:
    """A dataset's configuration, small; `changes` are further keys."""
    content = {
        "name": name, "title": f"tiny {name}", "fps": 24, "frame_size": (HEIGHT, WIDTH), "clips": {}, "frames": {},
        "detection": {"backend": "motion"}, "map_resolutions": (4,), **changes,
    }  # fmt: skip
    return Dataset.model_validate(content)


def pinned(files: Mapping[str, bytes]) -> dict[str, list[dict[str, Any]]]:
    """`layouts` with these files, their sizes unknown as those of big archives are."""
    sources = [{"file": name, "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()]
    return {"official": sources}


def prepared(tmp_path: Path, spec: Dataset, files: Mapping[str, bytes]) -> Path:
    """The clips folder of a dataset that was fetched from a mirror with `files` and prepared."""
    put(tmp_path / "mirror", files)
    fetch(spec, root=tmp_path / "raw", mirror=str(tmp_path / "mirror"))
    prepare(spec, raw=tmp_path / "raw", root=tmp_path / "clips")
    return tmp_path / "clips"


UBNORMAL_OBJECTS = tuple(f"abnormal_scene_1_scenario_{k}" for k in range(1, 5))
UBNORMAL_FRAMES = 14


def ubnormal_annotation(t: int) -> bytes:
    """Object 4 glides by two pixels a frame, object 7 stands; from frame 11 on object 7 is half hidden."""
    objects = np.zeros((HEIGHT, WIDTH), np.uint8)
    objects[30:40, 6:20] = 7
    if t > 10:
        objects[32:40, 6:20] = 0
    objects[block(t)] = 4
    return cv2.imencode(".png", objects)[1].tobytes()


def annotated_ubnormal(tmp_path: Path) -> ClipStore:
    """The clip store of a tiny UBnormal that has abnormal training videos alone: `UBNORMAL_OBJECTS`."""
    lists = dict.fromkeys(("normal_training", "abnormal_training", "normal_test", "abnormal_test"), "")
    lists["abnormal_training"] = "\n".join(UBNORMAL_OBJECTS)
    files = {f"UBnormal/scripts/{name}_video_names.txt": f"{names}\n".encode() for name, names in lists.items()}
    for number, name in enumerate(UBNORMAL_OBJECTS):
        folder = f"UBnormal/Scene1/{name}"
        files[f"{folder}.mp4"] = video(number, frames=UBNORMAL_FRAMES, rate=30)
        files[f"{folder}_annotations/{name}_tracks.txt"] = b"4,2,12\n7,0,13\n"
        for t in range(UBNORMAL_FRAMES):
            files[f"{folder}_annotations/{name}_{t:04d}_gt.png"] = ubnormal_annotation(t)
    found = {"files": ["UBnormal.zip"], "place": "get the archive by the link"}
    spec = dataset("ubnormal", fps=30, clips={"abnormal": len(UBNORMAL_OBJECTS)}, found=found)
    return ClipStore(prepared(tmp_path, spec, {"UBnormal.zip": zipped(files)}))


def refusal(tmp_path: Path, spec: Dataset, files: Mapping[str, bytes]) -> str:
    """The line with which fetching or preparing fails; it must leave no index and nothing unpacked."""
    with pytest.raises(LightvadError) as caught:
        prepared(tmp_path, spec, files)
    assert not (tmp_path / "clips" / "index.parquet").exists()
    assert not list((tmp_path / "clips").glob(".scratch*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)
