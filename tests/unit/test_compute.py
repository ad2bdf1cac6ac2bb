"""Where a network runs, and that scoring does without the libraries that only trainings need."""

import subprocess
import sys

import pytest
import torch

from lightvad.compute import Compute, device_of
from lightvad.errors import LightvadError


def test_auto_is_the_gpu_where_there_is_one_and_cpu_is_always_the_cpu() -> None:
    assert device_of("cpu") == torch.device("cpu")
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line() -> None:
    with pytest.raises(LightvadError, match="cuda was asked for but torch sees no GPU; use --device cpu or auto"):
        device_of("cuda")


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_precision_is_that_of_a_product(precision: str, dtype: torch.dtype) -> None:
    with Compute.on("cpu", precision).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize("method", ["fast_aed", "background_agnostic", "ssmtl"])
def test_scoring_starts_without_what_only_trainings_need(method: str) -> None:
    code = (
        f"import sys, lightvad.stages.score, lightvad.methods.{method}.scoring;"
        "print([name for name in ('lightning_fabric', 'torchvision', 'torch._dynamo') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
