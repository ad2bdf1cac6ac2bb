"""A copy of the project in which `make reproduce` is run, killed and damaged, beside what an undisturbed run left."""

import contextlib
import csv
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lightvad.artifacts.digests import digest_of_files
from lightvad.artifacts.records import Record, read_record
from lightvad.errors import LightvadError
from lightvad.layout import GATHERED, files_made, is_record
from lightvad.project import Project

COPIED = ("Snakefile", "Makefile", "pyproject.toml", "envs", "workflow", "config", "profiles", "src")
LEFT = ("data", "results", "logs", ".snakemake")
"""What a run leaves in a project."""
LIMIT = 4 * 3600
"""Seconds after which a run that does not end is a fault of its own."""
PATIENCE = 5
"""Seconds for a killed group to be gone; where nobody collects the dead, it never is."""

SMALL = (
    "datasets.plaza.generator.clips={train: 3, test: 5, detector: 1}",
    "datasets.plaza.generator.frames_per_clip={train: 12, test: 16, detector: 2}",
    "datasets.plaza.generator.supersampling=1",
    "datasets.plaza.clips={train: 3, test: 5, detector: 1}",
    "datasets.plaza.frames={train: 36, test: 80, detector: 2}",
    "datasets.plaza.detection.backend=motion",
    "datasets.plaza.detection.class_probabilities.source=none",
    "budgets.smoke.methods.ssmtl.tasks=[arrow, irregularity, middle]",
    "budgets.smoke.methods.ssmtl.training.epochs=3",
    "budgets.smoke.methods.background_agnostic.autoencoders.epochs=2",
    "budgets.smoke.methods.background_agnostic.classifiers.epochs=2",
    "budgets.smoke.methods.fast_aed.pretraining.epochs=3",
    "budgets.smoke.methods.fast_aed.training.epochs=3",
)
"""Plaza, smoke budget, cut down to seconds; each training has several epochs, so that it can be caught between two."""

TIMED = ("training.csv", "training_classifiers.csv", "pretraining.csv", "detector.csv")
"""CSVs with a column of measured seconds."""


@dataclass(frozen=True)
class Ended:
    """A run that has come to its end, or was killed."""

    status: int
    text: str

    @property
    def last(self) -> str:
        """The line that says why it failed: lightvad's own, else the last one."""
        lines = [line for line in self.text.splitlines() if line.strip()]
        own = [line for line in lines if line.startswith("lightvad: ")]
        return (own or lines or [""])[-1]


