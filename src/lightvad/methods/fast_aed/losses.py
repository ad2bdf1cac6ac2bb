"""Losses of distillation (Fast-AED, Eqs. 3-7). Maps come as lists with one tensor (B, r, r) per resolution."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

Maps = Sequence[torch.Tensor]


def map_loss(student: Maps, teacher: Maps) -> torch.Tensor:
    """Eq. 3: squared difference of the maps, mean over batch and area, summed over resolutions."""
    return torch.stack([F.mse_loss(mine, his) for mine, his in zip(student, teacher, strict=True)]).sum()


def distillation_loss(branches: Sequence[Maps], teachers: Sequence[Maps], weights: Sequence[float]) -> torch.Tensor:
    """Eq. 4: the teachers' map losses, weighted and summed; a single branch answers to every teacher."""
    losses = [
        weight * map_loss(branch_of(branches, k), teacher)
        for k, (teacher, weight) in enumerate(zip(teachers, weights, strict=True))
    ]
    return torch.stack(losses).sum()


def branch_of(branches: Sequence[Maps], teacher: int) -> Maps:
    """The student's maps that answer to a teacher: its own branch, or the only one."""
    return branches[teacher] if len(branches) > 1 else branches[0]


class PerTeacher:
    """A real/fake discriminator per teacher: binary cross-entropy, the student's maps are the fakes (Eqs. 5-6).

    Args:
        discriminators: one network of one output per teacher.
        sees_fakes: False imitates the released code, whose fake term has no gradient.
    """

    def __init__(self, discriminators: Sequence[nn.Module], *, sees_fakes: bool) -> None:
        self.discriminators = discriminators
        self.sees_fakes = sees_fakes

    def discriminator_loss(self, branches: Sequence[Maps], teachers: Sequence[Maps]) -> torch.Tensor:
        """What the discriminators minimise; the student's maps are taken as constants."""
        losses = []
        for k, (discriminator, teacher) in enumerate(zip(self.discriminators, teachers, strict=True)):
            genuine = discriminator(teacher)
            fake = discriminator([maps.detach() for maps in branch_of(branches, k)])
            fake = fake if self.sees_fakes else fake.detach()
            losses += [_towards(genuine, 1.0), _towards(fake, 0.0)]
        return torch.stack(losses).sum()

    def student_loss(self, branches: Sequence[Maps]) -> torch.Tensor:
        """What the student minimises, non-saturating: its maps are to pass for each teacher's."""
        losses = [
            _towards(discriminator(branch_of(branches, k)), 1.0) for k, discriminator in enumerate(self.discriminators)
        ]
        return torch.stack(losses).sum()


class OneForAll:
    """One discriminator with a softmax over the student (class 0) and all teachers (Table 6).

    Args:
        discriminator: a network of 1 + teachers outputs.
        sees_fakes: False leaves out the gradient of the term on the student's maps, as the released code does.
    """

    def __init__(self, discriminator: nn.Module, *, sees_fakes: bool) -> None:
        self.discriminator = discriminator
        self.sees_fakes = sees_fakes

    def discriminator_loss(self, branches: Sequence[Maps], teachers: Sequence[Maps]) -> torch.Tensor:
        """Cross-entropy of telling the student and every teacher apart; the student's maps are taken as constants."""
        losses = [_class(self.discriminator(teacher), k + 1) for k, teacher in enumerate(teachers)]
        for branch in branches:
            logits = self.discriminator([maps.detach() for maps in branch])
            losses.append(_class(logits if self.sees_fakes else logits.detach(), 0) / len(branches))
        return torch.stack(losses).sum()

    def student_loss(self, branches: Sequence[Maps]) -> torch.Tensor:
        """A teacher's own branch is to pass for its maps, an only branch for those of any teacher (project choice)."""
        if len(branches) > 1:
            losses = [_class(self.discriminator(branch), k + 1) for k, branch in enumerate(branches)]
            return torch.stack(losses).sum()
        return -F.log_softmax(self.discriminator(branches[0]), dim=1)[:, 1:].logsumexp(1).mean()


def _towards(logits: torch.Tensor, label: float) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def _class(logits: torch.Tensor, label: int) -> torch.Tensor:
    return F.cross_entropy(logits, torch.full((len(logits),), label, device=logits.device))
