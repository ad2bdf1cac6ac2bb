"""How a stage runs: what decides its speed, and no result."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """How a stage runs: device (`auto`, `cpu`, `cuda`) and CPU threads (0: all cores)."""

    device: str = "auto"
    threads: int = 0

    @property
    def cores(self) -> int:
        """CPU threads, counted."""
        return self.threads or len(os.sched_getaffinity(0))

    def apply(self) -> None:
        """Set the CPU threads of torch and OpenCV."""
        import cv2
        import torch

        torch.set_num_threads(self.cores)
        cv2.setNumThreads(self.cores)
        torch.set_flush_denormal(True)
