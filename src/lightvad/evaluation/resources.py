"""What a piece of work takes besides time: the most memory it holds, and energy where the device reports it.

A thread looks at the process a hundred times a second, so a time that is measured in the same call is a little longer:
measure memory and energy in a call of their own.
"""

import resource
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from lightvad.compute import device_of

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows the energy counters of processors (RAPL, of Intel and AMD)."""
NOT_REPORTED = "not reported by this device"
EVERY = 0.01
"""Seconds between two looks at the memory."""
EVERY_READING = 0.25
"""Seconds between two looks at the energy: no counter starts anew twice in between."""


@dataclass(frozen=True)
class Usage:
    """What a call took.

    Attributes:
        seconds: of wall clock.
        peak_memory_mb: most resident memory of the whole process during the call, MiB.
        peak_device_memory_mb: most memory that torch held in tensors on the GPU during the call, MiB; None on a CPU.
        energy_joules: of the whole device (other processes and idle power included) during the call; None: unknown.
        energy_of: what was counted, or why nothing was.
    """

    seconds: float
    peak_memory_mb: float
    peak_device_memory_mb: float | None
    energy_joules: float | None
    energy_of: str


def usage_of(call: Callable[[], object], *, device: str, powercap: Path = POWERCAP) -> Usage:
    """Do `call` once and say what it took.

    A peak that is higher than any before in this process is exact; a lower one that lasts less than `EVERY` seconds may
    be missed.

    Args:
        call: the work; what it raises is raised here.
        device: on which it runs, `auto`, `cpu` or `cuda`: energy is that of its processors or of its GPU.
        powercap: folder of the processors' energy counters.

    Raises:
        LightvadError: `cuda` is asked for and there is none.
    """
    where = device_of(device)
    meter = gpu_meter(where) if where.type == "cuda" else processor_meter(powercap)
    if where.type == "cuda":
        torch.cuda.synchronize(where)
        torch.cuda.reset_peak_memory_stats(where)
    watch = _Watch(None if isinstance(meter, str) else meter)
    highest_before = _highest_ever()
    started = time.perf_counter()
    with watch:
        call()
        if where.type == "cuda":
            torch.cuda.synchronize(where)
    seconds = time.perf_counter() - started
    highest = _highest_ever()
    return Usage(
        seconds=seconds,
        peak_memory_mb=max(watch.peak, highest if highest > highest_before else 0) / 2**20,
        peak_device_memory_mb=torch.cuda.max_memory_allocated(where) / 2**20 if where.type == "cuda" else None,
        energy_joules=watch.joules,
        energy_of=meter if isinstance(meter, str) else meter.what,
    )


def processor_meter(powercap: Path = POWERCAP) -> "ProcessorMeter | str":
    """The energy counters of all processors of this machine and their memory; in words, why there are none."""
    zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if _is_counted(zone)]
    if not zones:
        return NOT_REPORTED
    try:
        return ProcessorMeter(zones)
    except OSError as error:  # as a rule, only root may read them
        return f"{NOT_REPORTED} ({error.filename}: {error.strerror})"


def _is_counted(zone: Path) -> bool:
    """Processors, and their memory, which they do not count. `core` and `uncore` are parts, `psys` is more."""
    name = zone / "name"
    return name.is_file() and name.read_text().strip().startswith(("package-", "dram"))


class ProcessorMeter:
    """Sums counters in microjoules that start anew at a range of their own.

    Args:
        zones: folders with `name`, `energy_uj`, `max_energy_range_uj`.
    """

    def __init__(self, zones: list[Path]) -> None:
        self.what = "RAPL " + ", ".join((zone / "name").read_text().strip() for zone in zones)
        self._ranges = {zone: int((zone / "max_energy_range_uj").read_text()) for zone in zones}
        self._last = {zone: _microjoules(zone) for zone in zones}
        self._sum = 0

    def joules(self) -> float:
        """Energy since the meter was opened; right as long as no counter starts anew twice between two calls."""
        for zone, last in self._last.items():
            now = self._last[zone] = _microjoules(zone)
            self._sum += now - last if now >= last else now - last + self._ranges[zone]
        return self._sum / 1e6


def _microjoules(zone: Path) -> int:
    return int((zone / "energy_uj").read_text())


def gpu_meter(device: torch.device) -> "GpuMeter | str":
    """The energy counter of a GPU (NVIDIA's, Volta and newer); in words, why there is none."""
    try:
        import pynvml  # comes with torch for NVIDIA's GPUs, and with no other
    except ModuleNotFoundError:
        return NOT_REPORTED
    properties = torch.cuda.get_device_properties(device)
    try:
        pynvml.nvmlInit()
        # By its identity: its number is not torch's where CUDA_VISIBLE_DEVICES hides some.
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{properties.uuid}")
        return GpuMeter(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle), f"NVML {properties.name}")
    except pynvml.NVMLError as error:
        return f"{NOT_REPORTED} ({error})"


class GpuMeter:
    """A counter of millijoules since the driver was loaded.

    Args:
        read: gives its state.
        what: whose it is.
    """

    def __init__(self, read: Callable[[], int], what: str) -> None:
        self.what = what
        self._read = read
        self._first = read()

    def joules(self) -> float:
        """Energy since the meter was opened."""
        return (self._read() - self._first) / 1e3


class _Watch:
    """Looks at the memory and at a meter while it is entered.

    Attributes:
        peak: most resident memory that was seen, bytes.
        joules: what the meter says since it was opened; None without one.
    """

    def __init__(self, meter: ProcessorMeter | GpuMeter | None) -> None:
        self.peak = 0
        self.joules: float | None = None
        self._meter = meter
        self._process = psutil.Process()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_again, name="resources", daemon=True)

    def __enter__(self) -> None:
        self._look()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        self._read()

    def _look_again(self) -> None:
        read = time.monotonic()
        while not self._over.wait(EVERY):
            self._look()
            if time.monotonic() - read >= EVERY_READING:
                self._read()
                read = time.monotonic()

    def _look(self) -> None:
        self.peak = max(self.peak, self._process.memory_info().rss)

    def _read(self) -> None:
        if self._meter is not None:
            self.joules = self._meter.joules()


def _highest_ever() -> int:
    """Most resident memory of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
