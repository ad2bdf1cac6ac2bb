"""Training of one run, or the weights of another variant's run taken over."""

from lightvad.artifacts.weights import read_weights, write_weights
from lightvad.layout import Run
from lightvad.methods.protocol import part_of
from lightvad.project import Project
from lightvad.resolution import weights_of
from lightvad.stages.devices import on_devices
from lightvad.stages.jobs import check_weights, job_of, metadata_of
from lightvad.stages.machine import Machine
from lightvad.stages.recording import recorded
from lightvad.training_loop import write_no_epoch


def run(project: Project, run: Run, machine: Machine) -> None:
    """Write `model.safetensors` and `training.csv` into the folder of `run`.

    Raises:
        LightvadError: an input is missing, the configuration is wrong, or a loss is not finite.
    """
    machine.apply()
    with recorded(project, run, "train", machine=machine):
        owner = weights_of(project, run)
        if owner is None:
            on_devices(part_of(run.method, "training").train, job_of(project, run, "train", machine), machine)
        else:
            _take_over(project, run, owner)


def _take_over(project: Project, run: Run, owner: Run) -> None:
    """The weights of `owner` under the name of `run`; training.csv says that no epoch was run.

    Raises:
        LightvadError: the weights are missing, are another run's, or were trained with other settings.
    """
    check_weights(project, owner)
    state, _ = read_weights(project.root / owner.folder / "model.safetensors", run.method)
    write_weights(project.root / run.folder / "model.safetensors", state, metadata_of(project, run, "train"))
    write_no_epoch(project.root / run.folder / "training.csv")
