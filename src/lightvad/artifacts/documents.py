"""JSON, CSV and safetensors documents of a run, and the checksums that tie them together."""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lightvad.artifacts.atomic import atomic_path, write_text
from lightvad.errors import LightvadError


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. NaN and infinity are refused (they are not JSON)."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        LightvadError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        message = f"{path}: missing or not JSON ({error}); run the stage that writes it again"
        raise LightvadError(message) from error


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Write rows as CSV with a header, atomically; `columns` defaults to the keys of the first row."""
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(columns or rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV with a header as a list of rows.

    Raises:
        LightvadError: the file is missing.
    """
    try:
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror})"
        raise LightvadError(message) from error


def write_weights(path: Path, state: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write a state dict as safetensors, atomically; `metadata` holds method, variant, config digest and input size."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=dict(metadata))


def read_weights(path: Path, method: str | None = None) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a state dict and its metadata from safetensors (no pickle is ever executed).

    Raises:
        LightvadError: the file is missing, is not safetensors, or belongs to another method than `method`.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as error:
        message = (
            f"{path}: missing or not a safetensors file ({error}); run `lightvad train` again or fetch the weights"
        )
        raise LightvadError(message) from error
    if method is not None and metadata.get("method") != method:
        message = f"{path}: weights of method {metadata.get('method')!r}, not {method!r}; give the right file"
        raise LightvadError(message)
    return state, metadata


def load_state(module: torch.nn.Module, state: Mapping[str, torch.Tensor], where: Path) -> None:
    """Load `state` into `module`; every name and shape must agree.

    Raises:
        LightvadError: names or shapes differ.
    """
    try:
        module.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        message = (
            f"{where}: weights do not fit the model ({reason}); train again or use the settings they were trained with"
        )
        raise LightvadError(message) from error
