"""Drawn video for measurements: people-sized squares that walk over textured ground; called drawn where it is used."""

from pathlib import Path

import av
import cv2
import numpy as np

WALKERS = 6


def write_walk(path: Path, *, frames: int, height: int, width: int, rate: int = 25) -> None:
    """Write an H.264 video of `frames` frames at `rate` frames a second."""
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 256, (height, width, 3), np.uint8)
    ground = cv2.GaussianBlur(noise, (0, 0), 3) // 2 + 64
    places, speeds = draw.random((WALKERS, 2)), draw.normal(0, 0.004, (WALKERS, 2))
    tall, wide = max(2, height // 8), max(2, width // 30)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23"}
        for t in range(frames):
            image = ground.copy()
            corners = ((places + t * speeds) % 1 * (height - tall, width - wide)).astype(int)
            for k, (y, x) in enumerate(corners.tolist()):
                image[y : y + tall, x : x + wide] = (40 * k, 250 - 40 * k, 90)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
