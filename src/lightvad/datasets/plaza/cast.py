"""Who is on the square, and where at what time: the people of a normal clip, the script of an abnormal one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lightvad.datasets.plaza.geometry import Camera, Part
from lightvad.datasets.plaza.paths import ANOMALIES_COME_FROM, Ground, Motion
from lightvad.datasets.plaza.people import RUN, STAND, TOPS, Arms, Fall, Person, random_look
from lightvad.datasets.plaza.scene import FOUNTAIN
from lightvad.datasets.plaza.settings import BICYCLE, CART, DOG, PERSON, PRAM
from lightvad.datasets.plaza.things import Cart, Cyclist, Dog, Papers, Pram

WALKING = (0.85, 1.5)
RUNNING = (3.3, 4.2)
CYCLING = (4.2, 5.4)
DRIVING = (2.0, 2.6)
"""Ranges of speed, metres per second."""

HOODS = ((52, 66, 96), (150, 52, 56), (92, 96, 98), (64, 108, 104))
COATS = ((132, 92, 54), (52, 44, 40), (206, 186, 150), (98, 96, 98), (176, 128, 78))


class BodyOverTime(Protocol):
    """Something that can be drawn at a time after a distance travelled."""

    def parts(self, time: float, distance: float) -> list[Part]:
        """The parts in body coordinates."""
        ...


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
        self.ground = Ground(camera, rng)
        self.rng = rng
        self.seconds = seconds

    def _phase(self) -> float:
        return float(self.rng.uniform(0, 2 * math.pi))

    # --- normal life ------------------------------------------------------------------------------------------------

    def passers_by(self, people: float) -> list[Actor]:
        """Walkers, alone or in pairs, dogs and prams, some standing people; about `people` in view at a time."""
        stay = 15.0  # seconds that one way over the square takes on average
        actors: list[Actor] = []
        start = -stay
        while start < self.seconds:
            group = self._group(Motion(self.ground.path(), float(self.rng.uniform(*WALKING)), start))
            actors += group
            walkers = sum(actor.class_id == PERSON for actor in group)
            start += float(self.rng.uniform(0.4, 1.6)) * walkers * stay / (0.85 * people)
        for _ in range(int(self.rng.binomial(2, min(0.12 * people / 2, 1.0)))):
            actors += self._chat()
        return actors

    def _group(self, motion: Motion) -> list[Actor]:
        kind = self.rng.random()
        if kind < 0.14:
            return [self._walker(motion), self.dog(motion.beside(forward=0.5, left=0.7))]
        if kind < 0.28:
            pusher = Actor(Person(random_look(self.rng), arms="push", phase=self._phase()), motion, PERSON)
            return [pusher, self.pram(motion.beside(forward=0.95, left=0))]
        if kind < 0.48:
            return [
                self._walker(motion),
                self._walker(motion.beside(forward=float(self.rng.uniform(-0.3, 0.3)), left=0.75)),
            ]
        return [self._walker(motion)]

    def _walker(self, motion: Motion) -> Actor:
        arms: Arms = "phone" if self.rng.random() < 0.12 else "swing"
        return Actor(Person(random_look(self.rng), arms=arms, phase=self._phase()), motion, PERSON)

    def dog(self, motion: Motion) -> Actor:
        """A dog."""
        coat = COATS[self.rng.integers(len(COATS))]
        return Actor(Dog(float(self.rng.uniform(0.42, 0.62)), coat, self._phase()), motion, DOG)

    def pram(self, motion: Motion) -> Actor:
        """A pram, without who pushes it."""
        return Actor(Pram(HOODS[self.rng.integers(len(HOODS))]), motion, PRAM)

    def _standing(self, spot: np.ndarray, heading: float) -> Actor:
        arms: Arms = "phone" if self.rng.random() < 0.3 else "swing"
        body = Person(random_look(self.rng), gait=STAND, arms=arms, phase=self._phase())
        return Actor(body, Motion(spot, 0.0, 0.0, heading=heading), PERSON)

    def _chat(self) -> list[Actor]:
        spot, heading = self.ground.spot(0.9), self._phase()
        step = 0.45 * np.array([[math.cos(heading), math.sin(heading)]])
        return [self._standing(spot - step, heading), self._standing(spot + step, heading + math.pi)]

    # --- anomalies --------------------------------------------------------------------------------------------------

    def _crossing(self, speeds: tuple[float, float], start: float, room: float = 0.5) -> Motion:
        path = self.ground.path(sides=ANOMALIES_COME_FROM, room=room)
        return Motion(path, float(self.rng.uniform(*speeds)), start)

    def cyclist(self, motion: Motion) -> Actor:
        """Someone on a bicycle."""
        frame = TOPS[self.rng.integers(len(TOPS))]
        return Actor(Cyclist(random_look(self.rng, children=0), frame, self._phase()), motion, BICYCLE, ALWAYS)

    def runner(self, motion: Motion) -> Actor:
        """Someone who runs."""
        return Actor(Person(random_look(self.rng, children=0), gait=RUN, phase=self._phase()), motion, PERSON, ALWAYS)

    def cart(self, motion: Motion) -> Actor:
        """A small vehicle."""
        colour = ((222, 214, 196), (224, 146, 48), (92, 140, 96))[self.rng.integers(3)]
        return Actor(Cart(random_look(self.rng, children=0), colour), motion, CART, ALWAYS)

    def bicycles(self, start: float, end: float) -> list[Actor]:
        """Cyclists one after the other."""
        times = np.arange(start, max(end - 2.0, start + 0.1), 2.2)
        return [self.cyclist(self._crossing(CYCLING, float(time))) for time in times]

    def runners(self, start: float, end: float) -> list[Actor]:
        """Runners one after the other."""
        times = np.arange(start, max(end - 2.0, start + 0.1), 2.4)
        return [self.runner(self._crossing(RUNNING, float(time))) for time in times]

    def carts(self, start: float, end: float) -> list[Actor]:
        """A cart that drives across the square."""
        del end
        return [self.cart(self._crossing(DRIVING, start, room=1.0))]

    def fallen(self, start: float, end: float) -> list[Actor]:
        """Someone who falls, lies and stands up again."""
        fall = Fall(start, end)
        body = Person(random_look(self.rng, children=0), gait=STAND, phase=self._phase(), fall=fall)
        # Across the view: seen from the front, a lying body would be a mere heap.
        heading = float(math.pi * self.rng.integers(2) + self.rng.uniform(-0.7, 0.7))
        motion = Motion(self.ground.spot(1.0, farthest=21.0), 0.0, 0.0, heading=heading)
        return [Actor(body, motion, PERSON, (start + 0.3 * fall.seconds, end - 0.3 * fall.seconds))]

    def papers(self, start: float, end: float) -> list[Actor]:
        """Someone who throws papers into the air; the papers are the anomaly, not the person."""
        # Near enough for the papers to stay below the upper edge of the frame.
        motion = Motion(self.ground.spot(0.8, farthest=21.0, aside=3.0), 0.0, 0.0, heading=self._phase())
        throws = tuple(float(time) for time in np.arange(start, max(end - 3.0, start + 0.1), 1.3))
        thrower = Person(
            random_look(self.rng, children=0), gait=STAND, arms="throw", phase=self._phase(), throws=throws
        )
        return [Actor(thrower, motion, PERSON), *(self._sheets(time, motion) for time in throws)]

    def thrower(self, motion: Motion, throws: tuple[float, ...] = (0.0,)) -> Actor:
        """Someone who raises both arms at the times `throws`; normal in itself, and without papers."""
        look = random_look(self.rng, children=0)
        return Actor(Person(look, gait=STAND, arms="throw", phase=self._phase(), throws=throws), motion, PERSON)

    def _sheets(self, start: float, motion: Motion) -> Actor:
        rng, number = self.rng, int(self.rng.integers(10, 15))
        low = (-2.2, -2.2, 1.0, 2.0, 0.0, 0.2, 0.9, 0.6)
        high = (3.0, 2.2, 4.6, 5.0, 6.28, 0.28, 1.0, 1.4)
        sheets = tuple(tuple(float(v) for v in rng.uniform(low, high)) for _ in range(number))
        # The wind blows along X, towards the nearer edge of the frame; the sheets want it in the thrower's directions.
        speed = math.copysign(1.5, motion.path[0, 0])
        wind = (speed * math.cos(motion.heading), -speed * math.sin(motion.heading))
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
    anomaly = script(director, start, end)
    return director.passers_by(people) + anomaly


def cast_still(camera: Camera, rng: np.random.Generator, people: float) -> list[Actor]:
    """Everyone in one still of the `detector` split: every class, never papers; only the instant 0 is drawn."""
    director = Director(camera, rng, 1.0)
    actors = [actor for actor in director.passers_by(people) if actor.motion.at(0.0) is not None]

    def still(room: float = 0.5) -> Motion:
        return Motion(director.ground.spot(room), 0.0, 0.0, heading=float(rng.uniform(0, 2 * math.pi)))

    for chance, make, room in (
        (0.5, director.cyclist, 0.5),
        (0.3, director.runner, 0.5),
        (0.4, director.cart, 1.2),
        (0.3, director.dog, 0.4),
        (0.3, director.pram, 0.4),
        (0.15, director.thrower, 0.5),
    ):
        if rng.random() < chance:
            actors.append(make(still(room)))
    if rng.random() < 0.35:
        actors += director.fallen(-5.0, 5.0)
    return actors
