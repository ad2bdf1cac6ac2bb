"""A small student with random weights, its export, and videos."""

from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from lightvad.artifacts.exports import WEIGHTS, Manifest, Threshold, write_export
from lightvad.artifacts.weights import write_weights
from lightvad.methods.fast_aed.deployment import Deployed, deployed
from lightvad.methods.fast_aed.model import Student
from lightvad.methods.fast_aed.settings import FastAedSettings

FRAME_SIZE = (48, 64)
RESOLUTIONS = (1, 4, 8)
SETTINGS = FastAedSettings.model_validate({"network": {"blocks": 1, "heads": 1}})
MANIFEST = Manifest(
    form="torch", precision="32-true", dataset="drawn", budget="smoke", method="fast_aed", variant="default", seed=0,
    frame_size=FRAME_SIZE, offsets=(-3, 0, 3), resolutions=RESOLUTIONS, fps=25, smoothing_seconds=0.1,
    threshold=Threshold(value=0.5, wanted_per_hour=1, measured_per_hour=0, hours=0.1, clips=("one",)), parity=None,
    calibration_windows=None, settings=SETTINGS.model_dump(mode="json"), weights_sha256="0" * 64,
    versions={"lightvad": "test"}, files={},
)  # fmt: skip


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / WEIGHTS
    write_weights(path, Student(SETTINGS.network, RESOLUTIONS, 1).state_dict(), {"method": "fast_aed"})
    return path


@pytest.fixture(scope="session")
def network(weights: Path) -> Deployed:
    return deployed(SETTINGS, frame_size=FRAME_SIZE, resolutions=RESOLUTIONS, weights=weights)


@pytest.fixture(scope="session")
def export(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exports") / "student.lightvad"
    write_export(path, MANIFEST, {WEIGHTS: weights.read_bytes()})
    return path


def frames(count: int, size: tuple[int, int] = (50, 70)) -> list[np.ndarray]:
    """A bright square that moves over a ramp."""
    drawn = []
    for t in range(count):
        image = np.tile(np.linspace(20, 200, size[1], dtype=np.uint8)[None, :, None], (size[0], 1, 3))
        image[10:20, (3 * t) % (size[1] - 10) :][:, :10] = (250, 40, 90)
        drawn.append(image)
    return drawn


@pytest.fixture
def write_video(tmp_path: Path) -> Callable[..., Path]:
    def written(name: str, images: Sequence[np.ndarray], *, rate: int = 25, codec: str = "libx264") -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate)
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            for image in images:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        return path

    return written
