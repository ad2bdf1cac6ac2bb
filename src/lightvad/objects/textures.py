"""Procedural gray images that show no object of a scene: offline pseudo-abnormal appearance (project choice).

Each family stands for one kind of picture of the paper's pool: textures (noise, stripes, checks, gradients, cells,
blobs), flowers (petals), drawn faces (faces), and the chosen classes of Tiny ImageNet (animals, things): something in
the middle of the picture, turned any way, before a ground.
"""

from collections.abc import Callable

import cv2
import numpy as np

Rng = np.random.Generator


def procedural_image(family: str, *, seed: int, index: int, size: int = 64) -> np.ndarray:
    """Draw one image; the same arguments always give the same pixels.

    Args:
        family: a key of `FAMILIES`.
        seed: of the pool.
        index: of the image in the pool.
        size: side in pixels.

    Returns:
        uint8 (size, size).
    """
    rng = np.random.default_rng((seed, index))
    image = _stretched(FAMILIES[family](rng, size))
    low, high = np.sort(rng.uniform(0, 1, 2)) if rng.random() < 0.5 else (0.0, 1.0)
    high = max(high, min(low + 0.25, 1.0))
    image = low + (high - low) * image + rng.normal(0, rng.uniform(0, 0.05), image.shape)
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def _noise(rng: Rng, size: int) -> np.ndarray:
    """Gaussian noise of one to three scales, often drawn out in one direction."""
    image = np.zeros((size, size))
    for _ in range(rng.integers(1, 4)):
        sigma_x, sigma_y = np.exp(rng.uniform(np.log(0.4), np.log(size / 6), 2))
        layer = cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), sigma_x, sigmaY=sigma_y)
        image += rng.uniform(0.3, 1) * layer / (layer.std() + 1e-9)
    return image


def _stripes(rng: Rng, size: int) -> np.ndarray:
    """One or two waves, bent by slow noise, sinusoidal or with hard edges."""
    image = np.ones((size, size))
    bend = rng.uniform(0, 1.5) * _smooth(rng, size, size / 6)
    for _ in range(rng.integers(1, 3)):
        along, _ = _turned(rng, size)
        image = image * np.sin(2 * np.pi * (along * rng.uniform(2, 12) + rng.random()) + bend)
    return np.sign(image) if rng.random() < 0.4 else image


def _checks(rng: Rng, size: int) -> np.ndarray:
    """Checkerboards and bricks, turned."""
    along, across = _turned(rng, size)
    rows = np.floor(across * rng.uniform(3, 12))
    shift = 0.5 * (rows % 2) if rng.random() < 0.5 else 0.0
    columns = np.floor(along * rng.uniform(3, 12) + shift)
    shade = rng.random((64, 64))
    board = (rows + columns) % 2
    return board + rng.uniform(0, 1) * shade[rows.astype(int) % 64, columns.astype(int) % 64]


def _gradients(rng: Rng, size: int) -> np.ndarray:
    """Linear and radial shading, with steps at times."""
    along, _ = _turned(rng, size)
    y, x = _grid(size)
    radial = np.hypot(x - rng.uniform(-0.5, 0.5), y - rng.uniform(-0.5, 0.5))
    image = rng.uniform(-1, 1) * along + rng.uniform(-1, 1) * radial + 0.1 * _smooth(rng, size, size / 8)
    return np.floor(image * rng.uniform(4, 12)) if rng.random() < 0.4 else image


def _cells(rng: Rng, size: int) -> np.ndarray:
    """Voronoi cells: shaded, by distance to the nearest point, or their borders."""
    points = rng.uniform(-1, 1, (int(rng.integers(6, 80)), 2))
    y, x = _grid(size)
    distance = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1])
    near = np.sort(distance, axis=2)[..., :2]
    kind = rng.integers(3)
    if kind == 0:
        return rng.random(len(points))[distance.argmin(axis=2)]
    return near[..., 0] if kind == 1 else np.minimum(near[..., 1] - near[..., 0], 0.1)


