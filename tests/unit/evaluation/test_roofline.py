"""The roofline: what is counted, in which units, and which limit holds. No test asserts a time."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lightvad.errors import LightvadError
from lightvad.evaluation.roofline import DTYPES, Limits, Work, highest, measure, reached, work_of

LIMITS = Limits(
    bandwidth=20.0, matrix_rates={"32-true": 100.0, "bf16-mixed": 400.0}, threads=1, array_mib=256, side=1024, rounds=7
)
WORK = Work(gflop=5.0, moved_bytes=200_000_000, counted="parameters")


def small(precisions: Sequence[str], device: str = "cpu") -> Limits:
    return measure(device, precisions, array_mib=1, side=64, rounds=3)


def test_a_network_of_much_arithmetic_is_bound_by_it() -> None:
    """5 GFLOP at 100 GFLOP/s are 50 ms; 0.2 GB at 20 GB/s are 10."""
    found = reached(WORK, 10.0, LIMITS, "32-true")
    assert (found.bound, found.limit, found.share) == ("compute", pytest.approx(20), pytest.approx(0.5))
    assert (found.gflops, found.gbytes) == (pytest.approx(50), pytest.approx(2))


def test_the_same_network_in_a_faster_precision_is_nearer_to_the_limit_of_the_memory() -> None:
    """12.5 ms of arithmetic; with twice the bytes, 20 ms of memory."""
    found = reached(WORK, 10.0, LIMITS, "bf16-mixed")
    assert (found.bound, found.limit) == ("compute", pytest.approx(80))
    twice = reached(replace(WORK, moved_bytes=400_000_000), 10.0, LIMITS, "bf16-mixed")
    assert (twice.bound, twice.limit, twice.share) == ("memory", pytest.approx(50), pytest.approx(0.2))


@given(st.floats(1e-3, 1e3), st.integers(1, 10**11), st.floats(1e-2, 1e5), st.sampled_from(list(LIMITS.matrix_rates)))
def test_the_share_is_the_larger_one_of_both_limits_shares(gflop: float, moved: int, rate: float, name: str) -> None:
    found = reached(Work(gflop, moved, "all"), rate, LIMITS, name)
    shares = {"compute": found.gflops / LIMITS.matrix_rates[name], "memory": found.gbytes / LIMITS.bandwidth}
    assert found.share == pytest.approx(max(shares.values()))
    assert shares[found.bound] == pytest.approx(max(shares.values()))
    assert found.share == pytest.approx(rate / found.limit)


def test_a_precision_that_was_not_measured_is_one_line() -> None:
    with pytest.raises(LightvadError, match=r"16-mixed was not measured \(measured: 32-true, bf16-mixed\)"):
        reached(WORK, 10.0, LIMITS, "16-mixed")


@pytest.mark.parametrize(("work", "rate"), [(Work(0, 0, "nothing"), 10.0), (WORK, 0.0)])
def test_no_share_of_nothing(work: Work, rate: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        reached(work, rate, LIMITS, "32-true")


def test_bytes_are_those_of_parameters_buffers_and_inputs_as_they_are_stored() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
    inputs = (torch.zeros(2, 3, 5, 5), torch.zeros(7, dtype=torch.uint8))
    # 108 weights, 4 + 4 of the normalisation, its running mean and variance, its counter of 8 bytes.
    assert work_of(network, inputs, gflop=1.0).moved_bytes == 4 * (108 + 8 + 8) + 8 + 4 * 150 + 7
    halved = work_of(network.to(torch.bfloat16), inputs, gflop=1.0)
    assert halved.moved_bytes == 2 * (108 + 8 + 8) + 8 + 4 * 150 + 7
    assert "no activations" in halved.counted


def test_rates_are_measured_for_what_is_asked_and_say_how() -> None:
    found = small(["32-true", "bf16-mixed"])
    assert set(found.matrix_rates) == {"32-true", "bf16-mixed"}
    assert (found.array_mib, found.side, found.rounds) == (1, 64, 3)
    assert found.threads == torch.get_num_threads()
    assert found.bandwidth > 0
    assert all(rate > 0 for rate in found.matrix_rates.values())
    assert small([]).matrix_rates == {}


def test_of_two_measurements_each_higher_rate_counts() -> None:
    other = replace(LIMITS, bandwidth=25.0, matrix_rates={"32-true": 90.0, "bf16-mixed": 500.0})
    assert highest(LIMITS, other) == replace(
        LIMITS, bandwidth=25.0, matrix_rates={"32-true": 100.0, "bf16-mixed": 500.0}
    )


@pytest.mark.parametrize("precision", ["16-mixed", "64-true"])
def test_what_is_not_measured_on_a_cpu_is_one_line(precision: str) -> None:
    with pytest.raises(LightvadError, match=f"{precision} is not measured on cpu; choose of 32-true, bf16-mixed$"):
        small([precision])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_is_measured_in_all_precisions() -> None:
    found = small(list(DTYPES), "cuda")
    assert all(rate > 0 for rate in [found.bandwidth, *found.matrix_rates.values()])
