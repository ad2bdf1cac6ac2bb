"""Device and precision of a network that only runs: what scoring needs, without what only trainings do.

Trainings have the same from Lightning Fabric (`training_loop.launch`), whose import takes longer than torch's own.
"""

from dataclasses import dataclass

import torch

from lightvad.errors import LightvadError


def device_of(name: str) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` means here; `auto` is the GPU where there is one.

    Raises:
        LightvadError: `cuda` is asked for and there is none.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        message = "device: cuda was asked for but torch sees no GPU; use --device cpu or auto"
        raise LightvadError(message)
    return torch.device("cuda", 0) if there and name != "cpu" else torch.device("cpu")


@dataclass(frozen=True)
class Compute:
    """Where and how a network runs.

    Attributes:
        device: of the network and its inputs.
        precision: `32-true`, or `bf16-mixed`: as torch.autocast chooses.
    """

    device: torch.device
    precision: str

    @classmethod
    def on(cls, device: str, precision: str) -> "Compute":
        """On `auto`, `cpu` or `cuda`; errors as `device_of`."""
        return cls(device_of(device), precision)

    def autocast(self) -> torch.autocast:
        """The context in which the network is called."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed")
