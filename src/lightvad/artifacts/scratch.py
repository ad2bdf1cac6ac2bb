"""Scratch arrays on disk, for what is too large for memory; a killed process leaves them to the run's next stage."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lightvad.errors import LightvadError

PREFIX = ".scratch."


def scratch_folder(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A new folder below `folder`, removed with what lies in it when it is closed or forgotten.

    Raises:
        LightvadError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=folder, prefix=PREFIX, ignore_cleanup_errors=True)
    except OSError as error:
        message = f"{folder}: cannot be written ({error.strerror}); free space or change the folder's permissions"
        raise LightvadError(message) from error


def scratch_array(path: Path, kind: type, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """A new array of zeros in the file `path`.

    Its room is taken at once: a page for which a full disk has none later would end the process by a signal.

    Raises:
        LightvadError: the disk has no room for it.
    """
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(path, kind, "r+", shape=shape)
    except OSError as error:
        message = f"{path}: no room for {size} bytes ({error.strerror}); free disk space and run again"
        raise LightvadError(message) from error


def clear_scratch(folder: Path) -> None:
    """Remove what killed processes have left in `folder`, where nobody else may be at work."""
    for left in folder.glob(f"{PREFIX}*"):
        shutil.rmtree(left)
