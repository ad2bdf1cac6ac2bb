"""People: an articulated figure that walks, runs, stands, pushes, throws, falls and lies."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lightvad.datasets.plaza.geometry import Colour, Part, Point, shaded

SKIN: tuple[Colour, ...] = ((236, 196, 168), (214, 166, 132), (166, 116, 84), (112, 76, 54), (242, 208, 184))
HAIR: tuple[Colour, ...] = ((40, 30, 26), (84, 58, 36), (164, 124, 70), (120, 116, 112), (26, 24, 28))
TOPS: tuple[Colour, ...] = (
    (178, 44, 42), (38, 84, 150), (226, 222, 212), (58, 112, 74), (214, 164, 52), (96, 66, 122), (44, 46, 54),
    (206, 114, 76), (114, 166, 188), (146, 142, 134), (198, 108, 142), (88, 98, 56),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = (
    (44, 52, 76), (62, 60, 62), (116, 98, 76), (30, 32, 38), (88, 104, 132), (138, 128, 110), (70, 50, 44),
)  # fmt: skip

Arms = Literal["swing", "push", "throw", "phone"]


@dataclass(frozen=True)
class Look:
    """How a person is built and dressed."""

    height: float
    build: float
    skin: Colour
    hair: Colour
    top: Colour
    trousers: Colour
    shoes: Colour
    skirt: bool
    backpack: bool
    long_hair: bool
    hat: bool


def random_look(rng: np.random.Generator, *, children: float = 0.12) -> Look:
    """A person picked at random; a share `children` of them are children."""
    child = rng.random() < children
    return Look(
        height=float(rng.uniform(1.1, 1.4) if child else np.clip(rng.normal(1.72, 0.08), 1.52, 1.92)),
        build=float(rng.uniform(0.88, 1.25)),
        skin=SKIN[rng.integers(len(SKIN))],
        hair=HAIR[rng.integers(len(HAIR))],
        top=TOPS[rng.integers(len(TOPS))],
        trousers=TROUSERS[rng.integers(len(TROUSERS))],
        shoes=((34, 30, 28), (210, 206, 200), (96, 62, 44))[rng.integers(3)],
        skirt=bool(rng.random() < 0.22),
        backpack=bool(rng.random() < 0.25),
        long_hair=bool(rng.random() < 0.4),
        hat=bool(rng.random() < 0.15),
    )


@dataclass(frozen=True)
class Gait:
    """Amplitudes of the joints (radians), length of a full cycle and bounce (fractions of body height)."""

    thigh: float
    knee: float
    resting_knee: float
    arm: float
    elbow: float
    lean: float
    stride: float
    bounce: float


WALK = Gait(thigh=0.46, knee=0.85, resting_knee=0.06, arm=0.42, elbow=0.25, lean=0.04, stride=0.82, bounce=0.0)
RUN = Gait(thigh=0.85, knee=1.5, resting_knee=0.3, arm=0.85, elbow=1.55, lean=0.24, stride=1.45, bounce=0.05)
STAND = Gait(thigh=0.0, knee=0.0, resting_knee=0.02, arm=0.03, elbow=0.15, lean=0.0, stride=1.0, bounce=0.0)


@dataclass(frozen=True)
class Fall:
    """When a person begins to fall and when they stand again, seconds; between the two they lie."""

    start: float
    end: float
    seconds: float = 0.8

    def recline(self, time: float) -> float:
        """0: upright, 1: on the ground."""
        down = (time - self.start) / self.seconds
        rise = (self.end - time) / self.seconds
        return float(np.clip(min(down, rise), 0.0, 1.0))


@dataclass(frozen=True)
class Person:
    """A body whose limbs follow the distance travelled."""

    look: Look
    gait: Gait = WALK
    arms: Arms = "swing"
    phase: float = 0.0
    fall: Fall | None = None
    throws: tuple[float, ...] = ()

    def parts(self, time: float, distance: float) -> list[Part]:
        """The figure at `time` (seconds) after `distance` (metres), in body coordinates."""
        h, gait = self.look.height, self.gait
        cycle = 2 * math.pi * distance / (gait.stride * h) + self.phase
        if gait is STAND:
            cycle = 1.3 * time + self.phase
        legs = [_leg(h, gait, cycle + side) for side in (0.0, math.pi)]
        hip = max(-foot[1] for _, foot in legs) + 0.035 * h + gait.bounce * h * abs(math.sin(cycle))
        parts: list[Part] = []
        for side, (knee, foot) in zip((1.0, -1.0), legs, strict=True):
            parts += self._draw_leg(side * 0.055 * h * self.look.build, hip, knee, foot)
        parts += self._draw_trunk(hip)
        for side, offset in ((1.0, math.pi), (-1.0, 0.0)):
            parts += self._draw_arm(side, hip, cycle + offset, time)
        recline = self.fall.recline(time) if self.fall is not None else 0.0
        return [_reclined(part, recline) for part in parts] if recline > 0 else parts

    def _at(self, along: float, left: float, up: float, hip: float) -> Point:
        """A point of the upper body, moved forward by the lean."""
        return along + self.gait.lean * (up - hip), left, up

    def _draw_leg(self, left: float, hip: float, knee: tuple[float, float], foot: tuple[float, float]) -> list[Part]:
        h, look = self.look.height, self.look
        lower = look.skin if look.skirt else look.trousers
        at_knee, at_foot = (knee[0], left, hip + knee[1]), (foot[0], left, hip + foot[1])
        toe = (foot[0] + 0.085 * h, left, hip + foot[1] - 0.005 * h)
        return [
            Part(((0.0, left, hip), at_knee), 0.048 * h * look.build, look.trousers),
            Part((at_knee, at_foot), 0.036 * h * look.build, lower),
            Part((at_foot, toe), 0.026 * h, look.shoes),
        ]

    def _draw_trunk(self, hip: float) -> list[Part]:
        h, look = self.look.height, self.look
        shoulder, width = hip + 0.30 * h, 0.075 * h * look.build
        neck, head = self._at(0, 0, hip + 0.33 * h, hip), self._at(0.012 * h, 0, hip + 0.405 * h, hip)
        parts = [
            Part(
                (self._at(0, width, shoulder, hip), self._at(0, 0.6 * width, hip + 0.03 * h, hip)), 0.055 * h, look.top
            ),
            Part(
                (self._at(0, -width, shoulder, hip), self._at(0, -0.6 * width, hip + 0.03 * h, hip)),
                0.055 * h,
                look.top,
            ),
            Part((self._at(0, 0, shoulder, hip), self._at(0, 0, hip + 0.03 * h, hip)), 0.06 * h, look.top),
            Part((neck, head), 0.035 * h, look.skin),
            Part((head, head), 0.066 * h, look.skin),
        ]
        crown = self._at(-0.028 * h, 0, hip + 0.425 * h, hip)
        parts.append(
            Part((crown, self._at(0.01 * h, 0, hip + 0.445 * h, hip)), 0.055 * h, look.top if look.hat else look.hair)
        )
        if look.long_hair:
            parts.append(Part((crown, self._at(-0.05 * h, 0, hip + 0.33 * h, hip)), 0.045 * h, look.hair))
        if look.skirt:
            hem, flare = hip - 0.2 * h, 0.12 * h * look.build
            for front in (0.05 * h, -0.05 * h):
                corners = ((front / 2, width, hip + 0.04 * h), (front, flare, hem), (front, -flare, hem),
                           (front / 2, -width, hip + 0.04 * h))  # fmt: skip
                parts.append(Part(corners, 0.0, look.trousers, filled=True))
            side = (
                (0.06 * h, 0.0, hip + 0.05 * h),
                (0.12 * h, 0.0, hem),
                (-0.12 * h, 0.0, hem),
                (-0.06 * h, 0.0, hip + 0.05 * h),
            )
            parts.append(Part(side, 0.0, look.trousers, filled=True))
        if look.backpack:
            back = -0.105 * h
            ends = self._at(back, 0, hip + 0.27 * h, hip), self._at(back, 0, hip + 0.12 * h, hip)
            parts.append(Part(ends, 0.065 * h, shaded(look.trousers, 1.3)))
        return parts

    def _draw_arm(self, side: float, hip: float, cycle: float, time: float) -> list[Part]:
        h, look = self.look.height, self.look
        swing, elbow, spread = self.gait.arm * math.sin(cycle), self.gait.elbow, 0.02 * h
        if self.arms == "push":
            swing, elbow = 0.65, 0.75
        elif self.arms == "phone" and side > 0:
            swing, elbow = 0.35, 2.1
        elif self.arms == "throw":
            raised = max((math.exp(-(((time - throw) / 0.35) ** 2)) for throw in self.throws), default=0.0)
            swing, elbow, spread = 0.3 + 2.4 * raised, 1.2 * (1 - raised) + 0.1, (0.02 + 0.06 * raised) * h
        start = 0.105 * h * look.build
        joint, hand = _two_links(0.165 * h, 0.155 * h, swing, swing + elbow)
        up = hip + 0.30 * h
        shoulder = self._at(0, side * start, up, hip)
        at_elbow = self._at(joint[0], side * (start + spread), up + joint[1], hip)
        at_hand = self._at(hand[0], side * (start + spread / 2), up + hand[1], hip)
        return [
            Part((shoulder, at_elbow), 0.032 * h * look.build, shaded(look.top, 0.92)),
            Part((at_elbow, at_hand), 0.028 * h, shaded(look.top, 0.92)),
            Part((at_hand, at_hand), 0.028 * h, look.skin),
        ]


def _two_links(
    upper: float, lower: float, first: float, second: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ends of two links hanging from a joint, as (forward, up); angles from straight down, forward positive."""
    middle = (upper * math.sin(first), -upper * math.cos(first))
    return middle, (middle[0] + lower * math.sin(second), middle[1] - lower * math.cos(second))


def _leg(h: float, gait: Gait, cycle: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Knee and foot relative to the hip: the knee bends while the thigh swings forward."""
    thigh = gait.thigh * math.sin(cycle)
    bend = gait.resting_knee + gait.knee * max(0.0, math.cos(cycle))
    return _two_links(0.245 * h, 0.245 * h, thigh, thigh - bend)


def _reclined(part: Part, recline: float) -> Part:
    """Tip a part forward about the feet until the body lies on the ground."""
    cos, sin = math.cos(recline * math.pi / 2), math.sin(recline * math.pi / 2)
    tipped = tuple((f * cos + up * sin, left, max(up * cos - f * sin, 0.0) + 0.1 * sin) for f, left, up in part.points)
    return part._replace(points=tipped)
