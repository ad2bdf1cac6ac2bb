"""Everything else that moves over the square: cyclists, a cart, dogs, prams, papers in the air."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lightvad.datasets.plaza.geometry import Colour, Part, Point, shaded
from lightvad.datasets.plaza.people import Look

TYRE: Colour = (34, 34, 36)
METAL: Colour = (150, 152, 156)


def _wheel(forward: float, left: float, radius: float, pen: float, colour: Colour = TYRE) -> Part:
    """A wheel seen from the side: a ring that stands on the ground."""
    angles = np.linspace(0, 2 * math.pi, 15)
    ring = tuple((forward + radius * math.cos(a), left, radius + radius * math.sin(a)) for a in angles)
    return Part(ring, pen, colour)


def _bent(start: Point, end: Point, upper: float, lower: float, left: float) -> Point:
    """The joint between two links from `start` to `end`, bent forward."""
    along, up = end[0] - start[0], end[2] - start[2]
    length = max(math.hypot(along, up), 1e-6)
    share = min(1.0, (upper**2 - lower**2 + length**2) / (2 * length * upper))
    bend = math.acos(max(share, -1.0))
    angle = math.atan2(up, along) + bend
    return start[0] + upper * math.cos(angle), left, start[2] + upper * math.sin(angle)


@dataclass(frozen=True)
class Cyclist:
    """A bicycle and its rider, pedalling."""

    look: Look
    frame: Colour
    phase: float = 0.0

    def parts(self, time: float, distance: float) -> list[Part]:
        """Bicycle and rider after `distance` metres, in body coordinates."""
        del time
        look = self.look
        crank = 2 * math.pi * distance / 4.2 + self.phase
        saddle, bracket, head = (-0.22, 0.0, 0.92), (-0.05, 0.0, 0.32), (0.42, 0.0, 0.86)
        hip, shoulder, face = (-0.2, 0.0, 1.02), (0.22, 0.0, 1.46), (0.34, 0.0, 1.63)
        parts = [_wheel(-0.55, 0, 0.35, 0.035), _wheel(0.56, 0, 0.35, 0.035)]
        tubes = ((saddle, bracket), (bracket, head), (head, (-0.18, 0.0, 0.8)), ((-0.55, 0.0, 0.35), bracket),
                 ((-0.55, 0.0, 0.35), saddle), (head, (0.56, 0.0, 0.35)))  # fmt: skip
        parts += [Part(tube, 0.028, self.frame) for tube in tubes]
        parts.append(Part(((0.44, 0.24, 0.98), (0.44, -0.24, 0.98)), 0.025, METAL))
        parts.append(Part(((-0.34, 0.0, 0.94), (-0.12, 0.0, 0.94)), 0.045, TYRE))
        for side, turn in ((0.1, 0.0), (-0.1, math.pi)):
            pedal = (bracket[0] + 0.17 * math.cos(-crank + turn), side, bracket[2] + 0.17 * math.sin(-crank + turn))
            knee = _bent(hip, pedal, 0.46, 0.46, side)
            parts.append(Part(((hip[0], side, hip[2]), knee), 0.075, look.trousers))
            parts.append(Part((knee, pedal), 0.058, look.trousers))
            parts.append(Part((pedal, (pedal[0] + 0.12, side, pedal[2])), 0.045, look.shoes))
        parts.append(Part((hip, (shoulder[0] - 0.02, 0.0, shoulder[2] - 0.04)), 0.11, look.top))
        for side in (0.16, -0.16):
            parts.append(Part(((hip[0], side * 0.6, hip[2]), (shoulder[0], side, shoulder[2] - 0.05)), 0.1, look.top))
            elbow = (0.36, side * 1.4, 1.2)
            parts.append(Part(((shoulder[0], side * 1.1, shoulder[2]), elbow), 0.055, shaded(look.top, 0.92)))
            parts.append(Part((elbow, (0.46, side * 1.3, 1.0)), 0.048, look.skin))
        parts.append(Part((shoulder, face), 0.06, look.skin))
        parts.append(Part((face, face), 0.115, look.skin))
        parts.append(Part(((face[0] - 0.05, 0, face[2] + 0.05), (face[0] + 0.05, 0, face[2] + 0.07)), 0.1, self.frame))
        return parts


def _box(
    lengths: tuple[float, float], widths: tuple[float, float], heights: tuple[float, float], colour: Colour
) -> list[Part]:
    """The faces of a box, each in its own shade."""
    (f0, f1), (l0, l1), (u0, u1) = lengths, widths, heights
    faces = [
        (((f0, l0, u1), (f1, l0, u1), (f1, l1, u1), (f0, l1, u1)), 1.18),
        (((f0, l0, u0), (f1, l0, u0), (f1, l0, u1), (f0, l0, u1)), 0.86),
        (((f0, l1, u0), (f1, l1, u0), (f1, l1, u1), (f0, l1, u1)), 0.86),
        (((f0, l0, u0), (f0, l1, u0), (f0, l1, u1), (f0, l0, u1)), 0.72),
        (((f1, l0, u0), (f1, l1, u0), (f1, l1, u1), (f1, l0, u1)), 0.72),
    ]
    return [Part(corners, 0.0, shaded(colour, shade), filled=True) for corners, shade in faces]


@dataclass(frozen=True)
class Cart:
    """A small utility vehicle with a roof and a driver."""

    look: Look
    colour: Colour

    def parts(self, time: float, distance: float) -> list[Part]:
        """The vehicle in body coordinates."""
        del distance
        parts = [_wheel(f, side, 0.26, 0.09) for f in (-0.85, 0.85) for side in (0.55, -0.55)]
        parts += _box((-1.25, 1.25), (-0.6, 0.6), (0.22, 0.62), self.colour)
        parts += _box((-1.2, -0.25), (-0.58, 0.58), (0.62, 1.0), shaded(self.colour, 0.75))
        parts += [
            Part(((f, side, 0.62), (f - 0.12, side, 1.75)), 0.035, TYRE) for f in (1.1, -0.1) for side in (0.55, -0.55)
        ]
        for side in (0.14, -0.14):
            parts.append(Part(((0.15, side, 0.75), (0.2, side, 1.2)), 0.13, self.look.top))
            parts.append(Part(((0.2, side * 1.4, 1.2), (0.6, side, 1.05)), 0.06, self.look.top))
        parts.append(Part(((0.24, 0, 1.45), (0.24, 0, 1.45)), 0.13, self.look.skin))
        parts += _box((-0.3, 1.1), (-0.62, 0.62), (1.75, 1.84), shaded(self.colour, 1.1))
        beacon = (250, 190, 60) if int(time * 4) % 2 else (190, 110, 30)
        parts.append(Part(((0.3, 0, 1.92), (0.3, 0, 1.96)), 0.08, beacon))
        return parts


@dataclass(frozen=True)
class Dog:
    """A dog that trots; `size` is the height of its back in metres."""

    size: float
    colour: Colour
    phase: float = 0.0

    def parts(self, time: float, distance: float) -> list[Part]:
        """The dog after `distance` metres, in body coordinates."""
        s = self.size
        cycle = 2 * math.pi * distance / (1.5 * s) + self.phase
        dark = shaded(self.colour, 0.75)
        parts = []
        for f, side, turn in ((0.55, 0.13, 0.0), (0.55, -0.13, math.pi), (-0.5, 0.13, math.pi), (-0.5, -0.13, 0.0)):
            swing = 0.5 * math.sin(cycle + turn)
            knee = (s * (f + 0.35 * math.sin(swing)), s * side, s * (0.75 - 0.38 * math.cos(swing)))
            lift = 0.1 * s * max(0.0, math.cos(cycle + turn))
            foot = (s * (f + 0.7 * math.sin(swing)), s * side, lift + 0.03)
            parts.append(Part(((s * f, s * side, 0.75 * s), knee, foot), 0.08 * s, dark))
        parts.append(Part(((-0.5 * s, 0, 0.8 * s), (0.5 * s, 0, 0.82 * s)), 0.24 * s, self.colour))
        parts.append(Part(((0.3 * s, 0, 0.75 * s), (0.5 * s, 0, 0.8 * s)), 0.27 * s, self.colour))
        parts.append(Part(((0.55 * s, 0, 0.85 * s), (0.85 * s, 0, 1.12 * s)), 0.15 * s, self.colour))
        parts.append(Part(((0.85 * s, 0, 1.15 * s), (1.12 * s, 0, 1.08 * s)), 0.14 * s, dark))
        wag = 0.15 * math.sin(9 * time + self.phase)
        parts.append(Part(((-0.6 * s, 0, 0.85 * s), (-0.9 * s, wag * s, 1.15 * s)), 0.06 * s, self.colour))
        return parts


@dataclass(frozen=True)
class Pram:
    """A pram; its handle points back to whoever pushes it."""

    colour: Colour

    def parts(self, time: float, distance: float) -> list[Part]:
        """The pram in body coordinates."""
        del time, distance
        parts = [_wheel(f, side, 0.14, 0.035) for f in (-0.28, 0.3) for side in (0.22, -0.22)]
        parts += [
            Part(((f, side, 0.2), (0.0, side, 0.55)), 0.025, METAL) for f in (-0.28, 0.3) for side in (0.22, -0.22)
        ]
        parts += _box((-0.4, 0.42), (-0.24, 0.24), (0.46, 0.7), self.colour)
        hood = shaded(self.colour, 0.8)
        turns = np.linspace(0.1, math.pi * 0.75, 6)
        rim = [(0.08 + 0.36 * math.cos(a), 0.7 + 0.3 * math.sin(a)) for a in turns]
        for (f0, u0), (f1, u1) in pairwise(rim):
            panel = ((f0, 0.24, u0), (f1, 0.24, u1), (f1, -0.24, u1), (f0, -0.24, u0))
            parts.append(Part(panel, 0.0, shaded(self.colour, 0.8 + 0.7 * (u0 - 0.7)), filled=True))
        for side in (0.24, -0.24):
            parts.append(Part(((0.1, side, 0.68), *((f, side, u) for f, u in rim)), 0.0, hood, filled=True))
        parts.append(Part(((-0.4, 0.0, 0.7), (-0.62, 0.0, 1.0)), 0.03, METAL))
        return parts


@dataclass(frozen=True)
class Papers:
    """Sheets thrown up from a pair of hands, fluttering down and blown along the ground by the wind.

    `sheets` is (N, 8): velocity forward, left and up (m/s), spin and phase (radians), side and shade, drift.
    """

    start: float
    sheets: tuple[tuple[float, ...], ...]
    wind: tuple[float, float]

    def parts(self, time: float, distance: float) -> list[Part]:
        """The sheets at `time`, in body coordinates of the thrower; none before the throw."""
        del distance
        age = time - self.start
        return [self._sheet(sheet, age) for sheet in self.sheets] if age >= 0 else []

    def _sheet(self, sheet: tuple[float, ...], age: float) -> Part:
        forward, left, up, spin, phase, side, shade, drift = sheet
        drag, terminal = 0.55, 0.8
        glide = drag * (1 - math.exp(-age / drag))
        height = 1.9 + up * glide - terminal * (age - glide)
        flutter = 0.12 * math.sin(3.1 * age + phase)
        landed = max(0.0, -height / terminal)
        blown = age - glide + 1.2 * drift * landed**2 / (1 + 0.3 * landed)
        f = 0.25 + forward * glide + self.wind[0] * blown + flutter
        lateral = left * glide + self.wind[1] * blown + 0.12 * math.cos(2.3 * age + phase)
        u = max(height, 0.04 + 0.05 * abs(math.sin(5 * age + phase)) * drift)
        calm = 0.35 if landed > 0 else 1.0
        tilt, turn = calm * 1.2 * math.sin(spin * age + phase), spin * 0.7 * age + phase
        a = np.array([math.cos(turn), math.sin(turn), 0.0]) * side / 2
        b = np.array([-math.sin(turn) * math.cos(tilt), math.cos(turn) * math.cos(tilt), math.sin(tilt)]) * side * 0.7
        centre = np.array([f, lateral, u])
        corners = [centre + a + b, centre + a - b, centre - a - b, centre - a + b]
        points = tuple((float(c[0]), float(c[1]), max(float(c[2]), 0.01)) for c in corners)
        tone = round(255 * shade * (0.86 + 0.14 * math.cos(tilt)))
        return Part(points, 0.0, (tone, tone, round(tone * 0.96)), filled=True)
