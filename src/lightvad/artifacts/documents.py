"""JSON and CSV documents of a run."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightvad.artifacts.atomic import atomic_path, write_text
from lightvad.errors import LightvadError


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
