"""A detector: an engine with what its export says of windows, smoothing and threshold."""

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lightvad.artifacts.exports import WEIGHTS, Manifest, read_export
from lightvad.deploy.engines import Engine, Scored, open_engine
from lightvad.deploy.programs import Program
from lightvad.deploy.streams import Windows, offsets_at
from lightvad.methods.protocol import part_of
from lightvad.prefetch import read_ahead
from lightvad.project import parsed
from lightvad.smoothing import smooth_plain


@dataclass(frozen=True)
class Detector:
    """What scores video.

    Attributes:
        manifest: of the export.
        engine: that runs its network.
    """

    manifest: Manifest
    engine: Engine

    def windows(self, fps: float) -> Windows:
        """The windows of a new stream of this rate."""
        offsets = offsets_at(self.manifest.offsets, trained_fps=self.manifest.fps, fps=fps)
        return Windows(offsets, frame_size=self.manifest.frame_size, device=self.engine.device)

    def scored(self, frames: Iterable[np.ndarray], *, fps: float, batch: int = 1) -> Iterator[Scored]:
        """Scores and maps of a stream's frames in order, at most `batch` at a time; frames are read ahead.

        Args:
            frames: uint8 (H, W, 3) RGB.
            fps: their rate.
            batch: windows in one pass.
        """
        yield from in_batches(self.engine, self.windows(fps), frames, batch=batch)

    def scores(self, frames: Iterable[np.ndarray], *, fps: float, batch: int = 1) -> np.ndarray:
        """Raw scores float64 (T,) of a stream's frames."""
        found = [scores.numpy() for scores, _ in self.scored(frames, fps=fps, batch=batch)]
        return np.concatenate(found).astype(np.float64)

    def smoothed(self, scores: np.ndarray, fps: float) -> np.ndarray:
        """Raw scores (T,) -> smoothed ones, the `plain` protocol's."""
        return smooth_plain(scores, sigma=self.manifest.smoothing_seconds * fps)


def in_batches(engine: Engine, windows: Windows, frames: Iterable[np.ndarray], *, batch: int) -> Iterator[Scored]:
    """Scores and maps of a stream's frames in order, at most `batch` at a time; frames are read ahead by a thread."""
    waiting: list[torch.Tensor] = []
    for frame in itertools.chain(read_ahead(frames), [None]):
        waiting += windows.rest() if frame is None else windows.push(frame)
        while len(waiting) >= batch or (frame is None and waiting):
            yield engine.run(waiting[0][None] if batch == 1 else torch.stack(waiting[:batch]))
            del waiting[:batch]


def read_detector(path: Path, *, engine: str | None, device: str, threads: int) -> Detector:
    """The detector of an export.

    Args:
        path: a file that `lightvad export` wrote.
        engine: see `deploy.engines`; None: the one for the export's form.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads.

    Raises:
        LightvadError: the file is no export, is damaged, or the engine does not run it.
    """
    manifest, files = read_export(path)
    program = program_of(manifest, files, path)
    return Detector(manifest, open_engine(program, engine=engine, device=device, threads=threads))


def program_of(manifest: Manifest, files: dict[str, bytes], where: Path) -> Program:
    """The program that an export holds; a network of the form `torch` is made by its method from the weights."""
    if manifest.form != "torch":
        return Program(manifest.form, manifest.precision, files)
    model = part_of(manifest.method, "settings").Settings
    settings = parsed(model, manifest.settings, f"{where}: settings of {manifest.method}")
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, WEIGHTS)
        weights.write_bytes(files[WEIGHTS])
        network = part_of(manifest.method, "deployment").deployed(
            settings, frame_size=manifest.frame_size, resolutions=manifest.resolutions, weights=weights
        )
    return Program("torch", manifest.precision, files, network)
