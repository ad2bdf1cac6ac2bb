"""What a stage made, from what, with which code and settings, on what: `records/STAGE.json` beside its outputs.

A stage reads no file that another one has made before it has the bytes that its maker's record names.
"""

import importlib.metadata
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightvad.artifacts.atomic import remove_left
from lightvad.artifacts.digests import checksums_of
from lightvad.artifacts.documents import read_sealed, unsealed, write_sealed
from lightvad.errors import LightvadError
from lightvad.layout import GATHERED, MADE
from lightvad.progress import say

SHORT = 12
"""Digits of a sha256 that a line shows."""

WHOSE_MEMORY = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
"""Of a training on several devices the largest process counts."""
PACKAGES = (
    "lightvad",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "scikit-learn",
    "scipy",
    "torch",
    "torchvision",
    "av",
)


def processor_name() -> str:
    """The model name of the CPU."""
    try:
        with Path("/proc/cpuinfo").open() as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """What `device` (auto, cpu, cuda) is on this machine: the GPU's name, or the CPU's model and cores."""
    torch = sys.modules.get("torch")
    if device != "cpu" and torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name(0))
    return f"{processor_name()} ({len(os.sched_getaffinity(0))} cores)"


@contextmanager
def recording(
    path: Path,
    *,
    command: str,
    config: Any,
    config_digest: str,
    code_digest: str,
    inputs: Sequence[Path],
    outputs: Callable[[], Sequence[Path]],
    root: Path,
    device: str,
    precision: str,
    threads: int,
) -> Iterator[None]:
    """Write the record of one stage to `path` when the block ends without an error, after its outputs.

    Args:
        path: `FOLDER/records/STAGE.json`, FOLDER being where the outputs lie.
        command: the command line that does this stage by hand.
        config: the slice of configuration that the stage reads.
        config_digest: its digest.
        code_digest: digest of lightvad's own modules that the stage runs.
        inputs: files that the stage reads, relative to `root`; their sha256 is taken before the stage starts.
        outputs: the files that the stage has written, relative to `root`; called when it has ended.
        root: the project; paths are recorded relative to it.
        device: `auto`, `cpu` or `cuda`.
        precision: of the network, `-` where none runs.
        threads: CPU threads.

    Raises:
        LightvadError: an input is missing, is not what its maker's record says, or an output was not written.
    """
    for file in inputs:
        if not (root / file).is_file():
            made = file.parts[0] in MADE
            makers = _makers(file, root) if made else []
            remedy = f"run `snakemake --cores 2 {file.as_posix()}`" if made else "take it from the repository again"
            remedy = makers[-1].remedy if makers else remedy
            message = f"{file.as_posix()}: missing; {remedy}"
            raise LightvadError(message)
    what = f"checksums for {path.relative_to(root)}"
    checksums = checked_files(inputs, root=root, what=what)
    started = time.monotonic()
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    yield
    seconds = round(time.monotonic() - started, 2)
    written = outputs()
    write_sealed(
        path,
        {
            "command": command,
            "config_digest": config_digest,
            "code_digest": code_digest,
            "config": config,
            "inputs": checksums,
            "outputs": checksums_of(written, root=root, what=what),
            "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
            "python": platform.python_version(),
            "device": device_name(device),
            "precision": precision,
            "threads": threads,
            "started": began,
            "seconds": seconds,
            "peak_memory_mb": round(max(resource.getrusage(who).ru_maxrss for who in WHOSE_MEMORY) / 1024),
        },
    )
    remove_left([path, *(root / file for file in written)])


def collect_records(folder: Path, stages: Iterable[str]) -> dict[str, Any]:
    """The records of those of `stages` that have one in `folder`: {"stages": {STAGE: record}}.

    Raises:
        LightvadError: one of them is damaged.
    """
    paths = {stage: folder / "records" / f"{stage}.json" for stage in sorted(stages)}
    return {"stages": {stage: read_sealed(path) for stage, path in paths.items() if path.is_file()}}