def _blobs(rng: Rng, size: int) -> np.ndarray:
    """Spots of all sizes over a smooth ground."""
    image = 0.5 * _smooth(rng, size, size / 5)
    y, x = _grid(size)
    for _ in range(rng.integers(5, 40)):
        centre, radius = rng.uniform(-1, 1, 2), rng.uniform(0.04, 0.4, 2)
        inside = ((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2
        image = np.where(inside < 1, rng.uniform(-1.5, 1.5) * (1 - 0.4 * inside), image)
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.5))


def _petals(rng: Rng, size: int) -> np.ndarray:
    """A flower seen from above on a blurred ground: rings of petals and a dotted heart."""
    y, x = _grid(size)
    x, y = x - rng.uniform(-0.3, 0.3), y - rng.uniform(-0.3, 0.3)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    image = 0.3 * _smooth(rng, size, size / rng.uniform(5, 20))
    petals, phase = int(rng.integers(4, 14)), rng.uniform(0, 2 * np.pi)
    for ring in range(int(rng.integers(1, 4)), 0, -1):
        wave = np.abs(np.cos(0.5 * petals * (angle + phase + ring * np.pi / petals))) ** rng.uniform(0.3, 1.2)
        edge = rng.uniform(0.25, 0.35) * ring * (0.4 + 0.6 * wave)
        veins = 0.15 * np.cos(petals * rng.integers(2, 6) * angle)
        image = np.where(radius < edge, rng.uniform(0.2, 1.2) + veins - 0.8 * radius / (edge + 1e-6), image)
    heart = radius < rng.uniform(0.08, 0.2)
    return np.where(heart, rng.uniform(-1, 1.5) + 0.3 * rng.normal(size=radius.shape), image)


def _faces(rng: Rng, size: int) -> np.ndarray:
    """A drawn head: hair, oval, two large eyes, mouth."""
    y, x = _grid(size)
    image = 0.3 * _smooth(rng, size, size / 6) + rng.uniform(0, 0.5)
    x = x * rng.choice([-1, 1]) + rng.uniform(-0.2, 0.2)
    y = y + rng.uniform(-0.15, 0.15)
    wide, tall = rng.uniform(0.45, 0.65), rng.uniform(0.55, 0.8)
    skin, dark = rng.uniform(0.6, 1.0), rng.uniform(0.0, 0.35)
    strands = 0.1 * np.cos(x * rng.uniform(10, 40) + y * rng.uniform(-10, 10))
    image = np.where(_oval(x, y + 0.12, wide * rng.uniform(1.15, 1.5), tall * 1.2), rng.random() + strands, image)
    image = np.where(_oval(x, y - 0.1, wide, tall * 0.9), skin - 0.1 * x, image)
    apart, high = rng.uniform(0.2, 0.28), rng.uniform(-0.05, 0.15)
    for side in (-1, 1):
        eye_x, eye_y = x - side * apart, y - high
        image = np.where(_oval(eye_x, eye_y, 0.15, rng.uniform(0.08, 0.2)), 1.0, image)
        image = np.where(_oval(eye_x + rng.uniform(-0.03, 0.03), eye_y, 0.08, 0.1), dark, image)
    image = np.where(_oval(x, y - rng.uniform(0.4, 0.5), rng.uniform(0.08, 0.2), rng.uniform(0.02, 0.07)), dark, image)
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.0))


