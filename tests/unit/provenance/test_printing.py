"""The explanation as people read it."""

import io
import shlex
import subprocess
from pathlib import Path

import pytest
from rich.console import Console
from tests.unit.provenance.conftest import CLIPS, RAW, STUDENT, TABLES, TEACHER, do

from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.documents import read_json, write_sealed
from lightvad.layout import record_path
from lightvad.provenance.explanation import explain
from lightvad.provenance.printing import WIDTH, show


def shown(root: Path, file: Path = TABLES / "table7.csv") -> str:
    console = Console(file=io.StringIO(), width=WIDTH)
    show(explain(root / file, root), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_it_fits_80_columns_and_names_every_link_with_its_checksum(root: Path) -> None:
    text = shown(root)
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    links = [
        STUDENT.folder / "metrics.json", STUDENT.folder / "frame_scores.parquet", STUDENT.folder / "model.safetensors",
        TEACHER.folder / "maps.npz", CLIPS / "checksums.json", RAW / "a.tar",
    ]  # fmt: skip
    lines = text.splitlines()
    places = []
    for link in links:
        told = [at for at, line in enumerate(lines) if link.name in line and sha256_of(root / link)[:12] in line]
        assert told, link
        places.append(told[0])
    assert places == sorted(places), "from the number back to the raw data"
    assert " 61.00  protocols.plain.micro_auc" in text
    assert "config  cccccccccccc   code dddddddddddd" in text
    assert "2 threads, 32-true" in text
    assert "and 5 more: data/clips/plaza/records/prepare.json" in text


def run_by_a_shell(text: str) -> list[list[str]]:
    """The words of every call of `lightvad` in a script."""
    script = 'lightvad() { printf "%s\\n" lightvad "$@"; printf "\\0"; }\n' + text
    done = subprocess.run(["bash", "-e", "-c", script], capture_output=True, text=True, check=True)
    return [call.splitlines() for call in done.stdout.split("\0") if call]


@pytest.mark.parametrize("shared", [True, False])
def test_the_commands_can_be_given_to_a_shell(root: Path, shared: bool) -> None:
    if not shared:
        path = root / record_path(RAW, "fetch")
        write_sealed(path, read_json(path) | {"command": "lightvad fetch --dataset plaza"})
    found = explain(root / TABLES / "table7.csv", root)
    text = shown(root).partition("To do it again, from the project's root\n")[2]
    assert run_by_a_shell(text) == [shlex.split(record.command) for record in found.stages]
    assert text.count("a.b.c=") == (1 if shared else len(found.stages) - 1)


def test_a_break_is_shown(root: Path) -> None:
    assert "Made from something else" not in shown(root)
    do(root, TEACHER.folder, "train", salt="another seed")
    text = shown(root)
    assert "Made from something else than what is recorded now" in text
    assert max(len(line) for line in text.splitlines()) <= WIDTH
