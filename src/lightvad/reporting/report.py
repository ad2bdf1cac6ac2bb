"""The report page: one HTML file that shows every table and figure, and what each number was made from."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from lightvad.artifacts.documents import read_csv
from lightvad.artifacts.records import SHORT
from lightvad.config import Experiment, Figure, Table
from lightvad.errors import LightvadError
from lightvad.layout import GATHERED, Run, clips_folder, figures_folder, tables_folder
from lightvad.project import Project
from lightvad.reporting.captions import data_note, figure_caption, speed_sentences, titles_of
from lightvad.reporting.costs import complexities
from lightvad.reporting.interactive import Drawing, score_plots, speed_plots, webp
from lightvad.reporting.results import document, finished, recorded
from lightvad.reporting.selection import Shown, complexity_runs, report_runs, runs_of, timed_row
from lightvad.reporting.speed_factors import SCOPES, rate, speed_rows
from lightvad.reporting.tables import REBUILT, Block, blocks_of, filled, folded
from lightvad.reporting.typesetting import caption_of
from lightvad.video.clips import ClipStore

PHOTOGRAPH, LOSSLESS = 88, 101
"""Quality of the pictures' WebP: of anomaly maps over frames, and of drawn lines."""


@dataclass(frozen=True)
class TableView:
    """A table as the page shows it: each dataset's block with what all its measured rows share."""

    name: str
    anchor: str
    title: str
    blocks: Sequence[tuple[Block, str]]
    caption: Sequence[str]


@dataclass(frozen=True)
class FigureView:
    """A figure as the page shows it; `image` is its picture (WebP in base64), `drawings` what stands in its place."""

    name: str
    anchor: str
    title: str
    image: str
    drawings: Sequence[Drawing]
    runs: Sequence[Run]
    caption: Sequence[str]
    wide: bool


