"""Weights as safetensors: no pickle from outside is ever executed."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lightvad.artifacts.atomic import write_bytes
from lightvad.errors import LightvadError


def write_weights(path: Path, state: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write a state dict as safetensors, atomically; `metadata` holds method, variant, config digest and input size.

    The same weights and metadata give the same bytes.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    write_bytes(path, _ordered(save(tensors, metadata=dict(metadata))))


def _ordered(content: bytes) -> bytes:
    """A safetensors file with its metadata sorted: the library writes them in an order that is random."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    # The tensors begin at a multiple of 8 bytes, as the library has them.
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def read_weights(path: Path, method: str | None = None) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a state dict and its metadata from safetensors (no pickle is ever executed).

    Raises:
        LightvadError: the file is missing, is not safetensors, belongs to another method than `method`, or holds NaN.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as error:
        raise LightvadError(_unreadable(path, error)) from error
    if method is not None and metadata.get("method") != method:
        message = f"{path}: weights of method {metadata.get('method')!r}, not {method!r}; give the right file"
        raise LightvadError(message)
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            message = f"{path}: {name} holds NaN or infinite weights; run `lightvad train` again or fetch the weights"
            raise LightvadError(message)
    return state, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """Read what the header of a safetensors file says of its weights, and none of them.

    Raises:
        LightvadError: the file is missing or is not safetensors.
    """
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise LightvadError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    return f"{path}: missing or not a safetensors file ({error}); run `lightvad train` again or fetch the weights"


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
