"""From frame scores and regions to AUC under every named protocol, RBDC and TBDC."""

from lightvad.artifacts.documents import write_json
from lightvad.artifacts.records import collect_records
from lightvad.artifacts.tables import FRAME_SCORES, REGIONS, TRACKS, read_table
from lightvad.evaluation.auc import evaluate_protocol
from lightvad.evaluation.localization import rbdc_tbdc
from lightvad.layout import Run, clips_folder
from lightvad.project import Project
from lightvad.resolution import settings_of
from lightvad.stages.machine import Machine
from lightvad.stages.recording import recorded

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
        scores = read_table(folder / "frame_scores.parquet", FRAME_SCORES)
        bootstrap = project.budget(run.budget).bootstrap
        protocols = {
            name: evaluate_protocol(
                name, scores, smoothing=dataset.smoothing, fps=dataset.fps, bootstrap=bootstrap, seed=run.seed
            )
            for name in dataset.smoothing.protocols
        }
        tracks = read_table(project.root / clips_folder(run.dataset) / "tracks.parquet", TRACKS)
        rbdc, tbdc = rbdc_tbdc(tracks, read_table(folder / "regions.parquet", REGIONS), frames=len(scores))
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
    write_json(folder / "record.json", collect_records(folder, MEASURING_STAGES))
