"""Files from outside that detection reads: boxes, weights, ONNX networks. Every byte is checked before use."""

from pathlib import Path

from lightvad.artifacts.digests import sha256_of
from lightvad.config import Source
from lightvad.errors import LightvadError


def checked_file(source: Source, raw: Path, what: str) -> Path:
    """The path of `source` under `raw` (`data/raw/DATASET`), after its size and sha256 have been compared.

    Raises:
        LightvadError: the file is missing, or its bytes are not those that the configuration names.
    """
    path = raw / source.file
    if not path.is_file():
        remedy = f"download it from {source.url}" if source.url else "put a copy of it there"
        message = f"{path}: {what} missing; run `lightvad fetch` with a network or a mirror, or {remedy}"
        raise LightvadError(message)
    size = path.stat().st_size
    if size != source.size:
        message = f"{path}: {what} of {size} bytes, {source.size} expected; delete it and run `lightvad fetch` again"
        raise LightvadError(message)
    found = sha256_of(path)
    if found != source.sha256:
        message = (
            f"{path}: {what} with sha256 {found[:12]}..., {source.sha256[:12]}... expected; "
            "delete it and run `lightvad fetch` again"
        )
        raise LightvadError(message)
    return path
