"""Files from outside that detection reads: boxes, weights, ONNX networks. Every byte is checked before use."""

from pathlib import Path

from lightvad.artifacts.digests import check_bytes
from lightvad.config import Source


def checked_file(source: Source, raw: Path, what: str) -> Path:
    """The path of `source` under `raw` (`data/raw/DATASET`), after its size and sha256 have been compared.

    Raises:
        LightvadError: the file is missing, or its bytes are not those that the configuration names.
    """
    path = raw / source.file
    got = f"download it from {source.url}" if source.url else "give a mirror that has it"
    remedy = f"this is the {what}: run `lightvad fetch` again, or {got}"
    check_bytes(path, size=source.size, sha256=source.sha256, remedy=remedy)
    return path
