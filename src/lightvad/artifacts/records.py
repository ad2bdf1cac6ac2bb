"""`record.json`: for every stage of a run its config and code digests, input checksums, versions, device and cost."""

import importlib.metadata
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.documents import read_json, write_json

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
    root: Path,
    device: str,
    precision: str,
    threads: int,
) -> Iterator[None]:
    """Write the record of one stage to `path` when the block ends without an error.

    Args:
        path: `RUN/records/STAGE.json`.
        command: the command line that does this stage by hand.
        config: the slice of configuration that the stage reads.
        config_digest: its digest.
        code_digest: digest of lightvad's own modules that the stage runs.
        inputs: files that the stage reads, relative to `root`; their sha256 is taken before the stage starts.
        root: the project; paths are recorded relative to it.
        device: `auto`, `cpu` or `cuda`.
        precision: of the network, `-` where none runs.
        threads: CPU threads.
    """
    checksums = {file.as_posix(): sha256_of(root / file) for file in inputs}
    started = time.monotonic()
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    yield
    write_json(
        path,
        {
            "command": command,
            "config_digest": config_digest,
            "code_digest": code_digest,
            "config": config,
            "inputs": checksums,
            "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
            "python": platform.python_version(),
            "device": device_name(device),
            "precision": precision,
            "threads": threads,
            "started": began,
            "seconds": round(time.monotonic() - started, 2),
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        },
    )


def collect_records(folder: Path) -> dict[str, Any]:
    """The records of all stages of a run so far: {"stages": {STAGE: record}}."""
    return {"stages": {path.stem: read_json(path) for path in sorted((folder / "records").glob("*.json"))}}
