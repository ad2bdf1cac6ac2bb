"""From the runs' scores, maps, metrics and speed to a figure of a paper: PNG, PDF and the CSV it was drawn from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Canvas

from lightvad.artifacts.documents import write_csv
from lightvad.config import Experiment, Figure
from lightvad.errors import LightvadError
from lightvad.layout import clips_folder, figures_folder
from lightvad.project import Project
from lightvad.reporting import anomaly_maps, drawn_frames, score_curves, speed_accuracy, sweep
from lightvad.reporting.captions import data_note, titles_of
from lightvad.reporting.selection import Shown, figure_documents, figure_inputs
from lightvad.reporting.shown_frames import clips_shown, frame_strip
from lightvad.reporting.style import styled, write_figure
from lightvad.resolution import table_slice
from lightvad.stages.recording import options_of, recorded_result
from lightvad.video.clips import ClipStore

Rows = list[dict[str, Any]]


def run(
    project: Project,
    *,
    paper: str,
    number: str,
    datasets: tuple[str, ...],
    budget: str,
    seeds: tuple[int, ...],
    root: Path,
) -> None:
    """Write `figureN.png`, `.pdf` and `.csv` under results/figures/DATASETS/BUDGET/PAPER.

    Raises:
        LightvadError: the paper has no such figure here, or an input is missing or damaged.
    """
    experiment = project.experiment(paper)
    figure = figure_of(experiment, number)
    shown = Shown(project, experiment, datasets, budget, seeds, root)
    read: dict[str, Any] = {"datasets": datasets, "budget": budget, "seeds": seeds}
    name = figures_folder(datasets, budget, paper) / f"figure{number}.csv"
    path = root / name
    record = recorded_result(
        project,
        "figure",
        name=path.stem,
        options=options_of(paper=paper, number=number, datasets=datasets, budget=budget, seeds=seeds),
        config=table_slice(
            project, paper=paper, kind="figures", number=number, datasets=datasets, budget=budget, seeds=seeds
        ),
        inputs=[*figure_inputs(figure, **read), *figure_documents(figure, **read)],
        outputs=[name.with_suffix(f".{suffix}") for suffix in ("png", "pdf", "csv")],
        root=root,
    )
    with record, styled():
        canvas, rows, columns = _drawn(shown, figure, number)
        write_csv(path, rows, columns)
        write_figure(canvas, [path.with_suffix(".png"), path.with_suffix(".pdf")])


def _drawn(shown: Shown, figure: Figure, number: str) -> tuple[Canvas, Rows, Sequence[str]]:
    """The figure, the lines of its CSV and their columns."""
    spent, notes = shown.project.budget(shown.budget).title, {name: data_note(shown, name) for name in shown.datasets}
    titles = {name: f"{title}, budget {spent}" for name, title in titles_of(shown).items()}
    if figure.kind == "speed_accuracy":
        points = speed_accuracy.points_of(shown, figure)
        return speed_accuracy.draw(points, titles, notes), speed_accuracy.rows_of(points), speed_accuracy.COLUMNS
    if figure.kind == "sweep":
        swept = sweep.points_of(shown, figure)
        return sweep.draw(swept, figure, titles, notes), sweep.rows_of(swept), sweep.COLUMNS
    stores = {name: ClipStore(shown.root / clips_folder(name)) for name in shown.datasets}
    if figure.kind == "pasted_objects":
        kept = {name: drawn_frames.pasted(shown, figure, name) for name in shown.datasets}
        summary = drawn_frames.values_of(kept, drawn_frames.PARTS_OF_PASTED)
        return drawn_frames.draw_pasted(kept, titles, notes), rows_of(summary), drawn_frames.COLUMNS
    clips = {name: clips_shown(shown, figure, number, name, store) for name, store in stores.items()}
    if figure.kind == "score_curves":
        curves = score_curves.curves_of(shown, figure, {name: own[0] for name, own in clips.items()})
        strips = {}
        for name, store in stores.items():
            frames = score_curves.spread_frames(store[clips[name][0]].frames)
            strips[name] = frame_strip(store, clips[name][0], frames)
        return score_curves.draw(curves, strips, titles, notes), rows_of(curves), score_curves.COLUMNS
    if figure.kind == "reconstructions":
        kept = {name: drawn_frames.reconstructed(shown, figure, name, own) for name, own in clips.items()}
        shots = {name: [frame_strip(stores[name], f.clip, [f.frame]) for f in own] for name, own in kept.items()}
        canvas = drawn_frames.draw_reconstructions(kept, shots, figure, titles, notes)
        return canvas, rows_of(drawn_frames.values_of(kept, figure.parts)), drawn_frames.COLUMNS
    chosen = {name: anomaly_maps.frames_shown(shown, figure, name, own) for name, own in clips.items()}
    values = anomaly_maps.maps_of(shown, figure, chosen)
    shots = {name: [frame_strip(stores[name], clip, [t]) for clip, t in own] for name, own in chosen.items()}
    return anomaly_maps.draw(values, shots, titles, notes), rows_of(values), anomaly_maps.COLUMNS


def rows_of(table: pd.DataFrame) -> Rows:
    """The lines of a figure's CSV; numbers with ten significant digits, so that the bytes depend on the data alone."""
    return [
        {str(name): f"{value:.10g}" if isinstance(value, float) else value for name, value in record.items()}
        for record in table.to_dict("records")
    ]


def figure_of(experiment: Experiment, number: str) -> Figure:
    """The figure of this number.

    Raises:
        LightvadError: the experiment file has none.
    """
    if number not in experiment.figures:
        known = ", ".join(experiment.figures)
        message = f"config/experiments/{experiment.name}.yaml: no figure {number}; it has {known}"
        raise LightvadError(message)
    return experiment.figures[number]
