"""A deployed network as a program: what an export holds and an engine runs."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lightvad.artifacts.exports import CONSTANTS, GRAPH, ONNX

IN_FLOAT = ("Add", "Subtract", "Multiply", "Divide", "Power", "Sqrt", "ReduceMean")
"""OpenVINO's operations that int8 leaves alone."""


@dataclass(frozen=True)
class Program:
    """A network that an engine can run.

    Attributes:
        form: `torch`, `onnx` or `openvino`.
        precision: one of the form's.
        files: bytes by name; for `torch` the weights, `network` is made from them by the method.
        network: of `torch`: windows uint8 (B, H, W, 3F) -> (scores, map, ...).
    """

    form: str
    precision: str
    files: dict[str, bytes]
    network: nn.Module | None = None


def program_in(
    form: str,
    network: nn.Module,
    *,
    window_shape: tuple[int, int, int],
    precision: str,
    calibration: Sequence[np.ndarray] = (),
) -> Program:
    """The network as `onnx` or `openvino`; see `onnx_program` and `openvino_program`.

    Args:
        form: of the program.
        network: windows uint8 (B, H, W, 3F) -> (scores, map, ...), on the CPU, in evaluation mode.
        window_shape: (H, W, 3F).
        precision: one of the form's.
        calibration: of int8.
    """
    example = torch.zeros((2, *window_shape), dtype=torch.uint8)
    if form == "onnx":
        return onnx_program(network, example)
    return openvino_program(network, example, precision=precision, calibration=calibration)


def onnx_program(network: nn.Module, example: torch.Tensor) -> Program:
    """The network as ONNX, float32, any batch.

    Args:
        network: windows uint8 (B, H, W, 3F) -> (scores, map, ...), on the CPU, in evaluation mode.
        example: a batch of at least two windows.
    """
    with _quietly():
        exported = torch.onnx.export(_traced(network, example), dynamo=True, verbose=False)
    assert exported is not None  # noqa: S101 - only a path makes it None
    return Program("onnx", "32-true", {ONNX: exported.model_proto.SerializeToString()})


def openvino_program(
    network: nn.Module, example: torch.Tensor, *, precision: str, calibration: Sequence[np.ndarray] = ()
) -> Program:
    """The network as OpenVINO's intermediate representation, any batch.

    Args:
        network: windows uint8 (B, H, W, 3F) -> (scores, map, ...), on the CPU, in evaluation mode.
        example: a batch of at least two windows.
        precision: `32-true` and `bf16-mixed` differ in how they are run only; `int8` quantises weights and activations.
        calibration: of int8: windows uint8 (1, H, W, 3F) from which the ranges of activations are taken.
    """
    import openvino

    with _quietly():
        model = openvino.convert_model(_traced(network, example))
        if precision == "int8":
            model = _quantised(model, calibration)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, GRAPH)
        openvino.save_model(model, path, compress_to_fp16=False)
        files = {name: Path(folder, name).read_bytes() for name in (GRAPH, CONSTANTS)}
    return Program("openvino", precision, files)


def _quantised(model: Any, calibration: Sequence[np.ndarray]) -> Any:
    """Post-training quantisation by NNCF: convolutions and matrix products only; weights per channel.

    Sums, products and means stay in float: the residual stream and the variances of layer norms have tails that eight
    bits do not hold. Ranges are the extremes that were seen, as a score is a maximum; biases are corrected one by one.
    """
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    nncf.set_log_level(logging.ERROR)
    return nncf.quantize(
        model,
        nncf.Dataset(list(calibration)),
        subset_size=len(calibration),
        fast_bias_correction=False,
        ignored_scope=nncf.IgnoredScope(types=list(IN_FLOAT), validate=False),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
        ),
    )


def _traced(network: nn.Module, example: torch.Tensor) -> torch.export.ExportedProgram:
    with torch.no_grad():
        return torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what converters print of their own insides."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
