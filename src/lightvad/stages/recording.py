"""The record that every stage keeps of itself, and the lock that keeps a second process out of a run."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from lightvad.artifacts.locks import locked
from lightvad.artifacts.records import recording
from lightvad.artifacts.scratch import clear_scratch
from lightvad.layout import Run, record_path
from lightvad.modules import code_digest, stage_modules
from lightvad.project import Project, digest
from lightvad.resolution import (
    dataset_inputs,
    dataset_slice,
    run_inputs,
    run_outputs,
    run_slice,
    timed_beside,
    undeclared_inputs,
)
from lightvad.stages.machine import Machine

Options = Mapping[str, str | None]

MACHINE_OPTIONS: dict[str, tuple[str, ...]] = {"maps": ("threads",), "evaluate": ()}
"""Which of a machine's options the sub-command of a stage of a run has; the others have both, device and threads."""


def command_line(project: Project, stage: str, options: Options) -> str:
    """The command that does a stage again from the project's root, every option and override quoted for a shell."""
    words = ["lightvad", stage]
    for name, value in options.items():
        words += [f"--{name}", value] if value is not None else []
    for override in project.overrides:
        words += ["--set", override]
    return shlex.join(words)


def command_of(project: Project, run: Run, stage: str, machine: Machine) -> str:
    """The command that does a stage of a run again."""
    chosen = MACHINE_OPTIONS.get(stage, ("device", "threads"))
    if machine.devices > 1:
        chosen = (*chosen, "devices")
    return command_line(
        project, stage, {"run": run.folder.as_posix(), **{name: str(getattr(machine, name)) for name in chosen}}
    )


@contextmanager
def recorded(
    project: Project, run: Run, stage: str, *, machine: Machine, also_read: Sequence[Path] = ()
) -> Iterator[None]:
    """Keep `RUN/records/STAGE.json` of what happens inside the block, and every other process out of the run.

    The stages that hand the run on to each other share one lock. A benchmark reads weights and writes what no other
    stage reads or writes: it has its own, so that a cluster may time a run while it is scored.

    Args:
        project: the configuration.
        run: the run.
        stage: pretrain, train, score, maps, evaluate or benchmark.
        machine: device and threads.
        also_read: inputs beyond `run_inputs`.

    Raises:
        LightvadError: another process is at work on the run, or an input or output is missing or not as recorded.
    """
    folder, content = project.root / run.folder, run_slice(project, stage, run)
    timed = [one.method for one in timed_beside(project, run)] if stage == "benchmark" else []
    code = dict.fromkeys(name for method in (run.method, *timed) for name in stage_modules(stage, method))
    alone = stage != "benchmark"
    with locked(folder / (".lock" if alone else ".benchmark.lock"), what=run.folder.as_posix()):
        if alone:
            clear_scratch(folder)
        with recording(
            project.root / record_path(run.folder, stage),
            command=command_of(project, run, stage, machine),
            config=content,
            config_digest=digest(content),
            code_digest=code_digest(*code),
            inputs=[*run_inputs(project, stage, run), *undeclared_inputs(project, stage, run), *also_read],
            outputs=lambda: run_outputs(project, stage, run),
            root=project.root,
            device=machine.device,
            precision=content.get("settings", {}).get("precision", "-"),
            threads=machine.cores,
        ):
            yield


@contextmanager
def recorded_dataset(
    project: Project,
    dataset: str,
    stage: str,
    *,
    folder: Path,
    options: Options,
    outputs: Callable[[], Sequence[Path]],
    backend: str | None = None,
    machine: Machine | None = None,
) -> Iterator[None]:
    """Keep `folder/records/STAGE.json`, or `STAGE-BACKEND.json`, of what happens to a dataset inside the block.

    A second process that would do the same is kept out.

    Args:
        project: the configuration.
        dataset: name of the dataset.
        stage: fetch, prepare or detect.
        folder: where the stage writes, relative to the project's root.
        options: of the command line, besides `--dataset`.
        outputs: what was written, relative to the project's root; called when the block has ended.
        backend: of detection; None: the stage has nothing to do with detection.
        machine: device and threads; None: the CPU.

    Raises:
        LightvadError: another process is at it, or an input or output is missing or not as its record says.
    """
    machine, content = machine or Machine("cpu"), dataset_slice(project, stage, dataset, backend)
    name = stage if backend is None else f"{stage}-{backend}"
    with (
        _locked(project.root, folder, name),
        recording(
            project.root / record_path(folder, name),
            command=command_line(project, stage, {"dataset": dataset, **options}),
            config=content,
            config_digest=digest(content),
            code_digest=code_digest(*stage_modules(stage, dataset=project.dataset(dataset).prepared_by)),
            inputs=dataset_inputs(project, stage, dataset, backend),
            outputs=outputs,
            root=project.root,
            device=machine.device,
            precision="-",
            threads=machine.cores,
        ),
    ):
        yield


def options_of(
    *,
    datasets: tuple[str, ...],
    budget: str,
    seeds: tuple[int, ...],
    paper: str | None = None,
    number: str | None = None,
) -> Options:
    """The options that say which table, figure or report is meant."""
    seeds_joined = ",".join(str(seed) for seed in seeds)
    joined = {"datasets": "+".join(datasets), "budget": budget, "seeds": seeds_joined}
    return {"paper": paper, "number": number, **joined}


@contextmanager
def recorded_result(
    project: Project,
    stage: str,
    *,
    name: str,
    options: Options,
    config: Mapping[str, Any],
    inputs: Sequence[Path],
    outputs: Sequence[Path],
    root: Path,
    methods: Iterable[str] = (),
    machine: Machine | None = None,
) -> Iterator[None]:
    """Keep `records/NAME.json` beside a table, its speeds, a figure or the report, of what happens inside the block.

    A second process that would do the same is kept out.

    Args:
        project: the configuration.
        stage: table, benchmark, figure or report.
        name: of the record, e.g. `table7`.
        options: of the command line.
        config: the slice of configuration that the stage reads.
        inputs: what it reads, relative to `root`.
        outputs: what it writes, relative to `root`, all in one folder.
        root: the folder that holds data/ and results/.
        methods: whose code the stage runs.
        machine: device and threads; None: the CPU.

    Raises:
        LightvadError: another process is at it, or an input or output is missing or not as its record says.
    """
    machine = machine or Machine("cpu")
    code = dict.fromkeys(name for method in methods for name in stage_modules(stage, method))
    with (
        _locked(root, outputs[0].parent, name),
        recording(
            root / record_path(outputs[0].parent, name),
            command=command_line(project, stage, options),
            config=config,
            config_digest=digest(config),
            code_digest=code_digest(*(code or stage_modules(stage))),
            inputs=inputs,
            outputs=lambda: outputs,
            root=root,
            device=machine.device,
            precision="-",
            threads=machine.cores,
        ),
    ):
        yield


def _locked(root: Path, folder: Path, name: str) -> AbstractContextManager[None]:
    """The lock of the stage `name` that writes into `folder`."""
    return locked(root / folder / f".{name}.lock", what=f"{folder.as_posix()}: {name}")
