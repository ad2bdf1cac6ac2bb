"""What a stage made, from what, with which code and settings, on what: `records/STAGE.json` beside its outputs."""

import importlib.metadata
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

from lightvad.artifacts.digests import checksums_of
from lightvad.artifacts.documents import read_json, write_json
from lightvad.errors import LightvadError
from lightvad.layout import MADE

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
        LightvadError: an input is missing, or an output was not written.
    """
    for file in inputs:
        if not (root / file).is_file():
            made = file.parts[0] in MADE
            remedy = f"run `snakemake --cores 2 {file.as_posix()}`" if made else "take it from the repository again"
            message = f"{file.as_posix()}: missing; {remedy}"
            raise LightvadError(message)
    what = f"checksums for {path.relative_to(root)}"
    checksums = checksums_of(inputs, root=root, what=what)
    started = time.monotonic()
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    yield
    seconds = round(time.monotonic() - started, 2)
    write_json(
        path,
        {
            "command": command,
            "config_digest": config_digest,
            "code_digest": code_digest,
            "config": config,
            "inputs": checksums,
            "outputs": checksums_of(outputs(), root=root, what=what),
            "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
            "python": platform.python_version(),
            "device": device_name(device),
            "precision": precision,
            "threads": threads,
            "started": began,
            "seconds": seconds,
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        },
    )


def collect_records(folder: Path, stages: Iterable[str]) -> dict[str, Any]:
    """The records of those of `stages` that have one in `folder`: {"stages": {STAGE: record}}."""
    paths = {stage: folder / "records" / f"{stage}.json" for stage in sorted(stages)}
    return {"stages": {stage: read_json(path) for stage, path in paths.items() if path.is_file()}}


@dataclass(frozen=True)
class Record:
    """The record of one stage.

    Attributes:
        path: of the record, relative to the project's root.
        command: does the stage again.
        inputs: path -> sha256 of what it read, before it began.
        outputs: path -> sha256 of what it wrote; empty in a record that is older than this key.
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


def read_record(path: Path, root: Path) -> Record:
    """The record at `path`, relative to `root`.

    Raises:
        LightvadError: it is not JSON, or not a record.
    """
    content = read_json(root / path)
    try:
        return Record(
            path=path,
            command=str(content["command"]),
            inputs=dict(content["inputs"]),
            outputs=dict(content.get("outputs", {})),
            started=str(content["started"]),
            content=content,
        )
    except (KeyError, TypeError, ValueError) as error:
        message = f"{path}: not a record of a stage ({error}); run the stage that writes it again"
        raise LightvadError(message) from error
