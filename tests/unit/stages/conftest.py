"""Stages set up the whole process; a test leaves it as it was."""

from collections.abc import Iterator

import cv2
import pytest
import torch


@pytest.fixture(autouse=True)
def process_as_it_was() -> Iterator[None]:
    """`Machine.apply` sets threads and flushes denormal numbers to zero, which other tests (hypothesis) refuse."""
    threads, of_opencv = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)
    cv2.setNumThreads(of_opencv)
