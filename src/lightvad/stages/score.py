"""Scores of one run: of every object (object methods) or of every test frame (frame methods)."""

import math

import pandas as pd

from lightvad.artifacts.arrays import Maps
from lightvad.artifacts.tables import REGIONS, write_table
from lightvad.evaluation.regions import regions_from_maps
from lightvad.layout import Run
from lightvad.methods.protocol import Job, part_of
from lightvad.progress import track
from lightvad.project import Project
from lightvad.stages.jobs import check_weights, job_of, needs_boxes
from lightvad.stages.machine import Machine
from lightvad.stages.recording import recorded


def run(project: Project, run: Run, machine: Machine) -> None:
    """Write the scores of `run` into its folder.

    Object methods: `object_scores.parquet`, all boxes of train and test. Frame methods: `frame_scores.parquet`,
    `maps.npz` and `regions.parquet`, test clips.

    Raises:
        LightvadError: an input is missing, or the weights are another run's or do not fit the settings.
    """
    machine.apply()
    with recorded(project, run, "score", machine=machine):
        check_weights(project, run)
        job = job_of(project, run, "score", machine)
        part_of(run.method, "scoring").score(job)
        if not needs_boxes(project, run.method):
            _write_regions(job)


def _write_regions(job: Job) -> None:
    """Boxes around what a frame method's finest map calls abnormal, for RBDC and TBDC."""
    with Maps(job.folder / "maps.npz") as maps:
        clips = job.clips.clips("test")
        names = {key.rpartition("/")[2] for key in maps.keys()}  # noqa: SIM118 - not a dict
        # `full` and `patches` are finer than any number.
        finest = max(names, key=lambda name: int(name) if name.isdigit() else math.inf)
        tables = [
            regions_from_maps(maps.read(clip.name, finest), clip=clip.name, frame_size=(clip.height, clip.width))
            for clip in track(clips, total=len(clips), what=f"{job.what} regions", unit="clips")
        ]
    write_table(job.folder / "regions.parquet", pd.concat(tables, ignore_index=True), REGIONS)
