"""From bodies and a scene to frames, and to the truth about them: which pixel shows which object."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from lightvad.datasets.plaza.geometry import Camera, Part, Pose, placed, shaded
from lightvad.datasets.plaza.scene import Scene, Sprite

SHADOW = 0.42
"""Share of the light that a cast shadow takes away."""

SUN = (0.62, 0.16)
"""Displacement of the shadow along X and Z per metre of height: the sun stands at the left, behind the camera."""

SUBPIXEL_BITS = 3
FIXED_POINT = 1 << SUBPIXEL_BITS
WHITE = (255,)


class Body(NamedTuple):
    """A posed body, ready to be drawn."""

    parts: Sequence[Part]
    pose: Pose


class Drawing(NamedTuple):
    """A frame before noise, and what it shows.

    `image` is float32 (H, W, 3) RGB in [0, 255]; `owner` int16 (H, W): number of the body that a pixel shows, -1 for
    the scene; `extent` int32 (bodies,): pixels that each body would show if nothing stood before it.
    """

    image: np.ndarray
    owner: np.ndarray
    extent: np.ndarray


def draw(scene: Scene, camera: Camera, bodies: Sequence[Body], *, time: float, supersampling: int) -> Drawing:
    """Draw the scene with `bodies`, the far ones first, with their cast shadows."""
    worlds = [_world(body) for body in bodies]
    shadow = np.maximum(scene.shadow, _shadows(worlds, bodies, camera))
    image = scene.ground * (1 - SHADOW * shadow)[..., None]
    owner = np.full(image.shape[:2], -1, np.int16)
    extent = np.zeros(len(bodies), np.int32)
    order = sorted([(-sprite.z, -1, k) for k, sprite in enumerate(scene.sprites)]
                   + [(-body.pose.z, k, k) for k, body in enumerate(bodies)])  # fmt: skip
    for _, number, k in order:
        if number < 0:
            _compose(image, owner, scene.sprites[k], -1)
            continue
        sprite = _sprite(worlds[k], bodies[k].parts, camera, supersampling, bodies[k].pose.z)
        if sprite is not None:
            extent[k] = _compose(image, owner, sprite, k)
    scene.animate(image, owner, time)
    return Drawing(image, owner, extent)


def _world(body: Body) -> np.ndarray:
    """World points (N, 3) of all parts of a body, one after the other."""
    if not body.parts:
        return np.empty((0, 3))
    return placed(np.array([point for part in body.parts for point in part.points]), body.pose)


def _compose(image: np.ndarray, owner: np.ndarray, sprite: Sprite, number: int) -> int:
    """Lay a sprite over the image; returns the number of pixels that it covers by more than half."""
    h, w = sprite.alpha.shape
    rows, columns = slice(sprite.y, sprite.y + h), slice(sprite.x, sprite.x + w)
    image[rows, columns] *= 1 - sprite.alpha[..., None]
    image[rows, columns] += sprite.colour
    covered = sprite.alpha > 0.5
    owner[rows, columns][covered] = number
    return int(covered.sum())


def _shadows(worlds: Sequence[np.ndarray], bodies: Sequence[Body], camera: Camera, scale: int = 2) -> np.ndarray:
    """Shadows of all bodies on the ground: float32 (H, W) in [0, 1]."""
    canvas = np.zeros((camera.height * scale, camera.width * scale), np.uint8)
    for points, body in zip(worlds, bodies, strict=True):
        if len(points) == 0:
            continue
        cast = np.zeros_like(points)
        cast[:, 0] = points[:, 0] + SUN[0] * points[:, 2]
        cast[:, 1] = points[:, 1] + SUN[1] * points[:, 2]
        pixels, size = camera.project(cast)
        corners, pens = _fixed_point(pixels * scale), 1.6 * scale * size
        start = 0
        for part in body.parts:
            stop = start + len(part.points)
            _draw_part(canvas, corners[start:stop], part.filled, part.radius * pens[start], WHITE)
            start = stop
    small = cv2.resize(canvas, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (3, 3), 0.6).astype(np.float32) / 255


def _sprite(points: np.ndarray, parts: Sequence[Part], camera: Camera, factor: int, z: float) -> Sprite | None:
    """Draw a body `factor` times larger and average it down; None where it is out of view."""
    if len(points) == 0:
        return None
    pixels, size = camera.project(points)
    margin = max(part.radius for part in parts) * float(size.max()) + 1
    left, top = np.floor(pixels.min(axis=0) - margin).astype(int)
    right, bottom = np.ceil(pixels.max(axis=0) + margin).astype(int)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, camera.width), min(bottom, camera.height)
    if left >= right or top >= bottom:
        return None
    canvas = np.zeros(((bottom - top) * factor, (right - left) * factor, 4), np.uint8)
    corners = _fixed_point((pixels - (left, top)) * factor)
    lengths = np.array([len(part.points) for part in parts], np.intp)
    ends = np.cumsum(lengths, dtype=np.intp)
    starts = ends - lengths
    depth = np.add.reduceat(points[:, 1], starts) / lengths
    pens = 2 * factor * np.add.reduceat(size, starts) / lengths
    for k in np.argsort(-depth, kind="stable"):
        part, own = parts[k], corners[starts[k] : ends[k]]
        pen = part.radius * pens[k]
        if part.filled or pen < 5:
            _draw_part(canvas, own, part.filled, pen, (*part.colour, 255))
            continue
        # A darker stroke with a lighter one towards the sun inside it makes a limb look round.
        _draw_part(canvas, own, False, pen, (*shaded(part.colour, 0.74), 255))
        lit = own - (round(0.17 * pen * FIXED_POINT), round(0.08 * pen * FIXED_POINT))
        _draw_part(canvas, lit.astype(np.int32), False, 0.62 * pen, (*shaded(part.colour, 1.06), 255))
    small = cv2.resize(canvas, (right - left, bottom - top), interpolation=cv2.INTER_AREA).astype(np.float32)
    return Sprite(x=left, y=top, z=z, colour=small[..., :3], alpha=small[..., 3] / 255)


def _fixed_point(pixels: np.ndarray) -> np.ndarray:
    """Pixels as OpenCV takes them with sub-pixel bits: int32."""
    return np.rint(pixels * FIXED_POINT).astype(np.int32)


def _draw_part(canvas: np.ndarray, corners: np.ndarray, filled: bool, pen: float, ink: tuple[int, ...]) -> None:
    if filled:
        cv2.fillPoly(canvas, [corners], ink, cv2.LINE_8, SUBPIXEL_BITS)
    else:
        cv2.polylines(canvas, [corners], False, ink, max(1, int(pen + 0.5)), cv2.LINE_8, SUBPIXEL_BITS)


def exposed(image: np.ndarray, rng: np.random.Generator, *, gain: float, noise: float) -> np.ndarray:
    """What the sensor makes of an image: uint8 (H, W, 3) RGB with illumination `gain` and Gaussian noise.

    Two thirds of the noise are common to the three channels, as after the demosaicing of a real sensor.
    """
    height, width = image.shape[:2]
    grain = rng.standard_normal((height, width, 1), np.float32) * np.float32(0.9 * noise)
    tint = rng.standard_normal((height, width, 3), np.float32) * np.float32(0.45 * noise)
    return np.clip(image * np.float32(gain) + grain + tint + 0.5, 0, 255).astype(np.uint8)
