"""Every table and figure of both papers, from raw video to the pages that show them: smoke budget, plaza cut down."""

import json
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest

from lightvad.artifacts.documents import read_csv
from lightvad.artifacts.exports import read_export
from lightvad.artifacts.tables import FRAME_SCORES, VIDEO_SCORES, read_table
from lightvad.layout import Run, clips_folder, figures_folder, report_path, tables_folder
from lightvad.project import Project
from lightvad.video.clips import ClipStore

from .conftest import SMALL, Checkout, copy_project

TINY = (
    *SMALL,
    "datasets.plaza.generator.frames_per_clip={train: 20, test: 20, detector: 2}",
    "datasets.plaza.frames={train: 60, test: 100, detector: 2}",
    "budgets.smoke.methods.fast_aed.pretraining.windows_per_epoch=8",
    "budgets.smoke.methods.fast_aed.training.windows_per_epoch=8",
    "budgets.smoke.methods.aed_mae.teacher_training.frames_per_epoch=8",
    "budgets.smoke.methods.aed_mae.student_training.frames_per_epoch=8",
    "datasets.plaza.methods.aed_mae.network.input_size=[64, 96]",
    "datasets.plaza.frame_size=[64, 96]",
    "datasets.plaza.generator.frame_size=[64, 96]",
    "datasets.plaza.generator.minimal_pixels=4",
    "datasets.plaza.detection.motion.minimal_area=8",
    "budgets.smoke.bootstrap=20",
)
"""A hundred frames of 64 x 96 pixels."""
LARGEST_PAGE = 5_000_000
COMMAND_LINE = re.compile(r"-m lightvad (.+) 2>&1 \| tee")
IN_ONE_PROCESS = Path(__file__).with_name("in_one_process.py")
CHOICE = (("plaza",), "smoke")
TARGETS = ("fast_aed_paper", "aed_mae_paper")
TABLES = {"fast_aed": [*range(1, 9)], "aed_mae": [*range(1, 8)]}
FIGURES = {"fast_aed": [2, *range(4, 13)], "aed_mae": [*range(2, 13)]}


