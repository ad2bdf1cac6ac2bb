"""The embedded dataset `plaza`: a square with people, seen by a fixed camera, generated from a seed.

Normal: people walk, alone or in pairs, push prams, walk dogs, stand and talk. Abnormal, in test clips only: cyclists,
runners, a cart, someone who falls and lies, papers thrown in the air. The third split, `detector`, holds independent
stills of every class for the training of a small detector; papers never occur in it. All of this is a project choice.
"""

from lightvad.datasets.plaza.generation import (
    GeneratedClip,
    clip_name,
    enlarged,
    generate,
    generate_clip,
    prepare,
    settings_of,
)
from lightvad.datasets.plaza.settings import CLASSES, SPLITS, PlazaSettings, Split

__all__ = [
    "CLASSES",
    "SPLITS",
    "GeneratedClip",
    "PlazaSettings",
    "Split",
    "clip_name",
    "enlarged",
    "generate",
    "generate_clip",
    "prepare",
    "settings_of",
]
