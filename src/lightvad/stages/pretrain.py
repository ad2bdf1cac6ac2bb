"""Pre-training: the phase before a method's own training (Fast-AED: as an auto-encoder)."""

from lightvad.layout import Run
from lightvad.methods.protocol import part_of
from lightvad.project import Project
from lightvad.stages.devices import on_devices
from lightvad.stages.jobs import job_of
from lightvad.stages.machine import Machine
from lightvad.stages.recording import recorded


def run(project: Project, run: Run, machine: Machine) -> None:
    """Write `pretrained.safetensors` and `pretraining.csv` into the folder of `run`.

    Raises:
        LightvadError: an input is missing, the configuration is wrong, or a loss is not finite.
    """
    machine.apply()
    with recorded(project, run, "pretrain", machine=machine):
        on_devices(part_of(run.method, "training").pretrain, job_of(project, run, "pretrain", machine), machine)
