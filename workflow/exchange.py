"""What crosses machines: one dataset within one budget, pulled, committed and pushed with DVC (docs/data-and-dvc.md).

DVC compares contents and gives every file it brings a new time; Snakemake compares times. So nothing is pulled that is
of other code or settings than those here, Snakemake is told that files are up to date (`--touch`) only where DVC finds
no difference, and DVC is told so (`commit`) only where Snakemake has nothing to do.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from lightvad.errors import LightvadError
from lightvad.progress import say

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

DatasetOption = Annotated[str, typer.Option(help="One dataset of dvc.yaml, e.g. plaza.")]
BudgetOption = Annotated[str, typer.Option(help="One budget of dvc.yaml, e.g. quick.")]

LOCK = Path("dvc.lock")
ABSENT = {"deleted", "not in cache"}
"""What `dvc status` says of an output that a pull brings."""


@dataclass(frozen=True)
class Kept:
    """What DVC keeps of one dataset within one budget: four stages of dvc.yaml."""

    dataset: str
    budget: str

    def stages(self) -> list[tuple[str, str]]:
        """Snakemake's target and DVC's stage, in the order of the data."""
        own = f"{self.dataset}-{self.budget}"
        return [
            ("data", f"data@{self.dataset}"),
            ("boxes", f"boxes@{self.dataset}"),
            ("scores", f"scores@{own}"),
            ("tables", f"tables@{own}"),
        ]

    def snakemake(self, *arguments: str, target: str) -> str:
        """Run snakemake for this dataset and budget as dvc.yaml does; returns what it printed.

        Raises:
            LightvadError: it failed; the line is Snakemake's last.
        """
        # The words of dvc.yaml: the same configuration, whatever the machine.
        config = [f"datasets=[{self.dataset}]", f"budget={self.budget}", f"seeds=[{variables()['seed']}]"]
        ended = _run("snakemake", "--cores", "1", *arguments, "--config", *config, "--", target)
        return ended.stdout + ended.stderr


def variables() -> dict[str, Any]:
    """`vars` of dvc.yaml: datasets, budgets, seed.

    Raises:
        LightvadError: there is no dvc.yaml here.
    """
    return {key: value for entry in _yaml(Path("dvc.yaml"))["vars"] for key, value in entry.items()}


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        message = f"{path}: {error.strerror}; run this in the project's root"
        raise LightvadError(message) from error


def _run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m TOOL`; returns the ended process with its output.

    Raises:
        LightvadError: it failed; one line with what it said.
    """
    return _ended(tool, [sys.executable, "-m", tool, *arguments], arguments[0])


def _ended(tool: str, command: list[str], verb: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if ended.returncode:
        said = [line.strip() for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
        # Where a line of Snakemake's ends with a colon, the reason is the next one.
        told = [(line, after if line.endswith(":") else "") for line, after in zip(said, [*said[1:], ""], strict=True)]
        errors = [f"{line} {after}".strip() for line, after in told if "rror" in line.split(" ")[0]] or said[-1:]
        message = f"{tool} {verb}: {' '.join(errors)}"
        raise LightvadError(message)
    return ended


def _differences(stage: str) -> Iterator[tuple[str, str]]:
    """What `dvc status` says of a stage: (`deps`, `outs` or `command`, file and state)."""
    told = json.loads(_run("dvc", "status", "--json", stage).stdout)
    for entry in told.get(stage, []):
        if isinstance(entry, str):
            yield "command", entry
            continue
        for kind, files in entry.items():
            for file, state in files.items():
                # Of a file of parameters: key -> state.
                what = ", ".join(state) if isinstance(state, dict) else state
                yield kind.removeprefix("changed "), f"{file} ({what})"


def _is_absent(told: str) -> bool:
    return any(told.endswith(f"({state})") for state in ABSENT)


def _in_the_way(stage: str) -> list[str]:
    """Why a stage's files must not be pulled: code, settings, inputs or own outputs are not those of dvc.lock."""
    return [told for kind, told in _differences(stage) if not (kind == "outs" and _is_absent(told))]


def _check_remote() -> None:
    if not _run("dvc", "config", "core.remote").stdout.strip():
        message = (
            "no default DVC remote; name yours once: `.venv/bin/dvc remote add --local --default storage"
            " ssh://USER@HOST/FOLDER` (docs/data-and-dvc.md)"
        )
        raise LightvadError(message)


def _check_names(kept: Kept) -> None:
    names = variables()
    for name, known in ((kept.dataset, names["datasets"]), (kept.budget, names["budgets"])):
        if name not in known:
            message = f"dvc.yaml: {name!r} is none of {', '.join(known)}; name one of them, or add it to `vars` there"
            raise LightvadError(message)


@app.command()
def pull(dataset: DatasetOption, budget: BudgetOption) -> None:
    """Fetch what the remote has of a dataset and a budget, and tell Snakemake that it is up to date.

    A stage whose code, settings or inputs here are not those of dvc.lock is not pulled, nor what follows it.
    """
    kept = Kept(dataset, budget)
    _check_names(kept)
    _check_remote()
    locked = _yaml(LOCK)["stages"] if LOCK.is_file() else {}
    pulled, reason = "", ""
    for target, stage in kept.stages():
        if stage not in locked:
            reason = f"dvc.lock has no {stage}: nobody has pushed it from this commit"
        elif others := _in_the_way(stage):
            reason = f"{stage}: dvc.lock is of something else than what is here: {'; '.join(others)}"
        if reason:
            break
        say(f"dvc pull {stage}")
        try:
            _run("dvc", "pull", stage)
        except LightvadError as error:
            # What came before is still to be called up to date.
            reason = str(error)
            break
        if left := [told for _, told in _differences(stage)]:
            reason = f"{stage}: not as dvc.lock says after the pull: {'; '.join(left)}"
            break
        pulled = target
    if pulled:
        # --forceall: a job that looks up to date by chance would otherwise leave no note of its settings.
        kept.snakemake("--touch", "--forceall", target=pulled)
        say(f"{dataset} {budget}: up to date as far as `{pulled}`")
    if reason:
        message = f"{reason}; `make reproduce DATASET={dataset} BUDGET={budget}` builds what is missing"
        raise LightvadError(message)


@app.command()
def commit(dataset: DatasetOption, budget: BudgetOption) -> None:
    """Write what a finished run made into dvc.lock and DVC's cache; refused while Snakemake has anything to do."""
    kept = Kept(dataset, budget)
    _check_names(kept)
    if "Nothing to be done" not in kept.snakemake("--dry-run", target="tables"):
        message = (
            f"{dataset} {budget}: results are not those of the code and settings here (seed {variables()['seed']});"
            f" run `make reproduce DATASET={dataset} BUDGET={budget}` without SET or SEEDS first"
        )
        raise LightvadError(message)
    _ended("make", ["make", "publish", f"DATASET={dataset}", f"BUDGET={budget}"], "publish")
    for _, stage in kept.stages():
        say(f"dvc commit {stage}")
        _run("dvc", "commit", "--force", stage)


@app.command()
def push(dataset: DatasetOption, budget: BudgetOption) -> None:
    """Commit as `commit` does, and send it to the remote; dvc.lock and results/published then go into git."""
    _check_remote()
    commit(dataset, budget)
    for _, stage in Kept(dataset, budget).stages():
        say(f"dvc push {stage}")
        _run("dvc", "push", stage)
    say("pushed; now `git add dvc.lock results/published` and commit: others pull by that commit")


def main() -> None:
    """Run the command line; a user's mistake is one line on standard error and exit status 1."""
    try:
        app()
    except LightvadError as error:
        say(f"exchange: {error}")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
