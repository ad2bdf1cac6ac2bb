"""How far a network is from what its device can do at most (the roofline).

The two limits are measured on the device itself: how fast memory is read and written (a triad `a = b + s * c` over
arrays far larger than a cache), and how fast matrices are multiplied, in every precision that is asked for. A network
can be no faster than its operations at the rate of the matrices, nor than its bytes at the rate of the memory.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from lightvad.compute import device_of
from lightvad.errors import LightvadError

DTYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""What is multiplied under each precision."""
ONLY_ON_GPU = ("16-mixed",)
SIDES = {"cpu": 1024, "cuda": 8192}
"""Rows of the square matrices."""
ARRAY_MIB = 256
ROUNDS = 7
"""Measurements of each rate, of which the median is kept."""
SHORTEST = 0.02
"""Seconds that one measurement takes at least: as many calls as that needs, one after another."""


@dataclass(frozen=True)
class Limits:
    """What a device can do at most, as measured; every figure is a median, or the higher of two (`highest`).

    Attributes:
        bandwidth: of memory, GB/s (10^9 bytes): two arrays read and one written, each byte counted once. A CPU that
            first reads what it overwrites moves a third more than is counted.
        matrix_rates: precision -> GFLOP/s (10^9 operations a second, 2 per multiply-add) of a product of matrices.
        threads: CPU threads of torch while this was measured.
        array_mib: size of each of the three arrays, MiB.
        side: rows and columns of the matrices.
        rounds: measurements of each rate.
    """

    bandwidth: float
    matrix_rates: Mapping[str, float]
    threads: int
    array_mib: int
    side: int
    rounds: int


@dataclass(frozen=True)
class Work:
    """What one call of a network must do at least.

    Attributes:
        gflop: 10^9 operations, 2 per multiply-add (`complexity` counts them, for one frame).
        moved_bytes: bytes that are read from memory or written to it.
        counted: which bytes these are, in words; the fewer are counted, the lower is the share that is reached.
    """

    gflop: float
    moved_bytes: int
    counted: str


@dataclass(frozen=True)
class Reached:
    """How near to its limit a network is.

    Attributes:
        share: of the highest possible rate, 1 = at the limit. More than 1 is possible, since bytes that stay in a cache
            cost less than counted, and since limits are measured.
        limit: calls a second at most.
        bound: which limit is the lower one.
        gflops: 10^9 operations a second that the network does.
        gbytes: GB/s of the counted bytes.
    """

    share: float
    limit: float
    bound: Literal["compute", "memory"]
    gflops: float
    gbytes: float


def measure(
    device: str,
    precisions: Sequence[str],
    *,
    array_mib: int = ARRAY_MIB,
    side: int | None = None,
    rounds: int = ROUNDS,
) -> Limits:
    """Measure the limits of a device, with the threads and settings that torch has now; a few seconds.

    Args:
        device: `auto`, `cpu` or `cuda`.
        precisions: of `32-true`, `bf16-mixed` and, on a GPU, `16-mixed`.
        array_mib: size of each of three float32 arrays, MiB; smaller than a cache, they tell the speed of the cache.
        side: rows and columns of the matrices; None: 1,024 on a CPU, 8,192 on a GPU.
        rounds: measurements of each rate.

    Raises:
        LightvadError: `cuda` without a GPU, or a precision that is unknown or not measured on this device.
    """
    where = device_of(device)
    for precision in precisions:
        if precision not in DTYPES or (precision in ONLY_ON_GPU and where.type != "cuda"):
            known = [name for name in DTYPES if where.type == "cuda" or name not in ONLY_ON_GPU]
            message = f"roofline: precision {precision} is not measured on {where.type}; choose of {', '.join(known)}"
            raise LightvadError(message)
    rows = SIDES[where.type] if side is None else side
    with torch.inference_mode():
        return Limits(
            bandwidth=_bandwidth(where, array_mib, rounds),
            matrix_rates={name: _matrix_rate(where, DTYPES[name], rows, rounds) for name in precisions},
            threads=torch.get_num_threads(),
            array_mib=array_mib,
            side=rows,
            rounds=rounds,
        )


def highest(first: Limits, second: Limits) -> Limits:
    """Of two measurements of the same kind the higher rates: what disturbs one only makes it lower."""
    rates = {name: max(rate, second.matrix_rates[name]) for name, rate in first.matrix_rates.items()}
    return replace(first, bandwidth=max(first.bandwidth, second.bandwidth), matrix_rates=rates)


def work_of(network: nn.Module, inputs: Sequence[torch.Tensor], *, gflop: float) -> Work:
    """What one call of a network must do at least.

    Args:
        network: its parameters and buffers are counted in the types in which they are stored.
        inputs: of the call.
        gflop: 10^9 operations of the call; of a batch, those of a frame times its frames.
    """
    tensors = [*network.parameters(), *network.buffers(), *inputs]
    moved = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return Work(gflop, moved, "parameters, buffers and inputs, each read once; no activations")


def reached(work: Work, calls_per_second: float, limits: Limits, precision: str) -> Reached:
    """The share of a device's limit that a measured rate is.

    Args:
        work: of one call.
        calls_per_second: measured on the same device with as many threads.
        limits: of that device.
        precision: the network's, one of `limits.matrix_rates`.

    Raises:
        LightvadError: the matrix rate of this precision was not measured.
        ValueError: the work is nothing at all, or the rate is not positive.
    """
    if precision not in limits.matrix_rates:
        known = ", ".join(limits.matrix_rates) or "none"
        message = f"roofline: the matrix rate of {precision} was not measured (measured: {known}); name it to measure"
        raise LightvadError(message)
    computing = work.gflop / limits.matrix_rates[precision]
    moving = work.moved_bytes / 1e9 / limits.bandwidth
    shortest = max(computing, moving)
    if not (shortest > 0 and calls_per_second > 0):
        message = f"{work}, {calls_per_second} calls a second: both must be positive"
        raise ValueError(message)
    return Reached(
        share=calls_per_second * shortest,
        limit=1 / shortest,
        bound="compute" if computing >= moving else "memory",
        gflops=calls_per_second * work.gflop,
        gbytes=calls_per_second * work.moved_bytes / 1e9,
    )


def _bandwidth(device: torch.device, array_mib: int, rounds: int) -> float:
    """GB/s of a triad."""
    first, second, target = (torch.rand(array_mib * 2**18, device=device) for _ in range(3))
    seconds = _seconds(lambda: torch.add(first, second, alpha=0.5, out=target), device, rounds)
    return 3 * array_mib * 2**20 / 1e9 / seconds


def _matrix_rate(device: torch.device, dtype: torch.dtype, side: int, rounds: int) -> float:
    """GFLOP/s of a product of square matrices."""
    first, second = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    target = torch.empty_like(first)
    seconds = _seconds(lambda: torch.mm(first, second, out=target), device, rounds)
    return 2 * side**3 / 1e9 / seconds


def _seconds(call: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Median time of one call, device-synchronised; the first two are warm-up and tell how many a measurement needs."""

    def taken(calls: int) -> float:
        _synchronise(device)
        started = time.perf_counter()
        for _ in range(calls):
            call()
        _synchronise(device)
        return (time.perf_counter() - started) / calls

    taken(1)
    calls = math.ceil(SHORTEST / taken(1))
    return statistics.median(taken(calls) for _ in range(rounds))


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
