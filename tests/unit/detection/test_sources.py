"""Files from outside are used only if every byte is right."""

import hashlib
from pathlib import Path

import pytest

from lightvad.config import Source
from lightvad.detection.sources import checked_file
from lightvad.errors import LightvadError

CONTENT = b"weights"
SOURCE = Source(file="detectors/yolo.pt", size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())


def test_the_right_file_is_given(tmp_path: Path) -> None:
    path = tmp_path / "detectors" / "yolo.pt"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert checked_file(SOURCE, tmp_path, "weights") == path


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "missing; this is the weights: run `lightvad fetch`"),
        (b"weight", "6 bytes, 7 expected"),
        (b"weighty", "sha256"),
    ],
)
def test_a_missing_cut_or_changed_file_is_refused_in_one_line(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "detectors" / "yolo.pt"
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LightvadError, match=reason) as refused:
        checked_file(SOURCE, tmp_path, "weights")
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
