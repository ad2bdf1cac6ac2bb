"""What stands still: the paved square, house fronts, a fountain, trees, benches, lamps, and where nobody can walk."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from lightvad.datasets.plaza.geometry import Camera, Colour, Point, shaded

FRONT = 28.0
"""Z of the house fronts, metres."""

LANE = (2.6, 6.4)
"""X of the two sides of the lane between the houses, metres."""

FOUNTAIN = (-0.6, 19.8, 1.5)
"""X, Z and radius of the fountain's basin, metres."""

TREES = ((-6.3, 23.6, 1.0), (7.4, 21.8, 0.9), (-9.2, 19.0, 1.05))
BENCHES = ((-3.6, 25.4), (0.8, 25.4), (6.9, 17.2))
LAMPS = ((1.9, 26.6), (-4.9, 16.6))

OBSTACLES: tuple[tuple[float, float, float], ...] = (
    (FOUNTAIN[0], FOUNTAIN[1], FOUNTAIN[2] + 0.5),
    *((x, z, 0.7) for x, z, _ in TREES),
    *((x, z, 1.0) for x, z in BENCHES),
    *((x, z, 0.4) for x, z in LAMPS),
)
"""X, Z and radius of what people walk around, metres."""


@dataclass(frozen=True)
class Sprite:
    """A drawn thing: upper left corner, Z, colour float32 (h, w, 3) already multiplied by alpha float32 (h, w)."""

    x: int
    y: int
    z: float
    colour: np.ndarray
    alpha: np.ndarray


@dataclass(frozen=True)
class Scene:
    """The scene without people: sunlit `ground` float32 (H, W, 3), its `shadow` (H, W) in [0, 1], what stands on it."""

    ground: np.ndarray
    shadow: np.ndarray
    sprites: tuple[Sprite, ...]
    water: np.ndarray
    ripples: np.ndarray

    def animate(self, image: np.ndarray, owner: np.ndarray, time: float) -> None:
        """Let the water of the fountain glitter, in place, where nobody stands before it."""
        phase = int(time * 10) % len(self.ripples)
        image += (self.ripples[phase] * (self.water * (owner < 0)))[..., None]


def build_scene(camera: Camera, seed: int, factor: int = 3) -> Scene:
    """Draw the square once: everything at `factor` times the size of the frame, averaged down."""
    rng = np.random.default_rng([seed, 7])
    ground = _paving(camera, rng, factor)
    painter = _Painter(camera, factor)
    sprites = [_fronts(painter, rng), _fountain(painter)]
    sprites += [_tree(painter, rng, *tree) for tree in TREES]
    sprites += [_bench(painter, *bench) for bench in BENCHES]
    sprites += [_lamp(painter, *lamp) for lamp in LAMPS]
    shadow = _still_shadows(camera, rng)
    water = painter.disc((FOUNTAIN[0], FOUNTAIN[1], 0.5), FOUNTAIN[2] - 0.2)
    ripples = cv2.GaussianBlur(rng.standard_normal((camera.height, camera.width, 12)).astype(np.float32), (3, 3), 0.7)
    return Scene(ground, shadow, tuple(sprites), water, np.moveaxis(ripples, -1, 0) * 14)