def write_lossless_video(path: Path, images: Iterable[np.ndarray], *, size: tuple[int, int], rate: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "bgr0"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def paper(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A project in which every command that Snakemake plans for both papers has run.

    Both at once: AED-MAE is timed beside Fast-AED and its teachers, and its tables show them.
    """
    checkout = copy_project(repository, tmp_path_factory.mktemp("paper"))
    planned = checkout.snakemake("--dry-run", "--printshellcmds", *TARGETS, small=TINY)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    commands = [shlex.split(line) for line in COMMAND_LINE.findall(planned.stdout + planned.stderr)]
    # Of Fast-AED and its teachers 2 and 41; of AED-MAE 8 first stages for 9 models, and 34 runs that take over weights.
    stages = Counter(command[0] for command in commands)
    assert (stages["pretrain"], stages["train"], stages["table"], stages["figure"]) == (10, 84, 15, 21)
    for stage in ("pretrain", "train", "score", "evaluate"):
        of_stage = [command[command.index("--run") + 1] for command in commands if command[0] == stage]
        assert len(of_stage) == len(set(of_stage))
    ended = checkout.run(sys.executable, str(IN_ONE_PROCESS), given=json.dumps(commands))
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-6000:]
    return checkout


@pytest.mark.slow
@pytest.mark.parametrize(("form", "precision"), [("torch", "32-true"), ("onnx", "32-true"), ("openvino", "int8")])
def test_a_student_is_exported_and_scores_a_video(paper: Checkout, tmp_path: Path, form: str, precision: str) -> None:
    run = Run(*CHOICE[0], CHOICE[1], "fast_aed", "default", 0)
    lightvad = (sys.executable, "-m", "lightvad")
    small = [argument for item in TINY for argument in ("--set", item)]
    export = tmp_path / "student.lightvad"
    made = paper.run(*lightvad, "export", "--run", str(run.folder), "--to", form, "--out", str(export), *small)
    assert made.returncode == 0, made.stderr
    manifest, _ = read_export(export)
    assert (manifest.form, manifest.precision, manifest.frame_size) == (form, precision, (64, 96))
    assert manifest.parity is not None
    assert manifest.threshold is not None
    assert manifest.parity.score_difference < (1e-4 if precision == "32-true" else manifest.parity.score_spread)
    clips = ClipStore(paper.root / clips_folder("plaza"))
    clip = clips.clips("test")[0]
    write_lossless_video(
        tmp_path / "square.mkv", clips.sequential(clip.name), size=(clip.height, clip.width), rate=round(clip.fps)
    )
    out = tmp_path / "out"
    ended = paper.run(*lightvad, "score", str(tmp_path / "square.mkv"), "--model", str(export), "--out", str(out))
    assert ended.returncode == 0, ended.stderr
    scores = read_table(out / "square.scores.parquet", VIDEO_SCORES)
    pipeline = read_table(paper.root / run.folder / "frame_scores.parquet", FRAME_SCORES)
    own = pipeline.loc[pipeline["clip"] == clip.name, "score"].to_numpy()
    assert np.abs(scores["score"] - own).max() < (0.15 if precision == "int8" else 1e-4)


@pytest.mark.slow
def test_a_teacher_cannot_be_exported(paper: Checkout) -> None:
    run = Run(*CHOICE[0], CHOICE[1], "ssmtl", "default", 0)
    ended = paper.run(sys.executable, "-m", "lightvad", "export", "--run", str(run.folder))
    assert ended.returncode == 1
    assert "ssmtl is an object method" in ended.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_every_table_was_measured(paper: Checkout, name: str) -> None:
    experiment = Project(paper.root).experiment(name)
    assert sorted(map(int, experiment.tables)) == TABLES[name]
    for number, table in experiment.tables.items():
        folder = paper.root / tables_folder(*CHOICE, name)
        lines = read_csv(folder / f"table{number}.csv")
        measured = {
            (line["rebuilt_as"], line["metric"], line["protocol"])
            for line in lines
            if line["measured"] and "synthetic" in line["data"] and line["budget"] == "smoke"
        }
        for row in table.rows:
            run = f"{row.method}/{row.variant}"
            wanted = {
                (run, metric, p) for metric in ("micro_auc", "macro_auc") for p in (row.protocol_on("plaza"), "plain")
            }
            wanted |= {(run, metric, "regions") for metric in ("rbdc", "tbdc")}
            wanted |= {(run, metric, "") for metric in ("fps", "fps_ratio") if table.speeds}
            wanted |= {(run, metric, "") for metric in table.costs}
            assert wanted <= measured, f"table {number}"
        for suffix in (".md", ".tex"):
            assert "synthetic" in (folder / f"table{number}{suffix}").read_text()


@pytest.mark.slow
def test_numbers_of_no_dataset_stand_beside_what_the_paper_reports(paper: Checkout) -> None:
    """Of accuracy the papers report nothing on plaza; what methods cost and how fast they are is of no dataset."""
    folder = paper.root / tables_folder(*CHOICE, "aed_mae")
    table5 = read_csv(folder / "table5.csv")
    lines = {(line["label"], line["metric"]): line for line in table5}
    for label, *stated in (("SSMTL (T2)", 107.9, 65, 51), ("AED-MAE", 0.8, 3, 1655)):
        for metric, reported in zip(("gflops", "params_millions", "fps"), stated, strict=True):
            line = lines[label, metric]
            assert float(line["reported"]) == reported
            assert float(line["delta"]) == pytest.approx(float(line["measured"]) - reported)
    literature = {line["citation_key"]: line for line in table5 if not line["label"] and line["metric"] == "fps"}
    assert {key: line["reported"] for key, line in literature.items()} == {"49": "12", "60": "195", "28": "35"}
    assert not any(line["measured"] for line in literature.values())
    ratios = {line["label"]: line for line in read_csv(folder / "table7.csv") if line["metric"] == "fps_ratio"}
    assert float(ratios["perceptrons"]["reported"]) == pytest.approx(1454 / 1655)
    assert float(ratios["perceptrons"]["measured"]) > 0
    assert ratios["pointwise"]["measured"] == "1"


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_was_drawn_and_all_stand_on_one_page(paper: Checkout, name: str) -> None:
    experiment = Project(paper.root).experiment(name)
    assert sorted(map(int, experiment.figures)) == FIGURES[name]
    folder = paper.root / figures_folder(*CHOICE, name)
    for number in experiment.figures:
        assert len(read_csv(folder / f"figure{number}.csv")) > 1
        assert (folder / f"figure{number}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / f"figure{number}.pdf").read_bytes().startswith(b"%PDF")
    page = paper.root / report_path(*CHOICE, name)
    assert page.stat().st_size < LARGEST_PAGE
    text = page.read_text()
    # Figures with the same numbers stand there once, under the first one's.
    numbers = {(folder / f"figure{number}.csv").read_bytes(): number for number in reversed(experiment.figures)}
    assert len(numbers) >= len(FIGURES[name]) - 2
    for part in [f"table{number}" for number in experiment.tables] + [f"figure{n}" for n in numbers.values()]:
        assert f'id="{name}-{part}"' in text, part
    for row in (row for table in experiment.tables.values() for row in table.rows):
        assert f"results/runs/plaza/smoke/{row.method}/{row.variant}/seed0" in text


@pytest.mark.slow
def test_a_sweep_has_a_point_of_every_row(paper: Checkout) -> None:
    figure = Project(paper.root).experiment("aed_mae").figures["12"]
    lines = read_csv(paper.root / figures_folder(*CHOICE, "aed_mae") / "figure12.csv")
    points = {(line["rebuilt_as"], line["line"], float(line["value"]), line["protocol"]) for line in lines}
    assert points == {
        (f"{row.method}/{row.variant}", row.line, float(row.label), protocol)
        for row in figure.rows
        for protocol in (figure.protocol, "plain")
    }


@pytest.mark.slow
def test_a_row_that_takes_over_weights_is_followed_to_their_training(paper: Checkout) -> None:
    table = tables_folder(*CHOICE, "aed_mae") / "table3.csv"
    explained = paper.run("lightvad", "explain", str(table), "--row", "distilled_teacher", "--json")
    assert explained.returncode == 0, explained.stderr
    found = json.loads(explained.stdout)
    assert [row["title"] for row in found["rows"]] == ["teacher: aed_mae/distilled_teacher on plaza, smoke, seed 0"]
    assert not found["broken"]
    stages = [(stage["stage"], Path(stage["record"]).parents[2].name) for stage in found["stages"]]
    assert stages[-6:-1] == [
        ("pretrain", "motion_weights"),
        ("train", "self_distillation"),
        ("train", "distilled_teacher"),
        ("score", "distilled_teacher"),
        ("evaluate", "distilled_teacher"),
    ]


@pytest.mark.slow
def test_records_hold_and_nothing_is_left_to_do(paper: Checkout) -> None:
    verified = paper.run("lightvad", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert paper.planned(*TARGETS, small=TINY) == set()


@pytest.mark.slow
def test_tables_and_figures_are_made_again_from_scores_without_a_training(paper: Checkout) -> None:
    planned = paper.planned("fast_aed_paper", "--forcerun", "evaluate", small=TINY)
    assert {job.split()[0] for job in planned} == {"evaluate", "table", "figure", "report"}
    assert sum(job.startswith("evaluate") for job in planned) == 41


def test_a_dataset_of_a_thousand_clips_is_planned_as_one_of_eight(repository: Path, tmp_path: Path) -> None:
    """No clip is a file of the graph: a plan does not grow with them."""
    checkout = copy_project(repository, tmp_path)
    clips = "clips={train: 900, test: 100, detector: 1}"
    thousand = (*TINY, f"datasets.plaza.{clips}", f"datasets.plaza.generator.{clips}")
    assert checkout.planned("fast_aed_paper", small=thousand) == checkout.planned("fast_aed_paper", small=TINY)
