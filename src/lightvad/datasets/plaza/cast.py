"""Who is on the square, and where at what time: the people of a normal clip, the script of an abnormal one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lightvad.datasets.plaza.geometry import Camera, Part, Pose
from lightvad.datasets.plaza.people import RUN, STAND, TOPS, Arms, Fall, Person, random_look
from lightvad.datasets.plaza.scene import FOUNTAIN, FRONT, LANE, OBSTACLES
from lightvad.datasets.plaza.settings import BICYCLE, CART, DOG, PERSON, PRAM
from lightvad.datasets.plaza.things import Cart, Cyclist, Dog, Papers, Pram

WALKING = (0.85, 1.5)
RUNNING = (3.3, 4.2)
CYCLING = (4.2, 5.4)
DRIVING = (2.0, 2.6)
"""Ranges of speed, metres per second."""

COATS = ((132, 92, 54), (52, 44, 40), (206, 186, 150), (98, 96, 98), (176, 128, 78))


class BodyOverTime(Protocol):
    """Something that can be drawn at a time after a distance travelled."""

    def parts(self, time: float, distance: float) -> list[Part]:
        """The parts in body coordinates."""
        ...


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


@dataclass(frozen=True)
class Actor:
    """A body, its motion, its class for the detector (None: in no class), and when it is abnormal (seconds)."""

    body: BodyOverTime
    motion: Motion
    class_id: int | None
    abnormal: tuple[float, float] | None = None

    def is_abnormal(self, time: float) -> bool:
        """Whether this actor is an anomaly at `time`."""
        return self.abnormal is not None and self.abnormal[0] <= time <= self.abnormal[1]


ALWAYS = (-math.inf, math.inf)


class Director:
    """Casts a clip of `seconds`: draws everything that is random from `rng`."""

    def __init__(self, camera: Camera, rng: np.random.Generator, seconds: float) -> None:
        self.camera = camera
        self.rng = rng
        self.seconds = seconds

    # --- places and paths -------------------------------------------------------------------------------------------

    def path(self, *, sides: tuple[str, ...] = ("left", "right", "front", "lane")) -> np.ndarray:
        """A smooth way over the square from outside the view to outside the view, clear of obstacles: (N, 2)."""
        for _ in range(200):
            first, last = self.rng.permutation(len(sides))[:2]
            start, end = self._gate(sides[first]), self._gate(sides[last])
            middle = self._place()
            t = np.linspace(0, 1, 33)[:, None]
            points = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
            if np.hypot(*(end - start)) > 7 and self._clear(points, 0.5):
                return points
        message = "no way over the square was found; the obstacles leave no room"
        raise AssertionError(message)

    def _gate(self, side: str) -> np.ndarray:
        z = self.rng.uniform(self.camera.nearest + 0.6, FRONT - 1.0)
        edge = self.camera.half_width(z) + 1.6
        if side == "left":
            return np.array([-edge, z])
        if side == "right":
            return np.array([edge, z])
        if side == "front":
            return np.array([self.rng.uniform(-5, 5), self.camera.nearest - 2.6])
        return np.array([self.rng.uniform(LANE[0] + 0.7, LANE[1] - 0.9), FRONT + 22])

    def _place(self) -> np.ndarray:
        z = self.rng.uniform(self.camera.nearest + 0.8, FRONT - 1.6)
        return np.array([self.rng.uniform(-1, 1) * (self.camera.half_width(z) - 0.8), z])

    def _clear(self, points: np.ndarray, room: float) -> bool:
        for x, z, radius in OBSTACLES:
            if np.hypot(points[:, 0] - x, points[:, 1] - z).min() < radius + room:
                return False
        walls = (points[:, 1] > FRONT - 0.5) & ((points[:, 0] < LANE[0] + 0.4) | (points[:, 0] > LANE[1] - 0.4))
        return not walls.any()

    def spot(self, room: float = 0.5, *, farthest: float = FRONT) -> np.ndarray:
        """A free place in view, not farther away than `farthest`: (1, 2)."""
        for _ in range(400):
            point = self._place()[None]
            if point[0, 1] < farthest and self._clear(point, room):
                return point
        message = "no free place on the square was found; the obstacles leave no room"
        raise AssertionError(message)

    def _phase(self) -> float:
        return float(self.rng.uniform(0, 2 * math.pi))

    # --- normal life ------------------------------------------------------------------------------------------------

    def passers_by(self, people: float) -> list[Actor]:
        """Walkers, alone or in pairs, dogs and prams, some standing people; about `people` in view at a time."""
        stay = 12.0
        actors: list[Actor] = []
        due = self.rng.poisson(0.85 * people * (self.seconds + stay) / stay)
        while due > 0:
            start = float(self.rng.uniform(-stay, self.seconds))
            group = self._group(Motion(self.path(), float(self.rng.uniform(*WALKING)), start))
            actors += group
            due -= sum(actor.class_id == PERSON for actor in group)
        for _ in range(int(self.rng.binomial(2, min(0.12 * people / 2, 1.0)))):
            actors += self._chat()
        return actors

    def _group(self, motion: Motion) -> list[Actor]:
        kind = self.rng.random()
        if kind < 0.1:
            return [self._walker(motion), self._dog(motion.beside(forward=0.5, left=0.7))]
        if kind < 0.19:
            pusher = Actor(Person(random_look(self.rng), arms="push", phase=self._phase()), motion, PERSON)
            return [pusher, self._pram(motion.beside(forward=0.95, left=0))]
        if kind < 0.4:
            return [
                self._walker(motion),
                self._walker(motion.beside(forward=float(self.rng.uniform(-0.3, 0.3)), left=0.75)),
            ]
        return [self._walker(motion)]

    def _walker(self, motion: Motion) -> Actor:
        arms: Arms = "phone" if self.rng.random() < 0.12 else "swing"
        return Actor(Person(random_look(self.rng), arms=arms, phase=self._phase()), motion, PERSON)

    def _dog(self, motion: Motion) -> Actor:
        coat = COATS[self.rng.integers(len(COATS))]
        return Actor(Dog(float(self.rng.uniform(0.42, 0.62)), coat, self._phase()), motion, DOG)

    def _pram(self, motion: Motion) -> Actor:
        return Actor(Pram(TOPS[self.rng.integers(len(TOPS))]), motion, PRAM)

    def _standing(self, spot: np.ndarray, heading: float) -> Actor:
        arms: Arms = "phone" if self.rng.random() < 0.3 else "swing"
        body = Person(random_look(self.rng), gait=STAND, arms=arms, phase=self._phase())
        return Actor(body, Motion(spot, 0.0, 0.0, heading=heading), PERSON)

    def _chat(self) -> list[Actor]:
        spot, heading = self.spot(0.9), self._phase()
        step = 0.45 * np.array([[math.cos(heading), math.sin(heading)]])
        return [self._standing(spot - step, heading), self._standing(spot + step, heading + math.pi)]

    # --- anomalies --------------------------------------------------------------------------------------------------

    def _crossing(self, speeds: tuple[float, float], start: float) -> Motion:
        path = self.path(sides=("left", "right", "front"))
        return Motion(path, float(self.rng.uniform(*speeds)), start)

    def cyclist(self, motion: Motion) -> Actor:
        """Someone on a bicycle."""
        frame = TOPS[self.rng.integers(len(TOPS))]
        return Actor(Cyclist(random_look(self.rng), frame, self._phase()), motion, BICYCLE, ALWAYS)

    def runner(self, motion: Motion) -> Actor:
        """Someone who runs."""
        return Actor(Person(random_look(self.rng), gait=RUN, phase=self._phase()), motion, PERSON, ALWAYS)

    def cart(self, motion: Motion) -> Actor:
        """A small vehicle."""
        colour = ((222, 214, 196), (224, 146, 48), (92, 140, 96))[self.rng.integers(3)]
        return Actor(Cart(random_look(self.rng), colour), motion, CART, ALWAYS)

    def bicycles(self, start: float, end: float) -> list[Actor]:
        """Cyclists one after the other."""
        times = np.arange(start, max(end - 2.0, start + 0.1), 2.2)
        return [self.cyclist(self._crossing(CYCLING, float(time))) for time in times]

    def runners(self, start: float, end: float) -> list[Actor]:
        """Runners one after the other."""
        times = np.arange(start, max(end - 3.0, start + 0.1), 2.4)
        return [self.runner(self._crossing(RUNNING, float(time))) for time in times]

    def carts(self, start: float, end: float) -> list[Actor]:
        """A cart that drives across the square."""
        del end
        return [self.cart(self._crossing(DRIVING, start))]

    def fallen(self, start: float, end: float) -> list[Actor]:
        """Someone who falls, lies and stands up again."""
        fall = Fall(start, end)
        body = Person(random_look(self.rng), gait=STAND, phase=self._phase(), fall=fall)
        motion = Motion(self.spot(1.5), 0.0, 0.0, heading=self._phase())
        return [Actor(body, motion, PERSON, (start + 0.3 * fall.seconds, end - 0.3 * fall.seconds))]

    def papers(self, start: float, end: float) -> list[Actor]:
        """Someone who throws papers into the air; the papers are the anomaly, not the person."""
        # Near enough for the papers to stay below the upper edge of the frame.
        motion = Motion(self.spot(1.0, farthest=21.0), 0.0, 0.0, heading=self._phase())
        throws = tuple(float(time) for time in np.arange(start, max(end - 2.5, start + 0.1), 1.3))
        thrower = Person(random_look(self.rng), gait=STAND, arms="throw", phase=self._phase(), throws=throws)
        return [Actor(thrower, motion, PERSON), *(self._sheets(time, motion) for time in throws)]

    def _sheets(self, start: float, motion: Motion) -> Actor:
        rng, number = self.rng, int(self.rng.integers(14, 22))
        low = (-0.9, -0.9, 1.5, 2.0, 0.0, 0.26, 0.9, 0.6)
        high = (1.5, 0.9, 4.5, 5.0, 6.28, 0.38, 1.0, 1.4)
        sheets = tuple(tuple(float(v) for v in rng.uniform(low, high)) for _ in range(number))
        turn = -motion.heading
        wind = (1.3 * math.cos(turn), 1.3 * math.sin(turn))
        return Actor(Papers(start, sheets, wind), motion, None, ALWAYS)

    def laps(self, start: float, end: float) -> list[Actor]:
        """Two cyclists who ride around the fountain from the first frame to the last."""
        del start, end
        x, z, radius = FOUNTAIN
        turns = np.linspace(0, 2 * math.pi, 65)
        ring = np.stack([x + (radius + 2.4) * np.cos(turns), z + (radius + 2.0) * np.sin(turns)], axis=1)
        length = 2 * math.pi * (radius + 2.2)
        return [self.cyclist(Motion(ring, 4.2, -delay, closed=True)) for delay in (length / 4.2, 1.5 * length / 4.2)]

    def nothing(self, start: float, end: float) -> list[Actor]:
        """A wholly normal clip."""
        del start, end
        return []


Script = Callable[[Director, float, float], list[Actor]]
SCRIPTS: tuple[Script, ...] = (
    Director.bicycles, Director.runners, Director.carts, Director.fallen, Director.papers,
    Director.nothing, Director.laps, Director.runners, Director.carts, Director.fallen,
)  # fmt: skip
"""What happens in test clip 1, 2, ...; longer test splits go round again."""


def cast_clip(director: Director, script: Script, people: float) -> list[Actor]:
    """Everyone in a clip: passers-by, and the anomaly of `script` in its middle part."""
    start = director.seconds * float(director.rng.uniform(0.25, 0.35))
    end = director.seconds * float(director.rng.uniform(0.72, 0.82))
    return director.passers_by(people) + script(director, start, end)


def cast_still(director: Director, people: float) -> list[Actor]:
    """Everyone in one still of the `detector` split: every class, never papers; only the instant 0 is drawn."""
    rng = director.rng
    frozen = Director(director.camera, rng, 1.0)
    actors = [actor for actor in frozen.passers_by(people) if actor.motion.at(0.0) is not None]
    for chance, make in ((0.5, frozen.cyclist), (0.35, frozen.runner), (0.4, frozen.cart)):
        if rng.random() < chance:
            actors.append(make(Motion(frozen.spot(), 0.0, 0.0, heading=float(rng.uniform(0, 2 * math.pi)))))
    if rng.random() < 0.35:
        actors += frozen.fallen(-5.0, 5.0)
    return actors
