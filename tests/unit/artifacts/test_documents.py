"""Sealed documents: what is read is what was written."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightvad.artifacts.documents import read_sealed, write_json, write_sealed
from lightvad.errors import LightvadError

CONTENT = {"command": "lightvad train", "outputs": {"a": "0" * 64}, "seconds": 1.5, "device": "a CPU (2 cores)"}


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)))
def test_a_sealed_document_round_trips(tmp_path_factory: pytest.TempPathFactory, content: dict[str, object]) -> None:
    content.pop("seal", None)
    path = tmp_path_factory.mktemp("sealed") / "a.json"
    write_sealed(path, content)
    assert {key: value for key, value in read_sealed(path).items() if key != "seal"} == content


@settings(max_examples=40, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    path = tmp_path_factory.mktemp("sealed") / "a.json"
    write_sealed(path, CONTENT)
    written, content = read_sealed(path), bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        told, found = "", read_sealed(path)
    except LightvadError as error:
        told, found = str(error), written
    assert found == written
    assert "\n" not in told
    assert not told or told.startswith(f"{path}: ")


@pytest.mark.parametrize("content", [{}, [], 3, CONTENT, {**CONTENT, "seal": "0" * 64}])
def test_what_is_not_sealed_is_one_line_with_a_remedy(tmp_path: Path, content: object) -> None:
    write_json(tmp_path / "a.json", content)
    with pytest.raises(LightvadError, match=r"a\.json: damaged, or written by an older.*; delete it and run the stage"):
        read_sealed(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == content