def _paving(camera: Camera, rng: np.random.Generator, factor: int) -> np.ndarray:
    """Slabs in rows, rings around the fountain, a kerb before the houses: float32 (H, W, 3)."""
    y, x = np.mgrid[0 : camera.height * factor, 0 : camera.width * factor].astype(np.float32)
    ground_x, ground_z = camera.ground((x + 0.5) / factor, (y + 0.5) / factor)
    tones = rng.uniform(0.9, 1.08, (256, 256)).astype(np.float32)

    def slabs(u: np.ndarray, v: np.ndarray, length: float, width: float, joint: float) -> np.ndarray:
        row = np.floor(v / width)
        along = u / length + 0.5 * (row % 2)
        tone = tones[row.astype(int) % 256, np.floor(along).astype(int) % 256]
        edge = np.minimum((along % 1) * length, (v / width % 1) * width)
        return tone * np.where(edge < joint, 0.8, 1.0)

    colour = np.empty((*x.shape, 3), np.float32)
    colour[:] = (176, 166, 150)
    pattern = slabs(ground_x, ground_z, 1.1, 0.75, 0.05)
    fx, fz, radius = FOUNTAIN
    distance = np.hypot(ground_x - fx, ground_z - fz)
    rings = slabs(np.arctan2(ground_z - fz, ground_x - fx) * 4, distance, 0.8, 0.55, 0.05)
    inside = distance < radius + 2.2
    pattern = np.where(inside, rings, pattern)
    colour[inside] = (184, 156, 130)
    band = np.abs(distance - radius - 2.2) < 0.16
    colour[band] = (120, 112, 104)
    stripe = (np.abs((ground_x + 0.9) % 7.0 - 0.25) < 0.25) & ~inside & (ground_z < FRONT - 1.6)
    colour[stripe] = (142, 128, 116)
    pavement = ground_z > FRONT - 1.4
    colour[pavement] = (150, 148, 146)
    pattern = np.where(pavement, slabs(ground_x, ground_z, 0.6, 0.6, 0.04), pattern)
    colour[np.abs(ground_z - FRONT + 1.4) < 0.14] = (206, 202, 194)
    image = colour * pattern[..., None]
    image = cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    stains = cv2.GaussianBlur(rng.standard_normal((camera.height, camera.width)).astype(np.float32), (0, 0), 6)
    grit = cv2.GaussianBlur(rng.standard_normal((camera.height, camera.width)).astype(np.float32), (0, 0), 0.7)
    image *= 1 + (0.05 * stains / stains.std() + 0.025 * grit / grit.std())[..., None]
    return image


