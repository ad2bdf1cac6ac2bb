"""One training in several processes, each with its share of every batch.

Gradients, losses and the statistics of batch norms are averaged over the processes, so that all of them hold the
same network, and learn what one process would learn on the whole batch. `stages.devices` starts them.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from lightvad.errors import LightvadError

Indexed = TypeVar("Indexed", bound=Any)
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Share:
    """What one of several processes, which train one network together, does of the work.

    Attributes:
        rank: of the process, from 0; only what that of rank 0 writes is kept.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    def of(self, items: Indexed) -> Indexed:
        """Every `count`-th of the items of a batch (list, array, tensor).

        All shares are of one size; what is left over of a batch that cannot be divided is in none.
        """
        whole: Indexed = items[: len(items) // self.count * self.count]
        shared: Indexed = whole[self.rank :: self.count]
        return shared


WHOLE = Share()
_SHARES = [WHOLE]


def share() -> Share:
    """This process's share: all of it, but in a process that has joined others."""
    return _SHARES[-1]


def check_divisible(batch: int, what: str, *, least: int = 1) -> None:
    """Check that a batch can be divided among the processes.

    Args:
        batch: its size.
        what: is trained, for the message.
        least: items that a share needs.

    Raises:
        LightvadError: it cannot.
    """
    count = share().count
    if batch % count or batch // count < least:
        message = (
            f"{what}: a batch of {batch} cannot be divided among {count} devices ({least} or more for each); give other"
            " --devices, or another `batch` in the method's settings"
        )
        raise LightvadError(message)


def join(own: Share, port: int) -> None:
    """Take a share of a training; for a process that does nothing else.

    Args:
        own: its share.
        port: of this machine, at which the processes find each other.
    """
    _SHARES.append(own)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(own.rank),
    }


class _Sum(torch.autograd.Function):
    """The sum of a tensor over the processes; each has a part in the losses of all."""

    @staticmethod
    def forward(ctx: FunctionCtx, own: torch.Tensor) -> torch.Tensor:
        del ctx
        total = own.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: torch.Tensor) -> torch.Tensor:
        del ctx
        total = gradient.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total


def batch_norm(
    x: torch.Tensor,
    running_mean: torch.Tensor,
    running_variance: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    *,
    training: bool,
    momentum: float,
    epsilon: float,
) -> torch.Tensor:
    """Torch's `batch_norm`; in one of several processes its statistics in training are those of the whole batch.

    Args:
        x: (B, C, ...), any float.
        running_mean: (C,), changed in training.
        running_variance: (C,), changed in training.
        weight: (C,).
        bias: (C,).
        training: whether the batch's own statistics are taken.
        momentum: share of the batch in the running statistics.
        epsilon: added to the variance.

    Returns:
        The shape and dtype of `x`.
    """
    count = share().count
    if count == 1 or not training:
        return functional.batch_norm(x, running_mean, running_variance, weight, bias, training, momentum, epsilon)
    wide, over, shape = x.float(), [0, *range(2, x.dim())], (1, -1, *[1] * (x.dim() - 2))
    mean = _Sum.apply(wide.mean(over)) / count
    centred = wide - mean.view(shape)
    variance = _Sum.apply(centred.square().mean(over)) / count
    with torch.no_grad():
        values = count * x.numel() // x.shape[1]
        running_mean.lerp_(mean, momentum)
        running_variance.lerp_(variance * values / (values - 1), momentum)
    scale = torch.rsqrt(variance + epsilon) * weight
    return (centred * scale.view(shape) + bias.view(shape)).to(x.dtype)


class SharedBatchNorm(_BatchNorm):
    """Batch norm over the shares of all processes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, ...) -> the same shape and dtype."""
        assert self.num_batches_tracked is not None  # noqa: S101 - for mypy
        assert self.running_mean is not None  # noqa: S101
        assert self.running_var is not None  # noqa: S101
        if self.training:
            self.num_batches_tracked += 1
        momentum = self.momentum if self.momentum is not None else 1 / max(1, int(self.num_batches_tracked))
        return batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias,
            training=self.training, momentum=momentum, epsilon=self.eps,
        )  # fmt: skip

    def _check_input_dim(self, x: torch.Tensor) -> None:
        """Any number of dimensions."""


def with_shared_norms(network: Network) -> Network:
    """In one of several processes: the network with its batch norms replaced by shared ones; else as it is."""
    if share().count > 1:
        for module in list(network.modules()):
            for name, norm in list(module.named_children()):
                if isinstance(norm, _BatchNorm):
                    shared = SharedBatchNorm(norm.num_features, eps=norm.eps, momentum=norm.momentum)
                    shared.load_state_dict(norm.state_dict())
                    setattr(module, name, shared)
    return network


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Between `backward` and the optimiser's step: make the gradients those of all processes' shares together."""
    _average([parameter.grad for parameter in parameters if parameter.grad is not None])


def _average(tensors: Sequence[torch.Tensor]) -> None:
    """Replace tensors by their means over the processes, in one message."""
    if share().count == 1 or not tensors:
        return
    together = torch.cat([one.detach().reshape(-1) for one in tensors])
    torch.distributed.all_reduce(together)
    together /= share().count
    for one, mean in zip(tensors, together.split([one.numel() for one in tensors]), strict=True):
        one.detach().copy_(mean.view(one.shape))


def average_numbers(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """Numbers of one epoch as means over the processes.

    Args:
        values: the same names in the same order in every process.
        device: over which the processes exchange tensors.
    """
    if share().count == 1 or not values:
        return values
    found = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
    _average([found])
    return dict(zip(values, found.tolist(), strict=True))
