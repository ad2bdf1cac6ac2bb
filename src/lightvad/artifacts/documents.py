"""JSON and CSV documents of a run."""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightvad.artifacts.atomic import atomic_path, write_text
from lightvad.errors import LightvadError

SEAL = "seal"
"""The key of a sealed document that holds the sha256 of all the others."""


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. NaN and infinity are refused (they are not JSON)."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        LightvadError: the file is missing or is not JSON (NaN and infinity are not).
    """
    try:
        return json.loads(path.read_text(), parse_constant=_refused)
    except (OSError, ValueError) as error:
        message = f"{path}: missing or not JSON ({error}); run the stage that writes it again"
        raise LightvadError(message) from error


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with the sha256 of its own content, atomically: no record need name it for a flip to show."""
    write_json(path, {**content, SEAL: _seal(content)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote, with its seal.

    Raises:
        LightvadError: the file is missing, is not JSON, or is not what was written.
    """
    return unsealed(read_json(path), path)


def unsealed(content: Any, where: Path) -> dict[str, Any]:
    """`content`, if it is an object whose seal is right.

    Raises:
        LightvadError: it is not; the line names `where`.
    """
    if not isinstance(content, dict) or content.get(SEAL) != _seal(content):
        message = (
            f"{where}: damaged, or written by an older lightvad: its seal is not the sha256 of its content;"
            " delete it and run the stage that writes it again"
        )
        raise LightvadError(message)
    return content


def _seal(content: Mapping[str, Any]) -> str:
    """Hex sha256 of what the document says, but for its seal; spaces and the order of keys do not count."""
    told = {key: value for key, value in content.items() if key != SEAL}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _refused(constant: str) -> None:
    message = f"{constant} is no JSON"
    raise ValueError(message)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Write rows as CSV with a header, atomically; `columns` defaults to the keys of the first row."""
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(columns or rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV with a header as a list of rows.

    Raises:
        LightvadError: the file is missing, is not a CSV, or a row has more or fewer fields than the header.
    """
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        message = f"{path}: cannot be read ({error}); write it again"
        raise LightvadError(message) from error
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            message = f"{path}: row {number} has more or fewer fields than the header; write it again"
            raise LightvadError(message)
    return rows
