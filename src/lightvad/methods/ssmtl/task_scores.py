"""Raw scores of the proxy tasks of SSMTL (sheet, section 5): training measures their spread, scoring their mean."""

from collections.abc import Sequence

import torch

from lightvad.methods.ssmtl.model import SSMTL, as_input, middle_of
from lightvad.methods.ssmtl.settings import Task


def task_scores(
    network: SSMTL, crops: torch.Tensor, targets: torch.Tensor, tasks: Sequence[Task], kd_score: str
) -> torch.Tensor:
    """Raw scores of `tasks`, each in [0, 1] but for features.

    s1 = P(backward), s2 = P(irregular), s3 = mean absolute error of the middle crop, s4 = mean absolute error of the
    class probabilities (`kd_score: both`: of the features too). Predicted probabilities are clipped to [0, 1], which
    keeps s4 there (project choice). Tasks 1 and 2 share one pass through the trunk.

    Args:
        network: in eval mode.
        crops: uint8 (B, 7, S, S, 3) RGB, consecutive.
        targets: float32 (B, classes + features) of task 4; only what `kd_score` compares is read.
        tasks: in the order of `settings.TASKS`.
        kd_score: `classes` or `both`.

    Returns:
        float32 (B, len(tasks)).
    """
    consecutive = as_input(crops)
    columns: list[torch.Tensor] = []
    motion = [task for task in ("arrow", "irregularity") if task in tasks]
    if motion:
        features = network.sequence_features(consecutive)
        columns += [getattr(network, task)(features).float().softmax(1)[:, 1] for task in motion]
    if "middle" in tasks:
        errors = network.predicted_middle(consecutive).float() - middle_of(consecutive)
        columns.append(errors.abs().mean((1, 2, 3)))
    if "distillation" in tasks:
        predicted = network.predicted_targets(consecutive).float()
        predicted[:, : network.classes].clamp_(0, 1)
        compared = network.classes if kd_score == "classes" and network.classes else predicted.shape[1]
        columns.append((predicted[:, :compared] - targets[:, :compared]).abs().mean(1))
    return torch.stack(columns, 1)