def page(
    project: Project,
    experiments: Sequence[Experiment],
    *,
    datasets: tuple[str, ...],
    budget: str,
    seeds: tuple[int, ...],
    root: Path,
) -> str:
    """The page's HTML; it refers to no other file.

    Raises:
        LightvadError: a table, a figure or a run's document is missing; the line says what to run.
    """
    shown = [Shown(project, experiment, datasets, budget, seeds, root) for experiment in experiments]
    runs = report_runs(experiments, datasets=datasets, budget=budget, seeds=seeds)
    timed = complexity_runs(experiments, datasets=datasets, budget=budget, seeds=seeds)
    environment = Environment(
        loader=PackageLoader("lightvad.reporting"),
        autoescape=select_autoescape(["html.j2"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        style=_embedded("report.css"),
        script=_embedded("report.js"),
        charts=_embedded("chart.umd.min.js"),
        anchor=anchor_of,
        rebuilt=REBUILT,
        several=len(datasets) > 1,
        datasets=[(title, name, data_note(shown[0], name)) for name, title in titles_of(shown[0]).items()],
        budget=project.budget(budget),
        seeds=", ".join(map(str, seeds)),
        devices=recorded(root, runs, "device"),
        date=finished(root, runs),
        papers=[experiment.title for experiment in experiments],
        factors=[sentence for one in shown for sentence in factors_of(one)],
        complexity=[line for run in timed for line in _complexity(root, run)],
        speed=[_speed_line(run.dataset, row) for run in timed for row in speed_rows(root, run)],
        tables=[table for one in shown for table in tables_of(one)],
        figures=[figure for one in shown for figure in figures_of(one)],
        records=[(run, _record(root, run)) for run in runs],
    )


def factors_of(shown: Shown) -> list[str]:
    """The student's speed factors, once for each paper."""
    entries: list[Table | Figure] = [*shown.experiment.figures.values(), *shown.experiment.tables.values()]
    found = [speed_sentences(shown, entry.rows) for entry in entries if timed_row(entry.rows) is not None]
    return max(found, key=len, default=[])


def tables_of(shown: Shown) -> list[TableView]:
    """The tables of one paper, from their CSV, with the captions of their Markdown."""
    folder = tables_folder(shown.datasets, shown.budget, shown.experiment.name)
    views = []
    for number, table in shown.experiment.tables.items():
        lines = read_csv(_present(shown.root, folder / f"table{number}.csv"))
        blocks = [folded(filled(block)) for block in blocks_of(lines, table, titles_of(shown))]
        views.append(
            TableView(
                f"Table {number}",
                f"{shown.experiment.name}-table{number}",
                table.title,
                blocks,
                caption_of(shown.root / folder / f"table{number}.md"),
            )
        )
    return views


def figures_of(shown: Shown) -> list[FigureView]:
    """The figures of one paper; those drawn from the same numbers are shown once, under both names."""
    folder = figures_folder(shown.datasets, shown.budget, shown.experiment.name)
    same: dict[str, list[str]] = {}
    for number in shown.experiment.figures:
        content = _present(shown.root, folder / f"figure{number}.csv").read_text()
        same.setdefault(content, []).append(number)
    views = []
    for content, numbers in same.items():
        figure = shown.experiment.figures[numbers[0]]
        picture = _picture(shown.root, folder / f"figure{numbers[0]}.png")
        wide = figure.shows_pictures
        titles = dict.fromkeys(shown.experiment.figures[number].title for number in numbers)
        views.append(
            FigureView(
                name=f"Figure{'s' if len(numbers) > 1 else ''} {' and '.join(numbers)}",
                anchor=f"{shown.experiment.name}-figure{numbers[0]}",
                title="; ".join(titles),
                image=webp(picture, PHOTOGRAPH if wide else LOSSLESS),
                drawings=_drawings(shown, figure, content),
                runs=runs_of(figure, datasets=shown.datasets, budget=shown.budget, seeds=shown.seeds),
                caption=figure_caption(shown, figure),
                wide=wide,
            )
        )
    return views


def _drawings(shown: Shown, figure: Figure, content: str) -> list[Drawing]:
    """What the page draws itself from a figure's CSV, whose text is `content`."""
    lines = list(csv.DictReader(content.splitlines()))
    if figure.kind == "speed_accuracy":
        return speed_plots(lines, titles_of(shown))
    if figure.kind == "score_curves":
        stores = {name: ClipStore(shown.root / clips_folder(name)) for name in shown.datasets}
        return score_plots(lines, titles_of(shown), stores)
    return []


def anchor_of(run: Run) -> str:
    """The name of a run's place on the page."""
    return run.folder.as_posix().removeprefix("results/runs/").replace("/", "-")


def _embedded(name: str) -> Markup:
    """A style sheet or script of the templates' folder, as it goes into the page; source maps are not there."""
    text = files("lightvad.reporting").joinpath("templates", name).read_text("utf-8")
    return Markup(re.sub(r"//# sourceMappingURL=.*", "", text))  # noqa: S704 - our own files, no one's input


def _picture(root: Path, path: Path) -> np.ndarray:
    image = cv2.imread(str(_present(root, path)))
    if image is None:
        message = f"{path}: not a whole picture; run `snakemake --cores 2 --force {path}`"
        raise LightvadError(message)
    return image


def _present(root: Path, path: Path) -> Path:
    if not (root / path).is_file():
        message = f"{path}: missing; run `snakemake --cores 2 {path}`"
        raise LightvadError(message)
    return root / path


def _complexity(root: Path, run: Run) -> list[dict[str, str]]:
    """Size and cost of a run, and of what was timed beside it."""
    return [
        {
            "method": f"{content['method']}/{content['variant']}",
            "dataset": run.dataset,
            "parameters": f"{content['parameters']:,}",
            "gflops": f"{content['gflops']:.2f}",
            "input": " x ".join(str(side) for side in content["input"]),
            "detector": str(content.get("detector") or "-"),
            "detector_parameters": f"{content.get('detector_parameters') or 0:,}",
            "detector_gflops": f"{content['detector_gflops']:.2f}" if "detector_gflops" in content else "-",
        }
        for content in complexities(root, run)
    ]


def _speed_line(dataset: str, row: Any) -> dict[str, str]:
    objects = row.get("objects_per_frame")
    return {
        "dataset": dataset,
        "method": str(row["method"]),
        "scope": SCOPES[row["scope"]],
        "engine": f"{row['engine']}, {row['precision']}" + ("" if row.get("scored", True) else " (reference)"),
        "batch": str(row["batch"]),
        "frame": f"{row['height']} x {row['width']}",
        "fps": rate(float(row["fps_median"])),
        "p50": f"{float(row['latency_ms_p50']):.2f}",
        "p95": f"{float(row['latency_ms_p95']):.2f}",
        "score_diff": _difference(row.get("max_abs_score_diff"), ".2g"),
        "auc_diff": _difference(row.get("auc_diff"), "+.4f"),
        "detector": str(row.get("detector") or "-"),
        "objects": f"{float(objects):.1f}" if objects else "-",
        "device": str(row["device"]),
    }


def _difference(value: float | None, form: str) -> str:
    """A difference from the reference for print; a bare 0 for no difference, a dash where nothing was compared."""
    return "-" if value is None else format(value, form) if value else "0"


def _record(root: Path, run: Run) -> list[dict[str, Any]]:
    """The stages of a run: digests, device, cost, the number of checksummed inputs, and what was written."""
    stages = document(root, run, GATHERED)["stages"]
    return [
        {
            "stage": name,
            "config": stage["config_digest"][:SHORT],
            "code": stage["code_digest"][:SHORT],
            "inputs": str(len(stage["inputs"])),
            "device": str(stage["device"]),
            "precision": str(stage["precision"]),
            "seconds": f"{float(stage['seconds']):,.1f}",
            "memory": f"{float(stage['peak_memory_mb']):,.0f}",
            "command": str(stage.get("command", "")),
            "wrote": [(Path(file).name, sha256[:SHORT]) for file, sha256 in stage["outputs"].items()],
        }
        for name, stage in stages.items()
    ]
