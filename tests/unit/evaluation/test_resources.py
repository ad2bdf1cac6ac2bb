"""Memory and energy of a call: units, what is counted, and None with a reason where nothing is reported."""

import resource
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from lightvad.errors import LightvadError
from lightvad.evaluation.resources import (
    EVERY_READING,
    NOT_REPORTED,
    GpuMeter,
    ProcessorMeter,
    processor_meter,
    usage_of,
)

MIB = 2**20


def nothing() -> None:
    """A call that takes nothing."""


def zone(powercap: Path, folder: str, name: str, microjoules: int, largest: int = 10**9) -> Path:
    """A zone as Linux shows it: numbers in decimal, a line each."""
    made = powercap / folder
    made.mkdir(parents=True)
    for file, content in (("name", name), ("energy_uj", microjoules), ("max_energy_range_uj", largest)):
        (made / file).write_text(f"{content}\n")
    return made / "energy_uj"


def held(mib: int, seconds: float = 0.0) -> None:
    array = np.ones(mib * MIB // 8)
    time.sleep(seconds)
    del array


def test_a_new_peak_is_exact_however_short_and_a_later_lower_one_is_seen_too(tmp_path: Path) -> None:
    before = psutil.Process().memory_info().rss / MIB
    # More than this process ever held, whatever ran in it before.
    more = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before) + 256
    short = usage_of(lambda: held(more), device="cpu", powercap=tmp_path)
    assert short.peak_memory_mb == pytest.approx(before + more, abs=64)
    lower = usage_of(lambda: held(more // 2, seconds=0.2), device="cpu", powercap=tmp_path)
    assert lower.peak_memory_mb == pytest.approx(before + more // 2, abs=64)
    none = usage_of(nothing, device="cpu", powercap=tmp_path)
    assert none.peak_memory_mb == pytest.approx(before, abs=64)
    assert none.peak_device_memory_mb is None


def test_seconds_are_those_of_the_call(tmp_path: Path) -> None:
    assert usage_of(lambda: time.sleep(0.05), device="cpu", powercap=tmp_path).seconds >= 0.05


def test_energy_is_the_processors_and_their_memorys_in_joules(tmp_path: Path) -> None:
    counted = [
        zone(tmp_path, "intel-rapl:0", "package-0", 7_000_000),
        zone(tmp_path, "intel-rapl:0:1", "dram", 100),
        zone(tmp_path, "intel-rapl:1", "package-1", 0),
    ]
    others = [
        zone(tmp_path, "intel-rapl:0:0", "core", 5),  # a part of package-0
        zone(tmp_path, "intel-rapl:2", "psys", 5),  # the whole machine
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 5),  # the same processor by another way
    ]
    (tmp_path / "intel-rapl").mkdir()  # the control type itself has no counter

    def work() -> None:
        for file, microjoules in zip(counted, (9_500_000, 250_100, 1_000_000), strict=True):
            file.write_text(f"{microjoules}\n")
        for file in others:
            file.write_text("90000000\n")

    found = usage_of(work, device="cpu", powercap=tmp_path)
    assert found.energy_joules == pytest.approx(2.5 + 0.25 + 1.0)
    assert found.energy_of == "RAPL package-0, dram, package-1"


def test_a_counter_may_start_anew_as_often_as_it_is_read(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 900_000, largest=1_000_000)
    meter = processor_meter(tmp_path)
    assert isinstance(meter, ProcessorMeter)
    for microjoules, joules in ((100_000, 0.2), (50_000, 1.15), (50_000, 1.15), (60_000, 1.16)):
        counter.write_text(f"{microjoules}\n")
        assert meter.joules() == pytest.approx(joules)


def test_a_long_call_is_read_in_between(tmp_path: Path) -> None:
    """Anew twice within the call: the first and the last state alone would hide both."""
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 0, largest=1_000_000)

    def work() -> None:
        for microjoules in (900_000, 800_000, 700_000):
            counter.write_text(f"{microjoules}\n")
            time.sleep(3 * EVERY_READING)

    assert usage_of(work, device="cpu", powercap=tmp_path).energy_joules == pytest.approx(0.9 + 0.9 + 0.9)


def test_without_a_counter_energy_is_unknown_not_zero(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        found = usage_of(nothing, device="cpu", powercap=folder)
        assert (found.energy_joules, found.energy_of) == (None, NOT_REPORTED)


def test_a_counter_that_cannot_be_read_says_which(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    counter.unlink()
    counter.mkdir()  # root may read every file
    found = usage_of(nothing, device="cpu", powercap=tmp_path)
    assert (found.energy_joules, found.energy_of) == (None, f"{NOT_REPORTED} ({counter}: Is a directory)")


def test_a_gpu_counts_millijoules() -> None:
    states = iter([5_000, 5_250, 7_000])
    meter = GpuMeter(lambda: next(states), "NVML of the test")
    assert [meter.joules(), meter.joules()] == [pytest.approx(0.25), pytest.approx(2.0)]


def test_an_error_of_the_call_is_the_callers_and_nobody_goes_on_looking(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        usage_of(lambda: 1 / 0, device="cpu", powercap=tmp_path)
    assert "resources" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line() -> None:
    with pytest.raises(LightvadError, match="cuda was asked for but torch sees no GPU"):
        usage_of(nothing, device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpus_memory_is_what_tensors_held_and_its_energy_is_told_or_explained() -> None:
    before = torch.cuda.memory_allocated() / MIB

    def work() -> None:
        torch.ones(64 * MIB, dtype=torch.uint8, device="cuda")
        time.sleep(0.5)

    found = usage_of(work, device="cuda")
    assert found.peak_device_memory_mb == pytest.approx(before + 64, abs=2)
    assert (found.energy_joules is None) == found.energy_of.startswith(NOT_REPORTED)
