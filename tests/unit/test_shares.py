"""What several processes share: batches, gradients, and the statistics of batch norms."""

import multiprocessing
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lightvad.errors import LightvadError
from lightvad.shares import Share, average_gradients, average_numbers, check_divisible, join, share, with_shared_norms
from lightvad.training_loop import launch

BATCH = 6


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2))


def learned(batch: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients and running statistics after one pass in training, and what the network then gives in evaluation."""
    whole = with_shared_norms(network()).train()
    (whole(share().of(batch)) ** 3).mean().backward()
    average_gradients(whole.parameters())
    found = {f"gradient {name}": one.grad for name, one in whole.named_parameters() if one.grad is not None}
    found |= dict(whole.state_dict())
    return found | {"evaluated": whole.eval()(batch).detach()}


def batch_of_noise() -> torch.Tensor:
    return torch.randn(BATCH, 3, 9, 11, generator=torch.Generator().manual_seed(1)) * 3 + 1


def take_part(own: Share, port: int, folder: Path) -> None:
    join(own, port)
    launch("cpu", "32-true")
    found = learned(batch_of_noise())
    found["mean"] = torch.tensor(average_numbers({"rank": float(own.rank), "one": 1.0}, torch.device("cpu"))["rank"])
    torch.save(found, folder / f"{own.rank}.pt")


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_gradients_and_batch_norms_are_those_of_the_whole_batch(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.syspath_prepend(str(repository))  # for the processes: this module
    alone = learned(batch_of_noise())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=take_part, args=(Share(k, count), port, tmp_path)) for k in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * count
    for rank in range(count):
        shared = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert float(shared.pop("mean")) == pytest.approx((count - 1) / 2)
        assert shared.keys() == alone.keys()
        for name, value in alone.items():
            torch.testing.assert_close(shared[name], value, rtol=1e-4, atol=1e-5, msg=f"{rank}: {name}")


def test_shares_are_of_one_size_and_have_nothing_in_common() -> None:
    items = np.arange(8)
    parts = [Share(rank, 3).of(items) for rank in range(3)]
    assert [len(part) for part in parts] == [2, 2, 2]
    assert sorted(np.concatenate(parts).tolist()) == list(range(6))
    assert Share().of([1, 2, 3]) == [1, 2, 3]


def test_a_process_alone_does_everything_itself() -> None:
    own = network()
    assert with_shared_norms(own) is own
    assert isinstance(own[1], nn.BatchNorm2d)
    assert average_numbers({"a": 2.0}, torch.device("cpu")) == {"a": 2.0}


def test_a_batch_that_cannot_be_divided_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_divisible(5, "run")
    monkeypatch.setattr("lightvad.shares._SHARES", [Share(0, 4)])
    check_divisible(8, "run", least=2)
    for batch in (6, 2, 4):
        with pytest.raises(LightvadError, match=f"run: a batch of {batch} cannot be divided among 4 devices"):
            check_divisible(batch, "run", least=2)
