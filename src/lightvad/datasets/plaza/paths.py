"""Ways over the square: where people come from, what they walk around, where they are at a time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lightvad.datasets.plaza.geometry import Camera, Pose
from lightvad.datasets.plaza.scene import FRONT, LANE, OBSTACLES
from lightvad.errors import LightvadError

WALKERS_COME_FROM = {"left": 0.32, "right": 0.32, "front": 0.21, "lane": 0.15}
ANOMALIES_COME_FROM = {"left": 0.4, "right": 0.4, "front": 0.2}
"""Shares of the sides from which people come, and to which they go."""


@dataclass(frozen=True)
class Motion:
    """Along a path of ground points (N, 2) at constant speed from `start` (seconds); a closed path is walked for ever.

    `forward` and `left` displace the body beside the path: a dog beside its owner, a pram before who pushes it.
    """

    path: np.ndarray
    speed: float
    start: float
    closed: bool = False
    forward: float = 0.0
    left: float = 0.0
    heading: float = 0.0

    def at(self, time: float) -> Pose | None:
        """The pose at `time`; None before the start and after the end."""
        if len(self.path) == 1:
            return Pose(float(self.path[0, 0]), float(self.path[0, 1]), self.heading, 0.0)
        steps = np.diff(self.path, axis=0)
        along = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
        distance = self.speed * (time - self.start)
        if not self.closed and not 0 <= distance < along[-1]:
            return None
        place = distance % along[-1]
        k = int(np.clip(np.searchsorted(along, place, side="right") - 1, 0, len(steps) - 1))
        share = (place - along[k]) / (along[k + 1] - along[k])
        x, z = self.path[k] + share * steps[k]
        pose = Pose(float(x), float(z), math.atan2(steps[k, 1], steps[k, 0]), distance)
        return pose.moved(forward=self.forward, left=self.left)

    def beside(self, *, forward: float, left: float) -> "Motion":
        """The motion of a companion."""
        return Motion(self.path, self.speed, self.start, self.closed, forward, left, self.heading)


class Ground:
    """The free ground of the square as `camera` sees it; what is random comes from `rng`."""

    def __init__(self, camera: Camera, rng: np.random.Generator) -> None:
        self.camera = camera
        self.rng = rng
        self._taken: list[tuple[float, float, float]] = []

    def path(self, *, sides: Mapping[str, float] = WALKERS_COME_FROM, room: float = 0.5) -> np.ndarray:
        """A smooth way over the square, in and out of view, `room` metres clear of obstacles: (N, 2)."""
        for attempt in range(600):
            first, last = self.rng.choice(list(sides), 2, replace=False, p=list(sides.values()))
            start, end = self._gate(first), self._gate(last)
            middle = self._place()
            t = np.linspace(0, 1, 33)[:, None]
            points = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
            if np.hypot(*(end - start)) > 7 and self._clear(points, room, among_people=attempt < 400):
                return points
        message = "plaza: no way over the square was found; make the generator's `frame_size` wider"
        raise LightvadError(message)

    def _gate(self, side: str) -> np.ndarray:
        z = self.rng.uniform(self.camera.nearest + 0.6, FRONT - 1.0)
        edge = self.camera.half_width(z) + 1.6
        if side == "left":
            return np.array([-edge, z])
        if side == "right":
            return np.array([edge, z])
        if side == "front":
            return np.array([self.rng.uniform(-5, 5), self.camera.nearest - 2.6])
        return np.array([self.rng.uniform(LANE[0] + 0.7, LANE[1] - 0.9), FRONT + 15])

    def _place(self) -> np.ndarray:
        z = self.rng.uniform(self.camera.nearest + 0.8, FRONT - 1.6)
        return np.array([self.rng.uniform(-1, 1) * (self.camera.half_width(z) - 0.8), z])

    def _clear(self, points: np.ndarray, room: float, *, among_people: bool = True) -> bool:
        for x, z, radius in (*OBSTACLES, *(self._taken if among_people else ())):
            if np.hypot(points[:, 0] - x, points[:, 1] - z).min() < radius + room:
                return False
        walls = (points[:, 1] > FRONT - 0.5) & ((points[:, 0] < LANE[0] + 0.4) | (points[:, 0] > LANE[1] - 0.4))
        return not walls.any()

    def spot(self, room: float = 0.5, *, farthest: float = FRONT, aside: float = 20.0) -> np.ndarray:
        """A free place in view, at most `farthest` away and `aside` from the middle: (1, 2).

        Paths found later avoid it, as long as there is another way.
        """
        for _ in range(1000):
            point = self._place()[None]
            if point[0, 1] < farthest and abs(point[0, 0]) < aside and self._clear(point, room):
                self._taken.append((float(point[0, 0]), float(point[0, 1]), 0.4))
                return point
        message = "plaza: no free place on the square was found; make the generator's `frame_size` wider"
        raise LightvadError(message)
