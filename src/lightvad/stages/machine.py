"""How a stage runs: what decides its speed, and no result."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """How a stage runs.

    Attributes:
        device: `auto`, `cpu` or `cuda`.
        threads: of the CPU; 0: all cores.
        devices: processes of a training, with a GPU each if there are any (see `stages.devices`).
    """

    device: str = "auto"
    threads: int = 0
    devices: int = 1

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
