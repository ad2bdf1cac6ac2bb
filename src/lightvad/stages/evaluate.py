"""From frame scores and regions to AUC under every named protocol, RBDC and TBDC."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lightvad.artifacts.atomic import remove_left
from lightvad.artifacts.documents import write_json, write_sealed
from lightvad.artifacts.locks import locked
from lightvad.artifacts.records import collect_records
from lightvad.artifacts.tables import EPOCH_SCORES, FRAME_SCORES, REGIONS, TRACKS, read_table
from lightvad.config import BEST_ON_TEST, EPOCH_SCORES_NAME, Protocol
from lightvad.errors import LightvadError
from lightvad.evaluation.auc import evaluate_protocol
from lightvad.evaluation.localization import rbdc_tbdc
from lightvad.layout import GATHERED, Run, clips_folder, record_path
from lightvad.progress import say
from lightvad.project import Project
from lightvad.resolution import measuring_stages, settings_of
from lightvad.stages.machine import Machine
from lightvad.stages.recording import recorded
from lightvad.video.clips import Clip, ClipStore, check_places


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
        settings = settings_of(project, run)
        best = _best_on_test(project, run, scores, protocols) if settings.kept_epochs else None
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
                "checkpoint": settings.chosen_checkpoint,
                "protocols": protocols,
                BEST_ON_TEST: best,
                "rbdc": rbdc,
                "tbdc": tbdc,
            },
        )
    told = (f"{name} {_percent(own['micro_auc'])} / {_percent(own['macro_auc'])}" for name, own in protocols.items())
    say(f"{run.folder / 'metrics.json'}: micro / macro AUC: {', '.join(told)}")
    with locked(folder / ".lock", what=run.folder.as_posix()):
        remove_left([folder / GATHERED])
        stages = [*measuring_stages(project, run), "evaluate"]
        for path in (record_path(run.folder, stage) for stage in stages):
            if not (project.root / path).is_file():
                say(f"warning: {path}: missing; {run.folder / GATHERED} will not say how this stage was done")
        write_sealed(folder / GATHERED, collect_records(folder, stages))


def _percent(auc: float | None) -> str:
    return "-" if auc is None else f"{100 * auc:.1f}"


def _best_on_test(
    project: Project, run: Run, last: pd.DataFrame, protocols: Mapping[Protocol, Mapping[str, Any]]
) -> dict[Protocol, dict[str, Any]]:
    """What the papers' choice of a checkpoint would give: of each protocol the epoch with the largest micro AUC.

    It looks at the test labels, and is shown beside the result, which is the last epoch's, never in its place.

    Args:
        project: the configuration.
        run: the run.
        last: scores of the last epoch, with labels.
        protocols: its measures.
    """
    settings, dataset = settings_of(project, run), project.dataset(run.dataset)
    path = project.root / run.folder / EPOCH_SCORES_NAME
    kept = read_table(path, EPOCH_SCORES)
    found: dict[int, pd.DataFrame] = {}
    for epoch in settings.kept_epochs:
        own = kept[kept["epoch"] == epoch].drop(columns="epoch")
        found[epoch] = own.merge(last.drop(columns="score"), on=["clip", "frame"], validate="one_to_one")
        if not len(own) == len(found[epoch]) == len(last):
            message = f"{path}: epoch {epoch} has {len(own)} scores for {len(last)} frames; run `lightvad score` again"
            raise LightvadError(message)
    best = {}
    for name, measured in protocols.items():
        candidates = {settings.training_epochs: measured}
        for epoch, scores in found.items():
            candidates[epoch] = evaluate_protocol(
                name, scores, smoothing=dataset.smoothing, fps=dataset.fps, bootstrap=0, seed=run.seed
            )
        defined = {epoch: one for epoch, one in candidates.items() if one["micro_auc"] is not None}
        if defined:
            chosen = max(sorted(defined), key=lambda epoch: defined[epoch]["micro_auc"])
            best[name] = {"epoch": chosen, **{key: defined[chosen][key] for key in ("micro_auc", "macro_auc")}}
    return best


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
