"""Boxes of objects, whoever finds them: `detect` is the stage, one module per backend.

`imported` reads boxes from files, `motion` boxes what moves, `yolo` runs a network through the optional package
`ultralytics`. Every backend gives the table `BOXES` in the order of clips and frames.
"""

from lightvad.detection.run import detect

__all__ = ["detect"]
