"""Rows of pictures side by side: frames, and below each of them what methods make of it."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure as Canvas

from lightvad.reporting.style import titled

WIDTH_INCHES, ABOVE_INCHES = 7.0, 0.5
LEFT, RIGHT, GAP = 0.045, 0.995, 0.006
COLOURS = "inferno"
NAME_CHARACTERS = 14
FRAME_COLOUR = "#333333"


@dataclass(frozen=True)
class PictureRow:
    """Pictures side by side, uint8 (H, W, 3) RGB, and what stands left of them."""

    name: str
    images: Sequence[np.ndarray]
    colour: str = FRAME_COLOUR


@dataclass(frozen=True)
class PictureBlock:
    """The rows of one dataset; `names` stand above the columns."""

    title: str
    note: str
    names: Sequence[str]
    rows: Sequence[PictureRow]

    def row_inches(self, columns: int) -> float:
        """Height of a row; the first picture says how high they are."""
        height, width = self.rows[0].images[0].shape[:2]
        return float((RIGHT - LEFT) / columns * WIDTH_INCHES * height / width + 0.05)


def draw(blocks: Sequence[PictureBlock], columns: int) -> Canvas:
    """One block below the other, `columns` pictures wide."""
    cell = (RIGHT - LEFT) / columns
    total = sum(block.row_inches(columns) * len(block.rows) + ABOVE_INCHES for block in blocks)
    canvas = Canvas(figsize=(WIDTH_INCHES, total))
    top = total
    for block in blocks:
        height = block.row_inches(columns)
        titled(canvas, block.title, block.note, x=LEFT, y=(top - 0.05) / total)
        top -= ABOVE_INCHES
        for position, name in enumerate(block.names):
            middle = LEFT + (position + 0.5) * cell
            canvas.text(middle, (top + 0.03) / total, name, ha="center", va="bottom", fontsize=7)
        for row in block.rows:
            _draw_row(canvas, row, cell, top / total, height / total)
            top -= height
    return canvas


def _draw_row(canvas: Canvas, row: PictureRow, cell: float, top: float, height: float) -> None:
    for position, image in enumerate(row.images):
        axes = canvas.add_axes((LEFT + position * cell, top - height, cell - GAP, height * 0.97))
        axes.imshow(image, aspect="auto")
        axes.set_axis_off()
    name = textwrap.fill(row.name, NAME_CHARACTERS)
    x, y = LEFT - 0.008, top - height / 2
    canvas.text(
        x, y, name, rotation=90, ha="right", va="center", multialignment="center", color=row.colour, fontsize=6.5
    )


def overlay(grid: np.ndarray, image: np.ndarray, largest: float) -> np.ndarray:
    """A map in colour over a dimmed gray frame.

    Args:
        grid: (h, w), values of 0 and above.
        image: uint8 (H, W, 3) RGB.
        largest: the value that is brightest.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    size = (image.shape[1], image.shape[0])
    smooth = cv2.resize(grid.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    strength = np.clip(smooth / max(largest, 1e-12), 0, 1)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] / 255
    colours = colormaps[COLOURS](strength)[..., :3]
    opacity = 0.25 + 0.75 * strength[..., None]
    return (255 * ((1 - opacity) * gray * 0.8 + opacity * colours)).astype(np.uint8)
