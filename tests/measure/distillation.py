"""The student's training beside a plain loop: `python -m tests.measure.distillation --run RUN`, RUN with its teachers.

The plain loop reads the three frames of every window from disk (PNG files of the size at which the network sees them),
makes them float32, and trains in fp32, in PyTorch's own layout; everything else (network, losses, adversary, averaged
weights, windows) is the same. Both are timed in one process, some batches of one, some of the other.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from lightvad.artifacts.documents import write_json
from lightvad.artifacts.records import processor_name
from lightvad.layout import Run
from lightvad.methods.fast_aed.batches import Batch
from lightvad.methods.fast_aed.training import Distillation, distillation_of
from lightvad.prefetch import AHEAD, read_ahead
from lightvad.project import Project
from lightvad.stages.jobs import job_of
from lightvad.stages.machine import Machine
from lightvad.training_loop import launch
from lightvad.video.clips import ClipStore
from lightvad.video.windows import resized, window_indices

NOT_COUNTED = AHEAD + 1
"""Batches of a turn: the first ones were read while the other loop ran."""


def main(arguments: list[str] | None = None) -> None:
    """Print windows a second of both loops, the share of waiting for data in ours, and the ratio."""
    parser = argparse.ArgumentParser(prog="python -m tests.measure.distillation", description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--batches", type=int, default=6, help="of a loop in a turn, after those that are not counted")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file")
    options = parser.parse_args(arguments)
    project, machine = Project(options.root, tuple(options.overrides)), Machine("auto", options.threads)
    machine.apply()
    with tempfile.TemporaryDirectory() as name:
        job = replace(job_of(project, Run.parse(options.run), "train", machine), folder=Path(name))
        ours = distillation_of(job, launch(job.device, job.settings.precision))
        plain = distillation_of(job, launch(job.device, "32-true"))
        plain.student.to(memory_format=torch.contiguous_format)
        frames = Path(name, "frames")
        extract(job.clips, frames, job.frame_size)
        loops = {
            "ours": (ours, (batch for epoch in itertools.count() for batch in read_ahead(ours.batches.epoch(epoch)))),
            "plain": (plain, (batch for epoch in itertools.count() for batch in plain_batches(plain, epoch, frames))),
        }
        waited: dict[str, list[float]] = {loop: [] for loop in loops}
        spent: dict[str, list[float]] = {loop: [] for loop in loops}
        for _ in range(options.turns):
            for loop, (phase, batches) in loops.items():
                for k in range(NOT_COUNTED + options.batches):
                    begun = time.perf_counter()
                    batch = next(batches)
                    read = time.perf_counter()
                    phase.step(batch)
                    if k >= NOT_COUNTED:
                        waited[loop].append(read - begun)
                        spent[loop].append(time.perf_counter() - begun)
    size = job.settings.training.batch
    rates = {loop: size / statistics.median(seconds) for loop, seconds in spent.items()}
    waiting = {loop: sum(waited[loop]) / sum(spent[loop]) for loop in loops}
    precision = job.settings.precision
    write_json(
        options.out,
        {
            "device": processor_name(), "threads": machine.cores, "run": options.run, "batch": size,
            "frame_size": list(job.frame_size), "precision": {"ours": precision, "plain": "32-true"},
            "windows_per_second": rates, "waiting_for_data": waiting, "ratio": rates["ours"] / rates["plain"],
        },
    )  # fmt: skip
    told = (
        f"{loop} {rates[loop]:.1f} windows/s, {100 * waiting[loop]:.1f} % of the time without data" for loop in loops
    )
    print(f"{options.run}: {'; '.join(told)}; ratio {rates['ours'] / rates['plain']:.2f} ({precision} over 32-true)")


def extract(clips: ClipStore, folder: Path, frame_size: tuple[int, int]) -> None:
    """Every training frame as a PNG file."""
    for clip in clips.clips("train"):
        (folder / clip.name).mkdir(parents=True)
        for t, frame in enumerate(clips.sequential(clip.name)):
            cv2.imwrite(str(folder / clip.name / f"{t:05d}.png"), resized(frame, frame_size)[..., ::-1])


def plain_batches(phase: Distillation, epoch: int, folder: Path) -> Iterator[Batch]:
    """The batches of an epoch, each read when it is asked for: frames float32 (B, 3F, h, w), gray levels."""
    batches = phase.batches
    order = np.random.default_rng([batches.seed, epoch]).permutation(len(batches.places))
    for index in range(len(batches)):
        places = [batches.places[k] for k in order[index * batches.batch : (index + 1) * batches.batch]]
        windows = []
        for clip, t in places:
            moments = window_indices(t, batches.reader.offsets, batches.reader.clips[clip].frames, "current")
            images = [cv2.imread(str(folder / clip / f"{one:05d}.png"))[..., ::-1] for one in moments]
            windows.append(np.concatenate([image.astype(np.float32).transpose(2, 0, 1) for image in images]))
        targets = batches.targets.read(places) if batches.targets is not None else []
        yield Batch(index, torch.from_numpy(np.stack(windows)), targets, torch.zeros(len(places), dtype=torch.bool))


if __name__ == "__main__":
    main()
