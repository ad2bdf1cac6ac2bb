"""All tables and figures of Fast-AED, from raw video to the page that shows them: smoke budget, plaza cut down."""

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
    """A project in which every command that Snakemake plans for `fast_aed_paper` has run."""
    checkout = copy_project(repository, tmp_path_factory.mktemp("paper"))
    planned = checkout.snakemake("--dry-run", "--printshellcmds", "fast_aed_paper", small=TINY)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    commands = [shlex.split(line) for line in COMMAND_LINE.findall(planned.stdout + planned.stderr)]
    stages = Counter(command[0] for command in commands)
    assert (stages["pretrain"], stages["train"], stages["table"], stages["figure"]) == (2, 41, 8, 10)
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
def test_every_row_of_every_table_was_measured(paper: Checkout) -> None:
    experiment = Project(paper.root).experiment("fast_aed")
    assert sorted(experiment.tables, key=int) == [str(number) for number in range(1, 9)]
    for number, table in experiment.tables.items():
        folder = paper.root / tables_folder(*CHOICE, "fast_aed")
        lines = read_csv(folder / f"table{number}.csv")
        measured = {
            (line["rebuilt_as"], line["metric"], line["protocol"])
            for line in lines
            if line["measured"] and "synthetic" in line["data"] and line["budget"] == "smoke"
        }
        for row in table.rows:
            name = f"{row.method}/{row.variant}"
            wanted = {
                (name, metric, p) for metric in ("micro_auc", "macro_auc") for p in (row.protocol_on("plaza"), "plain")
            }
            wanted |= {(name, metric, "") for metric in ("fps", "fps_ratio") if table.speeds}
            assert wanted <= measured, f"table {number}"
        for suffix in (".md", ".tex"):
            assert "synthetic" in (folder / f"table{number}{suffix}").read_text()


@pytest.mark.slow
def test_every_figure_was_drawn_and_all_stand_on_one_page(paper: Checkout) -> None:
    experiment = Project(paper.root).experiment("fast_aed")
    assert sorted(experiment.figures, key=int) == ["2", *(str(number) for number in range(4, 13))]
    folder = paper.root / figures_folder(*CHOICE, "fast_aed")
    for number in experiment.figures:
        assert len(read_csv(folder / f"figure{number}.csv")) > 1
        assert (folder / f"figure{number}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / f"figure{number}.pdf").read_bytes().startswith(b"%PDF")
    page = paper.root / report_path(*CHOICE, "fast_aed")
    assert page.stat().st_size < LARGEST_PAGE
    text = page.read_text()
    for number in experiment.tables:
        assert f'id="fast_aed-table{number}"' in text
    for variant in {row.variant for table in experiment.tables.values() for row in table.rows}:
        assert f"results/runs/plaza/smoke/fast_aed/{variant}/seed0" in text


@pytest.mark.slow
def test_records_hold_and_nothing_is_left_to_do(paper: Checkout) -> None:
    verified = paper.run("lightvad", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert paper.planned("fast_aed_paper", small=TINY) == set()


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
