"""What can be chosen about the generated scene `plaza`: the `generator:` section of config/datasets/plaza.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from lightvad.config import Settings

Pixels = Annotated[int, Field(ge=48, le=4096)]
Split = Literal["train", "test", "detector"]
SPLITS: tuple[Split, ...] = ("train", "test", "detector")

CLASSES: tuple[str, ...] = ("person", "bicycle", "cart", "dog", "pram")
"""What the detector may know; `class_id` is the place in this list. Papers are in no class, on purpose."""

PERSON, BICYCLE, CART, DOG, PRAM = range(len(CLASSES))


class PerSplit(Settings):
    """A positive count for every split."""

    train: int = Field(ge=1)
    test: int = Field(ge=1)
    detector: int = Field(ge=1)

    def of(self, split: Split) -> int:
        """The count of one split."""
        return {"train": self.train, "test": self.test, "detector": self.detector}[split]


class PlazaSettings(Settings):
    """Size, length and noise of the generated clips; the same settings give the same bytes."""

    seed: int = Field(0, ge=0)
    frame_size: tuple[Pixels, Pixels] = Field((160, 240), description="height and width, pixels")
    fps: float = Field(10.0, gt=0)
    clips: PerSplit = PerSplit(train=8, test=10, detector=5)
    frames_per_clip: PerSplit = PerSplit(train=150, test=120, detector=100)
    people: float = Field(6.0, gt=0, le=40, description="mean number of people in view")
    noise: float = Field(2.0, ge=0, le=50, description="standard deviation of the sensor noise, gray levels")
    flicker: float = Field(0.008, ge=0, le=0.2, description="standard deviation of the global illumination, relative")
    supersampling: int = Field(4, ge=1, le=8, description="drawn that many times larger, then averaged down")
    minimal_pixels: int = Field(12, ge=1, description="visible pixels from which an object counts as visible")
