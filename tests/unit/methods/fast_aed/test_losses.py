"""Losses: values by hand, and who learns from what."""

import math

import pytest
import torch

from lightvad.methods.fast_aed.discriminator import Discriminator
from lightvad.methods.fast_aed.losses import OneForAll, PerTeacher, distillation_loss, map_loss

SIDES = (1, 4, 16)


def pyramid(value: float, *, batch: int = 2, grad: bool = False) -> list[torch.Tensor]:
    return [torch.full((batch, side, side), value, requires_grad=grad) for side in SIDES]


def gradient(loss: torch.Tensor, tensors: list[torch.Tensor]) -> float:
    found = torch.autograd.grad(loss, tensors, allow_unused=True)
    return sum(0.0 if one is None else float(one.abs().sum()) for one in found)


def test_the_map_loss_is_a_mean_over_area_summed_over_resolutions() -> None:
    assert map_loss(pyramid(0.5), pyramid(0.2)).item() == pytest.approx(3 * 0.3**2)
    one_cell = pyramid(0.0)
    one_cell[2][0, 3, 3] = 1.0
    assert map_loss(one_cell, pyramid(0.0)).item() == pytest.approx(1 / (2 * 16 * 16))


def test_teachers_are_weighted_and_an_only_branch_answers_to_all() -> None:
    teachers = [pyramid(0.2), pyramid(0.8)]
    assert distillation_loss([pyramid(0.5)], teachers, [1.0, 2.0]).item() == pytest.approx(3 * 3 * 0.3**2)
    branches = [pyramid(0.2), pyramid(0.5)]
    assert distillation_loss(branches, teachers, [1.0, 2.0]).item() == pytest.approx(2 * 3 * 0.3**2)


def adversaries(sees_fakes: bool = True) -> list[tuple[PerTeacher | OneForAll, list[torch.Tensor]]]:
    torch.manual_seed(1)
    two = [Discriminator(SIDES), Discriminator(SIDES)]
    one = Discriminator(SIDES, outputs=3)
    return [
        (PerTeacher(two, sees_fakes=sees_fakes), [p for network in two for p in network.parameters()]),
        (OneForAll(one, sees_fakes=sees_fakes), list(one.parameters())),
    ]


@pytest.mark.parametrize("branches", [1, 2])
@pytest.mark.parametrize("kind", [0, 1])
def test_the_discriminator_learns_from_fakes_but_the_student_not_from_its_loss(kind: int, branches: int) -> None:
    adversary, parameters = adversaries()[kind]
    fakes = [pyramid(0.7, grad=True) for _ in range(branches)]
    teachers = [pyramid(0.2), pyramid(0.3)]
    blind, blind_parameters = adversaries(sees_fakes=False)[kind]
    seeing = torch.autograd.grad(adversary.discriminator_loss(fakes, teachers), parameters)
    not_seeing = torch.autograd.grad(blind.discriminator_loss(fakes, teachers), blind_parameters)
    assert any(not torch.allclose(a, b) for a, b in zip(seeing, not_seeing, strict=True))
    leaves = [maps for branch in fakes for maps in branch]
    assert gradient(adversary.discriminator_loss(fakes, teachers), leaves) == 0
    assert gradient(adversary.student_loss(fakes), leaves) > 0


@pytest.mark.parametrize("kind", [0, 1])
def test_a_blind_discriminator_gets_no_gradient_from_the_fakes(kind: int) -> None:
    adversary, parameters = adversaries(sees_fakes=False)[kind]
    teachers = [pyramid(0.2), pyramid(0.3)]
    first = torch.autograd.grad(adversary.discriminator_loss([pyramid(0.1)], teachers), parameters)
    second = torch.autograd.grad(adversary.discriminator_loss([pyramid(0.9)], teachers), parameters)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_undecided_discriminators_cost_the_entropy_of_a_guess() -> None:
    for adversary, parameters in adversaries():
        for parameter in parameters:
            torch.nn.init.zeros_(parameter)
        fakes, teachers = [pyramid(0.5)], [pyramid(0.1), pyramid(0.9)]
        classes = 2 if isinstance(adversary, PerTeacher) else 3
        terms = 4 if isinstance(adversary, PerTeacher) else 3
        assert adversary.discriminator_loss(fakes, teachers).item() == pytest.approx(terms * math.log(classes))
        fooled = 2 * math.log(2) if isinstance(adversary, PerTeacher) else -math.log(2 / 3)
        assert adversary.student_loss(fakes).item() == pytest.approx(fooled)


def test_a_discriminator_learns_to_tell_maps_apart_only_if_it_sees_fakes() -> None:
    learned = {}
    for sees_fakes in (True, False):
        adversary, parameters = adversaries(sees_fakes)[0]
        optimizer = torch.optim.Adam(parameters, lr=1e-2)
        for _ in range(60):
            loss = adversary.discriminator_loss([pyramid(0.8)], [pyramid(0.2), pyramid(0.3)])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        learned[sees_fakes] = torch.sigmoid(adversary.discriminators[0](pyramid(0.8))).mean().item()
    assert learned[True] < 0.2
    # The released code's bug: it ends at "genuine" whatever it sees.
    assert learned[False] > 0.8
