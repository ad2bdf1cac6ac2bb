"""Stages set up the whole process; a test leaves it as it was. And the drawn clips."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lightvad.video.clips import ClipStore


@pytest.fixture(autouse=True)
def process_as_it_was() -> Iterator[None]:
    """`Machine.apply` sets threads and flushes denormal numbers to zero, which other tests (hypothesis) refuse.

    Neither torch nor OpenCV is imported for it: many tests need none of them.
    """
    before = {name: sys.modules[name] for name in ("torch", "cv2") if name in sys.modules}
    threads = before["torch"].get_num_threads() if "torch" in before else None
    of_opencv = before["cv2"].getNumThreads() if "cv2" in before else None
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
    if threads is not None:
        sys.modules["torch"].set_num_threads(threads)
    if of_opencv is not None:
        sys.modules["cv2"].setNumThreads(of_opencv)


@pytest.fixture(scope="session")
def drawn_clips(tmp_path_factory: pytest.TempPathFactory) -> "ClipStore":
    """The store of `tests.unit.drawn_clips`; read only."""
    from tests.unit.drawn_clips import write_clips

    return write_clips(tmp_path_factory.mktemp("data") / "clips" / "tiny")
