"""The camera over the square, and placing bodies on the ground.

World coordinates are metres: X to the right, Z away from the camera along the ground, `up` above it. Body coordinates
are metres too: forward, left, up. The camera looks horizontally through a shifted lens, so upright things stay upright.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

Colour = tuple[int, int, int]
Point = tuple[float, float, float]


class Part(NamedTuple):
    """A piece of a body: a stroke through `points` (body coordinates) with a round pen, or a filled polygon."""

    points: tuple[Point, ...]
    radius: float
    colour: Colour
    filled: bool = False


class Pose(NamedTuple):
    """Where a body stands, where it faces (radians, 0: to the right, pi/2: away) and how far it has come (metres)."""

    x: float
    z: float
    heading: float
    distance: float

    def moved(self, *, forward: float, left: float) -> "Pose":
        """The pose displaced in its own directions, metres."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        return self._replace(x=self.x + forward * cos - left * sin, z=self.z + forward * sin + left * cos)


@dataclass(frozen=True)
class Camera:
    """A fixed pinhole camera `elevation` metres above the ground, for frames of `height` x `width` pixels."""

    height: int
    width: int
    elevation: float = 10.0

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return 1.875 * self.height

    @property
    def horizon(self) -> float:
        """Row of the horizon; negative: above the frame."""
        return -0.4625 * self.height

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points (N, 3) of X, Z, up -> pixels (N, 2) of x, y and pixels per metre (N,)."""
        scale = self.focal / np.maximum(points[:, 1], 1.0)
        x = self.width / 2 + points[:, 0] * scale
        y = self.horizon + (self.elevation - points[:, 2]) * scale
        return np.stack([x, y], axis=1), scale

    def ground(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels -> X and Z of the ground that they show."""
        scale = (y - self.horizon) / self.elevation
        return (x - self.width / 2) / scale, self.focal / scale

    def half_width(self, z: float) -> float:
        """Half the width of the ground in view at distance `z`, metres."""
        return self.width / 2 * z / self.focal

    @property
    def nearest(self) -> float:
        """Z of the ground at the lower edge of the frame."""
        return self.focal * self.elevation / (self.height - self.horizon)


def placed(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Body points (N, 3) of forward, left, up -> world points (N, 3) of X, Z, up."""
    cos, sin = math.cos(pose.heading), math.sin(pose.heading)
    forward, left, up = points.T
    return np.stack([pose.x + forward * cos - left * sin, pose.z + forward * sin + left * cos, up], axis=1)


@lru_cache(maxsize=4096)
def shaded(colour: Colour, factor: float) -> Colour:
    """A colour made darker (factor < 1) or lighter (> 1)."""
    red, green, blue = (min(255, round(channel * factor)) for channel in colour)
    return red, green, blue