@dataclass(frozen=True)
class Record:
    """The record of one stage.

    Attributes:
        path: of the record, relative to the project's root.
        command: does the stage again.
        inputs: path -> sha256 of what it read, before it began.
        outputs: path -> sha256 of what it wrote.
        started: UTC, ISO 8601.
        content: all of the record.
    """

    path: Path
    command: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    started: str
    content: Mapping[str, Any]

    @property
    def stage(self) -> str:
        """The stage, with what tells it from others in the same folder: `train`, `fetch-motion`, `table7`."""
        return self.path.stem

    @property
    def folder(self) -> Path:
        """Where the stage wrote, relative to the project's root."""
        return self.path.parent.parent

    @property
    def remedy(self) -> str:
        """What makes an output anew. A fetched file that is there is checked and never replaced."""
        return f"{'delete it and ' if self.stage.startswith('fetch') else ''}run `{self.command}`"


def read_record(path: Path, root: Path) -> Record:
    """The record at `path`, relative to `root`.

    Raises:
        LightvadError: it is missing, damaged, or not a record.
    """
    return _record(path, read_sealed(root / path))


def _record(path: Path, content: Mapping[str, Any]) -> Record:
    try:
        return Record(
            path=path,
            command=str(content["command"]),
            inputs=dict(content["inputs"]),
            outputs=dict(content["outputs"]),
            started=str(content["started"]),
            content=content,
        )
    except (KeyError, TypeError, ValueError) as error:
        message = f"{path}: not a record of a stage ({error}); run the stage that writes it again"
        raise LightvadError(message) from error


def checked_files(files: Sequence[Path], *, root: Path, what: str) -> dict[str, str]:
    """Hex sha256 of files, after they have been compared with the records of the stages that made them.

    A record lies in `records/` of the nearest folder above the file that has one; where several name the file, that of
    the stage that began last counts. A file under data/ or results/ that none names is taken as it is, with a line that
    says so. `record.json` carries a seal of its own.

    Args:
        files: relative to `root`.
        root: the project.
        what: for progress lines.

    Raises:
        LightvadError: a file is missing or not what its maker's record says, or a record is damaged.
    """
    found = checksums_of(files, root=root, what=what)
    beside: dict[Path, list[Record]] = {}
    for file, sha256 in found.items():
        path = Path(file)
        if path.parts[0] not in MADE or path.name == GATHERED:
            continue
        folder = _recorded_folder(path, root)
        if folder not in beside:
            beside[folder] = _records_in(folder, root)
        makers = [record for record in beside[folder] if file in record.outputs]
        if not makers:
            say(f"warning: {file}: no record says what made it; it is taken as it is")
        elif (wrote := makers[-1].outputs[file]) != sha256:
            message = (
                f"{file}: sha256 {sha256[:SHORT]}, but {makers[-1].path} says {wrote[:SHORT]}: changed or damaged since"
                f" it was written; {makers[-1].remedy}"
            )
            raise LightvadError(message)
    return found


def _recorded_folder(file: Path, root: Path) -> Path:
    """The nearest folder above a file that has records; the root where there is none."""
    return next((folder for folder in file.parents if (root / folder / "records").is_dir()), Path())


def _makers(file: Path, root: Path) -> list[Record]:
    """The records that name a file as an output, in the order in which their stages began."""
    found = _records_in(_recorded_folder(file, root), root)
    return [record for record in found if file.as_posix() in record.outputs]


def _records_in(folder: Path, root: Path) -> list[Record]:
    """The records of the stages that wrote into `folder`, in the order in which they began."""
    records = []
    for path in sorted((root / folder / "records").glob("[!.]*.json")):
        name = path.relative_to(root)
        try:
            text = path.read_text()
        except FileNotFoundError:
            continue  # its stage has just begun anew
        except (OSError, ValueError) as error:
            message = f"{name}: damaged ({error}); delete it and run the stage that writes it again"
            raise LightvadError(message) from error
        try:
            content = json.loads(text)
        except ValueError as error:
            message = f"{name}: not JSON ({error}); delete it and run the stage that writes it again"
            raise LightvadError(message) from error
        records.append(_record(name, unsealed(content, name)))
    return sorted(records, key=lambda record: (record.started, record.path))
