"""What an export's precision costs: `python -m tests.measure.accuracy --run RUN --model EXPORT`.

The test split of the dataset is scored by the run's network in fp32 eager and by the export, whole: AUC under every
protocol of the dataset, and the largest difference of a raw score.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lightvad.artifacts.documents import write_json
from lightvad.artifacts.records import processor_name
from lightvad.deploy.detectors import Detector, read_detector
from lightvad.evaluation.auc import evaluate_protocol
from lightvad.layout import Run, clips_folder
from lightvad.project import Project
from lightvad.stages.export import FALSE_ALARMS, made
from lightvad.stages.machine import Machine
from lightvad.video.clips import ClipStore, read_labels


def main(arguments: list[str] | None = None) -> None:
    """Print a line for each protocol; write everything to `--out`."""
    parser = argparse.ArgumentParser(prog="python -m tests.measure.accuracy", description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--model", type=Path, required=True, help="an export of that run")
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file")
    options = parser.parse_args(arguments)
    project, run, machine = Project(options.root, tuple(options.overrides)), Run.parse(options.run), Machine("cpu")
    machine.apply()
    dataset = project.dataset(run.dataset)
    clips = ClipStore(project.root / clips_folder(run.dataset))
    labels = read_labels(clips)
    reference, _ = made(project, run, machine, to="torch", precision="32-true", per_hour=FALSE_ALARMS)
    export = read_detector(options.model, engine=None, device="cpu", threads=machine.cores)
    begun = time.monotonic()
    scores = {name: of_split(one, clips) for name, one in (("fp32 eager", reference), ("export", export))}
    difference = float((scores["export"]["score"] - scores["fp32 eager"]["score"]).abs().max())
    found: dict[str, Any] = {}
    for protocol in dataset.smoothing.protocols:
        for name, table in scores.items():
            result = evaluate_protocol(
                protocol, table.merge(labels, on=["clip", "frame"]), smoothing=dataset.smoothing, fps=dataset.fps,
                bootstrap=0, seed=0,
            )  # fmt: skip
            found.setdefault(protocol, {})[name] = {key: result[key] for key in ("micro_auc", "macro_auc")}
        micro = [100 * found[protocol][name]["micro_auc"] for name in scores]
        gained = micro[1] - micro[0]
        print(f"{protocol}: micro AUC {micro[0]:.2f} in fp32 eager, {micro[1]:.2f} of the export ({gained:+.3f})")
    spread = float(scores["fp32 eager"]["score"].std())
    frames = len(scores["export"])
    print(f"{frames} frames, largest difference of a raw score {difference:.3g} (standard deviation {spread:.3g})")
    write_json(
        options.out,
        {
            "device": processor_name(), "run": options.run, "engine": export.engine.name,
            "precision": export.engine.precision, "protocols": found, "frames": frames,
            "largest_score_difference": difference, "score_deviation": spread, "seconds": time.monotonic() - begun,
        },
    )  # fmt: skip


def of_split(detector: Detector, clips: ClipStore) -> pd.DataFrame:
    """Raw scores of the test split: clip, frame, score."""
    parts = []
    for clip in clips.clips("test"):
        scores = detector.scores(clips.sequential(clip.name), fps=clip.fps)
        parts.append(pd.DataFrame({"clip": clip.name, "frame": np.arange(clip.frames), "score": scores}))
    return pd.concat(parts, ignore_index=True)


if __name__ == "__main__":
    main()
