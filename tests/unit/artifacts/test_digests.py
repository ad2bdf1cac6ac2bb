"""Checksums of many files are those of each."""

import hashlib
from pathlib import Path

import pytest

from lightvad.artifacts.digests import BLOCK, checksums_of, sha256_of
from lightvad.errors import LightvadError


def test_every_file_has_its_own_checksum_whatever_its_size(tmp_path: Path) -> None:
    contents = {"empty": b"", "small": b"x", "block": b"y" * BLOCK, "more": b"z" * (2 * BLOCK + 3)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    files = [Path(name) for name in (*contents, "small")]
    found = checksums_of(files, root=tmp_path, what="test")
    assert found == {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    assert found["more"] == sha256_of(tmp_path / "more")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LightvadError, match=r"nowhere\.txt: missing or unreadable"):
        checksums_of([Path("nowhere.txt")], root=tmp_path, what="test")
