"""Engines: what runs a deployed network, behind one interface.

Every engine takes windows uint8 (B, H, W, 3F) on its device and gives float32 scores and maps on the CPU. `eager` and
`compiled` are PyTorch's, on CPU and GPU; `onnxruntime` and `openvino` run on the CPU.
"""

import copy
import shutil
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from lightvad.artifacts.exports import CONSTANTS, GRAPH, ONNX
from lightvad.compute import device_of
from lightvad.deploy.programs import Program
from lightvad.errors import LightvadError

ENGINES = ("eager", "compiled", "onnxruntime", "openvino")
FORM_OF = {"eager": "torch", "compiled": "torch", "onnxruntime": "onnx", "openvino": "openvino"}
"""The form of program that each engine runs."""
DEFAULT_ENGINE = {"torch": "eager", "onnx": "onnxruntime", "openvino": "openvino"}
OPENVINO_PRECISION = {"32-true": "f32", "bf16-mixed": "bf16", "int8": "bf16"}
"""In which float type OpenVINO runs what is not quantised."""
TORCH_PRECISION = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}

Scored = tuple[torch.Tensor, list[torch.Tensor]]
"""Scores float32 (B,) and one map float32 (B, r, r) per resolution, on the CPU."""


class Engine(Protocol):
    """What runs a network.

    Attributes:
        name: one of `ENGINES`.
        precision: e.g. `int8`.
        device: where windows are to lie.
    """

    name: str
    precision: str
    device: torch.device

    def run(self, windows: torch.Tensor) -> Scored:
        """Windows uint8 (B, H, W, 3F) RGB, previous to next -> scores and maps."""
        ...


def open_engine(program: Program, *, engine: str | None = None, device: str = "auto", threads: int) -> Engine:
    """The engine that runs a program.

    Args:
        program: what it is to run.
        engine: one of `ENGINES`; None: the one for the program's form.
        device: `auto`, `cpu` or `cuda`; ONNX Runtime and OpenVINO are here for the CPU only.
        threads: CPU threads.

    Raises:
        LightvadError: the engine does not run such a program, not on this device, or needs what is not installed.
    """
    name = engine or DEFAULT_ENGINE[program.form]
    if FORM_OF[name] != program.form:
        known = ", ".join(one for one in ENGINES if FORM_OF[one] == program.form)
        message = f"engine {name}: this export is written as {program.form}, which runs on {known}; export it again"
        raise LightvadError(message)
    if program.form == "torch":
        assert program.network is not None  # noqa: S101 - made with the program
        make = CompiledEngine if name == "compiled" else EagerEngine
        return make(program.network, program.precision, device_of(device))
    if device == "cuda":
        message = f"engine {name}: runs on the CPU here; use --device cpu, or export with --to torch for a GPU"
        raise LightvadError(message)
    if name == "onnxruntime":
        return OnnxEngine(program, threads)
    return OpenVinoEngine(program, threads)


class EagerEngine:
    """PyTorch, operation by operation, channels-last; precision as torch.autocast has it."""

    name = "eager"

    def __init__(self, network: nn.Module, precision: str, device: torch.device) -> None:
        self.precision = precision
        self.device = device
        kind = TORCH_PRECISION.get(precision)
        if kind is torch.float16 and device.type == "cpu":
            message = "precision 16-mixed: is for GPUs; export with --precision bf16-mixed for a CPU"
            raise LightvadError(message)
        self._network = copy.deepcopy(network).to(device).to(memory_format=torch.channels_last).eval()
        self._kind = kind
        self._call: Callable[[torch.Tensor], tuple[torch.Tensor, ...]] = self._network

    def run(self, windows: torch.Tensor) -> Scored:
        """Windows uint8 (B, H, W, 3F) -> scores and maps."""
        with torch.inference_mode(), torch.autocast(self.device.type, self._kind, enabled=self._kind is not None):
            scores, *maps = self._call(windows)
        return scores.cpu(), [one.cpu() for one in maps]