def _animals(rng: Rng, size: int) -> np.ndarray:
    """A body with head, limbs and tail, lying or standing any way, before an uneven ground."""
    fine = 3 * size
    ground, coat = rng.uniform(-1, 1, 2)
    image = (ground + _uneven(rng, fine)).astype(np.float32)
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 0.75)
    axis = np.array([np.cos(angle), np.sin(angle)])
    middle = rng.uniform(-0.15, 0.15, 2)
    back, front = middle - length * axis, middle + length * axis
    thick = rng.uniform(0.08, 0.3)

    def stroke(start: np.ndarray, end: np.ndarray, width: float, shade: float) -> None:
        first, last = (((point + 1) / 2 * fine).round().astype(int).tolist() for point in (start, end))
        cv2.line(image, first, last, shade, max(1, round(width * fine / 2)), cv2.LINE_AA)

    for place in np.linspace(-0.9, 0.9, int(rng.integers(2, 5))):
        root = middle + place * length * axis
        for side in (-1, 1):
            turn = angle + side * np.pi / 2 + rng.uniform(-0.7, 0.7)
            reach = rng.uniform(0.15, 0.5) * np.array([np.cos(turn), np.sin(turn)])
            stroke(root, root + reach, 0.3 * thick, coat - rng.uniform(0, 0.4))
    tail = rng.uniform(-0.8, 0.8)
    stroke(back, back - rng.uniform(0, 0.4) * np.array([np.cos(angle + tail), np.sin(angle + tail)]), 0.3 * thick, coat)
    stroke(back, front, 2 * thick, coat)
    stroke(back, front, thick, coat + rng.uniform(-0.4, 0.4))
    head = front + rng.uniform(0, 0.2) * axis
    stroke(head, head, rng.uniform(1.0, 2.2) * thick, coat + rng.uniform(-0.5, 0.5))
    return cv2.GaussianBlur(_shrunk(image, size), (0, 0), rng.uniform(0.3, 1.0))


def _things(rng: Rng, size: int) -> np.ndarray:
    """One to three shaded solids with straight or round edges, turned any way, before an uneven ground."""
    image = rng.uniform(-1, 1) + _uneven(rng, size)
    for _ in range(int(rng.integers(1, 4))):
        along, across = _turned(rng, size)
        along, across = along - rng.uniform(-0.3, 0.3), across - rng.uniform(-0.3, 0.3)
        long, short = rng.uniform(0.35, 0.9), rng.uniform(0.15, 0.5)
        power = rng.choice([1.0, 2.0, 8.0])  # a rhombus, an oval, a box
        reach = (np.abs(along) / long) ** power + (np.abs(across) / short) ** power
        shade = rng.uniform(-1.5, 1.5) + rng.uniform(-0.6, 0.6) * across / short
        if rng.random() < 0.4:
            shade = shade + 0.3 * np.sign(np.sin(along * rng.uniform(8, 30)))
        image = np.where(reach < 1, shade, image)
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))


def _uneven(rng: Rng, size: int) -> np.ndarray:
    """A ground: slow shades and fine grain."""
    return rng.uniform(0, 0.3) * _smooth(rng, size, size / 5) + rng.uniform(0, 0.15) * _smooth(rng, size, size / 60)


def _shrunk(image: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates y, x in [-1, 1]."""
    axis = np.linspace(-1, 1, size)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return y, x


def _turned(rng: Rng, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across a random direction."""
    y, x = _grid(size)
    angle = rng.uniform(0, np.pi)
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def _smooth(rng: Rng, size: int, sigma: float) -> np.ndarray:
    """Smooth noise of unit deviation."""
    noise = cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), sigma)
    return noise / (noise.std() + 1e-9)


def _oval(x: np.ndarray, y: np.ndarray, wide: float, tall: float) -> np.ndarray:
    return (x / wide) ** 2 + (y / tall) ** 2 < 1


def _stretched(image: np.ndarray) -> np.ndarray:
    """To [0, 1]; an even image becomes 0."""
    low, high = float(image.min()), float(image.max())
    return (image - low) / (high - low) if high > low else np.zeros_like(image)


FAMILIES: dict[str, Callable[[Rng, int], np.ndarray]] = {
    "noise": _noise,
    "stripes": _stripes,
    "checks": _checks,
    "gradients": _gradients,
    "cells": _cells,
    "blobs": _blobs,
    "petals": _petals,
    "faces": _faces,
    "animals": _animals,
    "things": _things,
}
"""All families, drawn in turn."""
