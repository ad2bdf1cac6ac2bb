"""Pre-training: the phase before a method's own training (Fast-AED: as an auto-encoder)."""

from lightvad.layout import Run
from lightvad.methods.protocol import part_of
from lightvad.project import Project
from lightvad.resolution import run_inputs
from lightvad.stages.jobs import Machine, job_of, recorded


def run(project: Project, run: Run, machine: Machine) -> None:
    """Write `pretrained.safetensors` and `pretraining.csv` into the folder of `run`.

    Raises:
        LightvadError: an input is missing, the configuration is wrong, or a loss is not finite.
    """
    machine.apply()
    with recorded(project, run, "pretrain", machine=machine, inputs=run_inputs(project, "pretrain", run)):
        part_of(run.method, "training").pretrain(job_of(project, run, "pretrain", machine))
