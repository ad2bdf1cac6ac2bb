"""From frame scores and regions to AUC under every named protocol, RBDC and TBDC."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from lightvad.artifacts.atomic import remove_left
from lightvad.artifacts.documents import write_json, write_sealed
from lightvad.artifacts.locks import locked
from lightvad.artifacts.records import collect_records
from lightvad.artifacts.tables import FRAME_SCORES, REGIONS, TRACKS, read_table
from lightvad.errors import LightvadError
from lightvad.evaluation.auc import evaluate_protocol
from lightvad.evaluation.localization import rbdc_tbdc
from lightvad.layout import GATHERED, Run, clips_folder
from lightvad.project import Project
from lightvad.resolution import settings_of
from lightvad.stages.machine import Machine
from lightvad.stages.recording import recorded
from lightvad.video.clips import Clip, ClipStore, check_places

MEASURING_STAGES = ("pretrain", "train", "score", "maps", "evaluate")
"""Those of a run that lead to its metrics. A benchmark may come before or after them: its record stands alone."""


def run(project: Project, run: Run, machine: Machine) -> None:
    """Write `metrics.json`, and `record.json`, which gathers the records of the stages that led to it.

    Raises:
        LightvadError: scores are missing, NaN, or do not match the labels.
    """
    dataset = project.dataset(run.dataset)
    folder = project.root / run.folder
    with recorded(project, run, "evaluate", machine=machine):
        test = ClipStore(project.root / clips_folder(run.dataset)).clips("test")
        scores = _whole(folder / "frame_scores.parquet", test)
        bootstrap = project.budget(run.budget).bootstrap
        protocols = {
            name: evaluate_protocol(
                name, scores, smoothing=dataset.smoothing, fps=dataset.fps, bootstrap=bootstrap, seed=run.seed
            )
            for name in dataset.smoothing.protocols
        }
        tracks = _placed(project.root / clips_folder(run.dataset) / "tracks.parquet", TRACKS, test, "prepare")
        regions = _placed(folder / "regions.parquet", REGIONS, test, "score")
        rbdc, tbdc = rbdc_tbdc(tracks, regions, frames=len(scores))
        write_json(
            folder / "metrics.json",
            {
                "dataset": run.dataset,
                "method": run.method,
                "variant": run.variant,
                "seed": run.seed,
                "budget": run.budget,
                "checkpoint": settings_of(project, run).chosen_checkpoint,
                "protocols": protocols,
                "rbdc": rbdc,
                "tbdc": tbdc,
            },
        )
    with locked(folder / ".lock", what=run.folder.as_posix()):
        remove_left([folder / GATHERED])
        write_sealed(folder / GATHERED, collect_records(folder, MEASURING_STAGES))


def _placed(path: Path, schema: Mapping[str, str], clips: Sequence[Clip], stage: str) -> pd.DataFrame:
    """A table whose rows are about frames of `clips`; `stage` writes it."""
    table = read_table(path, schema)
    check_places(table, clips, path, f"run `lightvad {stage}` again")
    return table


def _whole(path: Path, clips: Sequence[Clip]) -> pd.DataFrame:
    """The frame scores of `clips`: of every frame of each, and of no other.

    Raises:
        LightvadError: a clip is missing, or has more or fewer scores than frames.
    """
    scores = _placed(path, FRAME_SCORES, clips, "score")
    found = scores["clip"].value_counts()
    for clip in clips:
        if found.get(clip.name, 0) != clip.frames:
            message = (
                f"{path}: clip {clip.name} has {found.get(clip.name, 0)} scores, but {clip.frames} frames;"
                " run `lightvad score` again (of an object method `lightvad maps`)"
            )
            raise LightvadError(message)
    return scores
