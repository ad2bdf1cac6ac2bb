"""Procedural anomalies: textured blobs that move, or stand, in normal frames. No data is needed (project choice).

A blob has a smooth random outline, a procedural texture, a brightness of its own and the tint of some pixel of the
frame (none in a gray video). Its shape, texture and velocity are the same in all frames of a window.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from lightvad.objects.textures import procedural_image

TEXTURES = ("noise", "stripes", "checks", "gradients", "cells", "blobs")
"""Families of `procedural_image` that fill a picture; the others show something in its middle."""
TEXTURE_SIZE = 32
"""Pixels a side, before a texture is fitted to a blob."""
WAVES = 5
"""Of the outline: its radius is a sum of so many waves around the centre, slower ones being higher."""
ROUGHNESS = 0.5
"""Largest height of the slowest wave, in mean radii."""
FINE = 8
"""An outline is drawn so many times as large, so that its edge is smooth."""
SOFT = 0.6
"""Pixels: sigma of the edge."""
SMALLEST = 4
"""Pixels: no side of a blob is shorter."""
BRIGHTNESS, CONTRAST = (40, 215), (15, 80)
"""Gray levels of the texture's mean, and of its deviations from it."""
DISTANCE = 30
"""Gray levels: the mean is at least so far from that of the ground, or nobody could see the blob."""
TINTS, CHROMA = 16, (0.5, 1.5)
"""Pixels of the frame that are drawn, the most colourful of which tints the texture; factor of its tint."""


class BlobPaster:
    """Pastes blobs into windows.

    Args:
        frame_size: (height, width) of a window, pixels.
        offsets: of its frames.
        height: smallest and largest height of a blob, in heights of the frame.
        aspect: smallest and largest width, in heights of the blob.
        standing: share of the blobs that do not move.
        speed: of the others: smallest and largest, heights of the blob a frame.
    """

    def __init__(
        self,
        frame_size: tuple[int, int],
        offsets: Sequence[int],
        *,
        height: tuple[float, float],
        aspect: tuple[float, float],
        standing: float,
        speed: tuple[float, float],
    ) -> None:
        self.frame_size = frame_size
        self.offsets = offsets
        self.height, self.aspect, self.standing, self.speed = height, aspect, standing, speed

    def paste(self, window: np.ndarray, draw: np.random.Generator, *, count: int = 1) -> np.ndarray:
        """Paste blobs into a window uint8 (H, W, 3F), in place; `draw` decides everything that is random.

        Returns:
            bool (H, W): the pixels of the middle frame (offset 0) that blobs cover by a half or more.
        """
        covered = np.zeros(self.frame_size, bool)
        for _ in range(count):
            covered |= self._paste(window, draw)
        return covered

    def _paste(self, window: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        limits = np.array(self.frame_size)
        height = draw.uniform(*self.height) * limits[0]
        width = height * draw.uniform(*self.aspect)
        size = np.clip(np.rint([height, width]).astype(int), SMALLEST, limits)
        alpha = outline(size[0], size[1], draw)
        corner = draw.integers(0, limits - size + 1)
        pixels = self._texture(window, corner, size, draw)
        speed, angle = size[0] * draw.uniform(*self.speed), draw.uniform(0, 2 * np.pi)
        if draw.random() < self.standing:
            speed = 0.0
        velocity = speed * np.array([np.sin(angle), np.cos(angle)])
        covered = np.zeros(self.frame_size, bool)
        for k, offset in enumerate(self.offsets):
            start = np.rint(corner + velocity * offset).astype(int)
            first, last = np.maximum(start, 0), np.minimum(start + size, limits)
            if (first >= last).any():
                continue
            place = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
            inside = tuple(slice(a, b) for a, b in zip(first - start, last - start, strict=True))
            under = window[(*place, slice(3 * k, 3 * k + 3))]
            under[:] = np.rint(under + alpha[inside][..., None] * (pixels[inside] - under))
            if offset == 0:
                covered[place] |= alpha[inside] >= 0.5
        return covered

    def _texture(
        self, window: np.ndarray, corner: np.ndarray, size: np.ndarray, draw: np.random.Generator
    ) -> np.ndarray:
        """Pixels float32 (h, w, 3) of a blob that lies at `corner` (y, x) of the middle frame."""
        family = TEXTURES[int(draw.integers(len(TEXTURES)))]
        image = procedural_image(family, seed=int(draw.integers(2**31)), index=0, size=TEXTURE_SIZE)
        image = cv2.resize(image.astype(np.float32), (int(size[1]), int(size[0])), interpolation=cv2.INTER_AREA)
        middle = 3 * list(self.offsets).index(0)
        frame = window[..., middle : middle + 3]
        ground = frame[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]].mean()
        distance = draw.uniform(*BRIGHTNESS) - ground
        brightness = ground + np.copysign(max(abs(distance), DISTANCE), distance)
        y, x = (draw.integers(0, side, TINTS) for side in self.frame_size)
        colours = frame[y, x].astype(np.float32)
        tints = colours - colours.mean(1, keepdims=True)
        tint = tints[np.ptp(tints, axis=1).argmax()] * draw.uniform(*CHROMA)
        gray = brightness + draw.uniform(*CONTRAST) * (image - image.mean()) / 127.5
        return np.clip(gray[..., None] + tint, 0, 255).astype(np.float32)


def outline(height: int, width: int, draw: np.random.Generator) -> np.ndarray:
    """How far a blob covers each pixel of its box: float32 (height, width) in [0, 1]."""
    angles = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    waves = np.arange(1, WAVES + 1)[:, None]
    heights, phases = draw.uniform(0, ROUGHNESS, (WAVES, 1)) / waves, draw.uniform(0, 2 * np.pi, (WAVES, 1))
    radius = np.maximum(1 + (heights * np.cos(waves * angles + phases)).sum(0), 0.2)
    points = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    points = (points - points.min(0)) / np.ptp(points, axis=0)
    drawn = np.zeros((height * FINE, width * FINE), np.float32)
    corners = np.rint(points * (np.array([width, height]) * FINE - 1)).astype(np.int32)
    cv2.fillPoly(drawn, [corners], 1.0)
    covered = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(covered, (3, 3), SOFT, borderType=cv2.BORDER_CONSTANT)