@dataclass(frozen=True)
class FaultyProject:
    """The copy, and under `work`/undisturbed what one undisturbed run left in it.

    Attributes:
        root: the copy.
        work: a folder for all that is beside it, on the same disk.
        binaries: where python, snakemake and lightvad are.
        overrides: of the configuration.
        cores: of the workflow.
    """

    root: Path
    work: Path
    binaries: Path
    overrides: tuple[str, ...] = SMALL
    cores: int = 2

    @property
    def undisturbed(self) -> Path:
        """What the undisturbed run left."""
        return self.work / "undisturbed"

    @property
    def environment(self) -> dict[str, str]:
        """Of every process that is started: the project's own source, and no trace of a make that runs the harness."""
        own = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        return {**own, "PYTHONPATH": str(self.root / "src")}

    def copy(self, repository: Path, experiment: Path | None) -> None:
        """Make the project from `repository`; `experiment` takes the place of config/experiments/fast_aed.yaml."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        for name in COPIED:
            source = repository / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(source, self.root / name, ignore=ignored)
            else:
                shutil.copy2(source, self.root / name)
        if experiment is not None:
            shutil.copy(experiment, self.root / "config" / "experiments" / "fast_aed.yaml")

    def start(self, log: str = "make", limit: int | None = None) -> subprocess.Popen[bytes]:
        """Start `make reproduce` in a process group of its own; `limit`: KiB beyond which no file may grow."""
        overrides = ", ".join(f"'{item}'" for item in self.overrides)
        # -o: the environment is there already.
        words = ["make", "-o", ".venv/.runtime", "reproduce", f"BIN={self.binaries}", "DATASET=plaza", "BUDGET=smoke"]
        words += [f"CORES={self.cores}", "DEVICE=cpu", f"SET={overrides}"]
        if limit is not None:
            # What is told goes through a pipe: the log itself may be as long as it likes.
            script = f'( ulimit -f {limit}; trap "" XFSZ; exec "$@" ) 2>&1 | cat'
            words = ["bash", "-o", "pipefail", "-c", script, "bash", *words]
        with (self.work / f"{log}.log").open("wb") as file:
            process = subprocess.Popen(
                words, cwd=self.root, env=self.environment, stdout=file, stderr=file, start_new_session=True
            )
        (self.work / f"{log}.group").write_text(str(process.pid))
        return process

    def wait(self, process: subprocess.Popen[bytes], log: str = "make", seconds: float = LIMIT) -> Ended | None:
        """How a started run ended; None: it has not, after `seconds`."""
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return Ended(status, (self.work / f"{log}.log").read_text(errors="replace"))

    def run(self, limit: int | None = None) -> Ended:
        """Run `make reproduce` to its end.

        Raises:
            TimeoutError: it has none; it was killed.
        """
        process = self.start(limit=limit)
        ended = self.wait(process)
        if ended is None:
            kill(process)
            message = f"{self.root}: the run has not ended after {LIMIT} s"
            raise TimeoutError(message)
        return ended

    def lightvad(self, *arguments: str) -> Ended:
        """Run a sub-command to its end."""
        command = [str(self.binaries / "python"), "-m", "lightvad", *arguments]
        ended = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False
        )
        return Ended(ended.returncode, ended.stdout + ended.stderr)

    def end_left(self) -> None:
        """End the runs that a harness which was ended itself has left at work in the copy, and take its disk away."""
        for path in self.work.glob("*.group"):
            group = int(path.read_text() or 0)
            if group and Path(f"/proc/{group}/cwd").exists() and Path(f"/proc/{group}/cwd").resolve() == self.root:
                os.killpg(group, signal.SIGKILL)
                time.sleep(PATIENCE)
            path.unlink()
        if (self.root / "results").is_mount():
            subprocess.run(["umount", str(self.root / "results")], check=True)

    def wipe(self) -> None:
        """Remove everything that a run has left."""
        for name in LEFT:
            shutil.rmtree(self.root / name, ignore_errors=True)

    def keep(self) -> None:
        """Keep what a run has left as the undisturbed one."""
        shutil.rmtree(self.undisturbed, ignore_errors=True)
        for name in LEFT:
            shutil.copytree(self.root / name, self.undisturbed / name, symlinks=True)

    def restore(self) -> None:
        """Bring back what the undisturbed run left, times included."""
        self.wipe()
        for name in LEFT:
            shutil.copytree(self.undisturbed / name, self.root / name, symlinks=True)

    def records(self) -> list[Record]:
        """The records that are there now and whole."""
        found = []
        for path in files_made(self.root):
            if is_record(path):
                with contextlib.suppress(LightvadError):
                    found.append(read_record(path, self.root))
        return found

    def forget(self, files: Iterable[str], *, themselves: bool) -> list[Record]:
        """Remove what was made from `files`, directly or not, as if no stage had come so far.

        Args:
            files: relative to the project.
            themselves: whether the stages that made the files are forgotten too.

        Returns:
            The records of the stages that are forgotten.
        """
        tainted, forgotten = set(files), []
        waiting = sorted(self.records(), key=lambda record: (record.started, record.path))
        while found := [r for r in waiting if tainted & ({*r.inputs} | ({*r.outputs} if themselves else set()))]:
            forgotten += found
            waiting = [record for record in waiting if record not in found]
            for record in found:
                tainted |= {*record.outputs}
                tainted |= {(record.folder / GATHERED).as_posix()} if record.stage == "evaluate" else set()
        for name in tainted - (set() if themselves else set(files)):
            (self.root / name).unlink(missing_ok=True)
        for record in forgotten:
            (self.root / record.path).unlink(missing_ok=True)
        return forgotten

    def differences(self, *, ignored: Iterable[str] = ()) -> list[str]:
        """Files that are not as the undisturbed run left them, times aside, or are there on one side alone."""
        here, there = contents(self.root, self.root), contents(self.undisturbed, self.root)
        names = (here.keys() | there.keys()) - {*ignored}
        return sorted(name for name in names if here.get(name) != there.get(name))


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the whole group: make, snakemake and all of its jobs at once."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:  # who was in the middle of a system call ends a moment later
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            break
        process.wait()
        time.sleep(0.05)
    process.wait()


def contents(root: Path, project: Path) -> dict[str, str]:
    """File -> sha256 of everything that must not differ between two runs of the same configuration.

    That is all that stages have made but what holds a measured time: the column `seconds` of training CSVs, the
    captions of Markdown tables; wholly left out are `speed.json`, speed-accuracy figures, LaTeX (its rows are those of
    the Markdown), the report's page and the records.
    """
    found = {}
    figures = Project(project).experiment("fast_aed").figures
    fast = {f"figure{number}" for number, figure in figures.items() if figure.kind == "speed_accuracy"}
    for file in files_made(root):
        if is_record(file) or file.name in (GATHERED, "speed.json") or file.suffix in (".tex", ".html"):
            continue
        if file.stem in fast or ".tmp" in file.name:
            continue
        content = (root / file).read_bytes()
        if file.name in TIMED:
            content = _without_seconds(content)
        elif file.suffix == ".md":
            content = b"\n".join(line for line in content.splitlines() if not line.startswith(b"- "))
        found[file.as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def _without_seconds(content: bytes) -> bytes:
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode())))
    except (UnicodeDecodeError, csv.Error):
        return content
    return repr([{name: value for name, value in row.items() if name != "seconds"} for row in rows]).encode()


def source_digest(repository: Path) -> str:
    """Hex sha256 over everything that is copied."""
    files = []
    for name in COPIED:
        below = (repository / name).rglob("*") if (repository / name).is_dir() else [repository / name]
        files += [path for path in below if path.is_file() and "__pycache__" not in path.parts]
    return digest_of_files(sorted(path for path in files if ".egg-info" not in str(path)), repository)


def binaries_here() -> Path:
    """The folder of this interpreter."""
    return Path(sys.executable).parent