class _Painter:
    """Draws world shapes into a sprite of the frame's size."""

    def __init__(self, camera: Camera, factor: int) -> None:
        self.camera = camera
        self.factor = factor
        self.clear()

    def clear(self) -> None:
        """Begin a new drawing."""
        self.canvas = np.zeros((self.camera.height * self.factor, self.camera.width * self.factor, 4), np.uint8)

    def polygon(self, points: list[Point], colour: Colour) -> None:
        pixels, _ = self.camera.project(np.array(points, float))
        corners = np.round(pixels * self.factor * 8).astype(np.int32)
        cv2.fillPoly(self.canvas, [corners], (*colour, 255), cv2.LINE_8, 3)

    def panel(self, x: tuple[float, float], z: float, up: tuple[float, float], colour: Colour) -> None:
        """An upright rectangle that faces the camera."""
        self.polygon([(x[0], z, up[0]), (x[1], z, up[0]), (x[1], z, up[1]), (x[0], z, up[1])], colour)

    def line(self, start: Point, end: Point, radius: float, colour: Colour) -> None:
        pixels, size = self.camera.project(np.array([start, end], float))
        corners = np.round(pixels * self.factor * 8).astype(np.int32)
        pen = max(1, round(2 * radius * float(size.mean()) * self.factor))
        cv2.line(self.canvas, corners[0].tolist(), corners[1].tolist(), (*colour, 255), pen, cv2.LINE_8, 3)

    def circle(self, centre: Point, radius: float) -> list[Point]:
        """The points of a level circle."""
        turns = np.linspace(0, 2 * math.pi, 40)
        return [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a), centre[2]) for a in turns]

    def disc(self, centre: Point, radius: float) -> np.ndarray:
        """Coverage of a level disc: float32 (H, W)."""
        self.clear()
        self.polygon(self.circle(centre, radius), (255, 255, 255))
        return self.sprite_alpha()

    def sprite_alpha(self) -> np.ndarray:
        """Average down the coverage of what was drawn: float32 (H, W)."""
        size = (self.camera.width, self.camera.height)
        alpha = cv2.resize(self.canvas[..., 3], size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        self.clear()
        return alpha

    def sprite(self, z: float) -> Sprite:
        """Average down what was drawn, cut to its extent."""
        size = (self.camera.width, self.camera.height)
        small = cv2.resize(self.canvas, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        self.clear()
        rows, columns = np.flatnonzero(small[..., 3].any(1)), np.flatnonzero(small[..., 3].any(0))
        if len(rows) == 0:
            return Sprite(0, 0, z, np.zeros((1, 1, 3), np.float32), np.zeros((1, 1), np.float32))
        cut = small[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return Sprite(int(columns[0]), int(rows[0]), z, cut[..., :3].copy(), cut[..., 3] / 255)


def _fronts(painter: _Painter, rng: np.random.Generator) -> Sprite:
    """Shop fronts on both sides of the lane, and the lane's right wall."""
    far = FRONT + 30
    painter.polygon([(LANE[1], FRONT, 0), (LANE[1], far, 0), (LANE[1], far, 9), (LANE[1], FRONT, 9)], (126, 104, 90))
    walls = [((-20.0, -9.5), (196, 178, 150)), ((-9.5, -3.6), (170, 122, 100)), ((-3.6, LANE[0]), (202, 192, 172)),
             ((LANE[1], 11.0), (184, 160, 122)), ((11.0, 20.0), (150, 146, 150))]  # fmt: skip
    awnings = ((166, 60, 52), (62, 104, 92), (206, 174, 92), (70, 88, 132), (150, 72, 60))
    for ((left, right), wall), awning in zip(walls, awnings, strict=True):
        painter.panel((left, right), FRONT, (0, 9), wall)
        painter.panel((left, right), FRONT, (0, 0.35), shaded(wall, 0.7))
        count = max(1, round((right - left) / 2.1))
        step = (right - left) / count
        door = int(rng.integers(count))
        for k in range(count):
            a, b = left + k * step + 0.3, left + (k + 1) * step - 0.3
            glass = (58, 70, 80) if k != door else (84, 62, 48)
            painter.panel((a, b), FRONT, (0.05 if k == door else 0.55, 2.2), shaded(wall, 1.2))
            painter.panel((a + 0.1, b - 0.1), FRONT, (0.05 if k == door else 0.65, 2.1), glass)
            painter.panel((a + 0.2, a + 0.5), FRONT, (0.8, 2.0), shaded(glass, 1.5))
        painter.panel((left + 0.15, right - 0.15), FRONT, (2.3, 2.75), awning)
        for x in np.arange(left + 0.3, right - 0.3, 0.8):
            painter.panel((x, x + 0.35), FRONT, (2.3, 2.75), shaded(awning, 1.35))
    return painter.sprite(FRONT)


def _fountain(painter: _Painter) -> Sprite:
    x, z, radius = FOUNTAIN
    stone: Colour = (168, 162, 156)
    painter.polygon(painter.circle((x, z, 0.0), radius), shaded(stone, 0.6))
    for up in np.linspace(0, 0.5, 12):
        painter.polygon(painter.circle((x, z, float(up)), radius), shaded(stone, 0.66 + 0.2 * float(up)))
    painter.polygon(painter.circle((x, z, 0.52), radius), shaded(stone, 1.2))
    painter.polygon(painter.circle((x, z, 0.5), radius - 0.2), (74, 112, 128))
    painter.polygon(painter.circle((x - 0.15, z + 0.2, 0.5), radius - 0.6), (92, 134, 150))
    painter.line((x, z, 0.4), (x, z, 1.25), 0.14, shaded(stone, 0.8))
    painter.line((x - 0.05, z, 0.4), (x - 0.05, z, 1.25), 0.06, shaded(stone, 1.15))
    for up in np.linspace(1.2, 1.4, 5):
        painter.polygon(painter.circle((x, z, float(up)), 0.3 + 1.4 * (float(up) - 1.2)), shaded(stone, 0.75))
    painter.polygon(painter.circle((x, z, 1.42), 0.56), (150, 182, 192))
    painter.line((x, z, 1.4), (x, z, 1.9), 0.05, (226, 236, 240))
    return painter.sprite(z)


def _tree(painter: _Painter, rng: np.random.Generator, x: float, z: float, size: float) -> Sprite:
    bark: Colour = (84, 66, 52)
    painter.polygon(painter.circle((x, z, 0.0), 0.6), (104, 88, 70))
    painter.line((x, z, 0), (x, z, 2.6 * size), 0.16, shaded(bark, 0.85))
    painter.line((x - 0.06, z, 0), (x - 0.06, z, 2.6 * size), 0.07, shaded(bark, 1.3))
    for layer, tone in ((0.0, 0.62), (0.25, 0.85), (0.5, 1.08), (0.75, 1.3)):
        for _ in range(60):
            angle, reach = rng.uniform(0, 2 * math.pi), size * 1.5 * math.sqrt(rng.random()) * (1 - 0.45 * layer)
            centre = (
                x - 0.35 * layer + reach * math.cos(angle),
                z - 0.1,
                size * (3.7 + 0.5 * layer) + 0.85 * reach * math.sin(angle),
            )
            shade = tone * rng.uniform(0.88, 1.12)
            painter.line(centre, centre, size * (0.3 - 0.16 * layer), shaded((74, 108, 56), shade))
    return painter.sprite(z)


def _bench(painter: _Painter, x: float, z: float) -> Sprite:
    wood: Colour = (142, 98, 60)
    for side in (-0.7, 0.7):
        painter.line((x + side, z, 0), (x + side, z, 0.45), 0.05, (50, 50, 52))
    for depth, up in ((0.2, 0.45), (0.0, 0.45), (-0.2, 0.45)):
        painter.line((x - 0.9, z + depth, up), (x + 0.9, z + depth, up), 0.06, shaded(wood, 1.1))
    for up in (0.68, 0.86):
        painter.line((x - 0.9, z + 0.28, up), (x + 0.9, z + 0.28, up), 0.06, wood)
    return painter.sprite(z)


def _lamp(painter: _Painter, x: float, z: float) -> Sprite:
    painter.line((x, z, 0), (x, z, 0.4), 0.1, (44, 48, 50))
    painter.line((x, z, 0), (x, z, 3.4), 0.045, (54, 58, 60))
    painter.line((x, z, 3.5), (x, z, 3.6), 0.17, (232, 226, 200))
    painter.line((x - 0.15, z, 3.8), (x + 0.15, z, 3.8), 0.06, (54, 58, 60))
    return painter.sprite(z)


def _still_shadows(camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Cast shadows of what stands still: float32 (H, W) in [0, 1]."""
    painter = _Painter(camera, 3)
    white: Colour = (255, 255, 255)
    fx, fz, radius = FOUNTAIN
    for up in np.linspace(0, 0.5, 6):
        painter.polygon(painter.circle((fx + 0.62 * up, fz + 0.16 * up, 0.0), radius), white)
    painter.line((fx, fz, 0.0), (fx + 0.87, fz + 0.22, 0.0), 0.15, white)
    for x, z, size in TREES:
        painter.line((x, z, 0), (x + 2.0 * size, z + 0.5 * size, 0), 0.15, white)
        for _ in range(80):
            angle, reach = rng.uniform(0, 2 * math.pi), 1.5 * size * math.sqrt(rng.random())
            centre = (x + 2.4 * size + reach * math.cos(angle), z + 0.6 * size + 0.9 * reach * math.sin(angle), 0.0)
            painter.polygon(painter.circle(centre, 0.3 * size), white)
    for x, z in BENCHES:
        painter.polygon(
            [(x - 0.9, z - 0.2, 0), (x + 0.9, z - 0.2, 0), (x + 1.4, z + 0.3, 0), (x - 0.5, z + 0.3, 0)], white
        )
    for x, z in LAMPS:
        painter.line((x, z, 0), (x + 2.2, z + 0.57, 0), 0.05, white)
    return cv2.GaussianBlur(painter.sprite_alpha(), (3, 3), 0.7)
