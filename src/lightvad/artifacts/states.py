"""States of unfinished work, to go on from after a kill: torch's own form behind the sha256 of its bytes."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lightvad.artifacts.atomic import write_bytes
from lightvad.errors import LightvadError

SIZE = hashlib.sha256().digest_size


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors, numbers, text, and dicts and lists of them, atomically."""
    content = io.BytesIO()
    torch.save(dict(state), content)
    write_bytes(path, hashlib.sha256(content.getbuffer()).digest() + content.getbuffer())


def read_state(path: Path) -> dict[str, Any]:
    """Read a state; tensors come to the CPU, and no pickle is ever executed.

    Raises:
        LightvadError: the file cannot be read, or one of its bytes is not as it was written.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); delete it to begin from the start"
        raise LightvadError(message) from error
    if hashlib.sha256(content[SIZE:]).digest() != content[:SIZE]:
        message = f"{path}: damaged resume state; delete it to begin from the start"
        raise LightvadError(message)
    state: dict[str, Any] = torch.load(io.BytesIO(content[SIZE:]), map_location="cpu", weights_only=True)
    return state