class CompiledEngine(EagerEngine):
    """PyTorch compiled by TorchInductor for each batch size; on a GPU with CUDA graphs.

    Raises:
        LightvadError: on a CPU, there is no C++ compiler.
    """

    name = "compiled"

    def __init__(self, network: nn.Module, precision: str, device: torch.device) -> None:
        if device.type == "cpu" and not any(shutil.which(one) for one in ("g++", "clang++", "c++")):
            message = "engine compiled: needs a C++ compiler (g++) on a CPU; install one, or use eager or openvino"
            raise LightvadError(message)
        super().__init__(network, precision, device)
        mode = "max-autotune" if device.type == "cuda" else "default"
        self._call = torch.compile(self._network, mode=mode, dynamic=False)


class OnnxEngine:
    """ONNX Runtime on the CPU, float32."""

    name = "onnxruntime"

    def __init__(self, program: Program, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        content = program.files[ONNX]
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.precision = program.precision
        self.device = torch.device("cpu")

    def run(self, windows: torch.Tensor) -> Scored:
        """Windows uint8 (B, H, W, 3F) -> scores and maps."""
        return _as_tensors(self._session.run(None, {self._input: windows.numpy()}))


class OpenVinoEngine:
    """OpenVINO on the CPU, compiled anew for each batch size: static shapes are faster.

    One window has all threads. Several are shared out among as many requests as there are threads, each on its own:
    no request waits for another at every layer (measured: some six in a hundred faster).
    """

    name = "openvino"

    def __init__(self, program: Program, threads: int) -> None:
        import openvino

        self._core = openvino.Core()
        self._model = self._core.read_model(program.files[GRAPH], program.files[CONSTANTS])
        self._threads = threads
        self._options = {
            "INFERENCE_PRECISION_HINT": OPENVINO_PRECISION[program.precision],
            "INFERENCE_NUM_THREADS": threads,
        }
        self._requests: dict[tuple[int, ...], list[Any]] = {}
        self.precision = program.precision
        self.device = torch.device("cpu")

    def run(self, windows: torch.Tensor) -> Scored:
        """Windows uint8 (B, H, W, 3F) -> scores and maps."""
        shape = tuple(windows.shape)
        if shape not in self._requests:
            self._requests[shape] = self._compiled(shape)
        requests = self._requests[shape]
        if len(requests) == 1:
            return _as_tensors(list(requests[0].infer([windows.numpy()], share_inputs=True).values()))
        for request, part in zip(requests, np.split(windows.numpy(), len(requests)), strict=True):
            request.start_async([part], share_inputs=True)
        found = []
        for request in requests:
            request.wait()
            found.append([output.data for output in request.output_tensors])
        return _as_tensors([np.concatenate(parts) for parts in zip(*found, strict=True)])

    def _compiled(self, shape: tuple[int, ...]) -> list[Any]:
        """The requests among which windows of this shape are shared out evenly."""
        parts = self._threads if shape[0] % self._threads == 0 else 1
        model = self._model.clone()
        model.reshape([shape[0] // parts, *shape[1:]])
        hint = {"PERFORMANCE_HINT": "LATENCY"} if parts == 1 else {"NUM_STREAMS": parts}
        compiled = self._core.compile_model(model, "CPU", self._options | hint)
        return [compiled.create_infer_request() for _ in range(parts)]


def _as_tensors(arrays: list[np.ndarray]) -> Scored:
    scores, *maps = (torch.from_numpy(np.asarray(one, np.float32)) for one in arrays)
    return scores, maps


def scores_of(engine: Engine, windows: Iterable[np.ndarray]) -> np.ndarray:
    """Raw scores float64 (N,) of windows uint8 (1, H, W, 3F), one by one."""
    found = [engine.run(torch.from_numpy(window).to(engine.device))[0].numpy() for window in windows]
    return np.concatenate(found).astype(np.float64)
