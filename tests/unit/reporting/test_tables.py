"""Tables: what is measured stands beside what is reported, in percent, with protocol and data named."""

import hashlib
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from lightvad.artifacts.documents import read_csv, read_json, write_json
from lightvad.errors import LightvadError
from lightvad.layout import Run, speeds_path, tables_folder
from lightvad.project import Project
from lightvad.reporting.captions import figure_caption, table_caption
from lightvad.reporting.selection import Shown
from lightvad.reporting.tables import blocks_of
from lightvad.reporting.typesetting import print_blocks
from lightvad.stages import table as stage

from .conftest import BUDGET, QUALITY, metrics_of


def written(project: Project, number: str, datasets: tuple[str, ...], seeds: tuple[int, ...] = (0,)) -> Path:
    stage.run(
        project, paper="fast_aed", number=number, datasets=datasets, budget=BUDGET, seeds=seeds, root=project.root
    )
    return project.root / tables_folder(datasets, BUDGET, "fast_aed") / f"table{number}.csv"


def test_delta_is_measured_minus_reported_in_percent(made_up: Project) -> None:
    lines = read_csv(written(made_up, "7", ("ped2",)))
    own = [line for line in lines if line["protocol"] == "fast_aed" and line["adversarial_distillation"] == "1"]
    micro = next(line for line in own if line["metric"] == "micro_auc")
    measured = (
        100
        * metrics_of(Run("ped2", BUDGET, "fast_aed", "default", 0), QUALITY["fast_aed"])["protocols"]["fast_aed"][
            "micro_auc"
        ]
    )
    assert float(micro["reported"]) == 93.6
    assert float(micro["measured"]) == pytest.approx(measured)
    assert float(micro["delta"]) == pytest.approx(measured - 93.6)


def test_plain_stands_beside_every_measured_auc_with_its_interval(made_up: Project) -> None:
    for number in ("1", "7"):
        lines = read_csv(written(made_up, number, ("plaza", "ped2")))
        keys = ("label", "dataset", "metric")
        papers = {tuple(line[k] for k in keys) for line in lines if line["protocol"] in ("fast_aed", "ssmtl")}
        plain = [line for line in lines if line["protocol"] == "plain"]
        assert papers
        assert {tuple(line[k] for k in keys) for line in plain} == papers
        assert all(float(p["ci95_low"]) < float(p["measured"]) < float(p["ci95_high"]) for p in plain)
        assert not any(line["delta"] for line in plain)


def test_literature_stands_where_the_paper_has_the_dataset_and_says_so_where_not(made_up: Project) -> None:
    path = written(made_up, "1", ("ped2",))
    lines = read_csv(path)
    names = list(dict.fromkeys(line["method"] for line in lines))
    assert names[0] == "Doshi et al. [3]"
    assert names[-1] == "Ours"
    assert "Bărbălău et al. [58]" not in names  # reports nothing on Ped2
    assert all(line["reported"] for line in lines if not line["label"] and line["metric"] == "micro_auc")

    path = written(made_up, "1", ("plaza",))
    lines = read_csv(path)
    assert {line["label"] for line in lines} == {
        "SSMTL (T2)",
        "Background-Agnostic (T1)",
        "Fast-AED (student)",
        "Fast-AED + pasted",
    }
    assert not any(line["reported"] or line["delta"] for line in lines)
    assert "The paper has no plaza: the literature's rows are left out." in path.with_suffix(".md").read_text()


def test_data_notes_and_conditions_stand_in_every_file(made_up: Project) -> None:
    path = written(made_up, "7", ("plaza", "ped2"))
    for suffix in (".csv", ".md", ".tex"):
        text = path.with_suffix(suffix).read_text()
        assert "synthetic: generated scene" in text
        assert "re-encoded H.264" in text
        assert "Synthetic CPU (2 cores)" in text
    lines = read_csv(path)
    assert all(line["data"] and line["budget"] == BUDGET and line["device"] and line["seeds"] == "0" for line in lines)
    assert {line["checkpoint"] for line in lines} == {"last"}


def test_without_labels_a_table_says_why_it_has_no_numbers(unlabelled: Project) -> None:
    path = written(unlabelled, "7", ("plaza",))
    assert all(line["measured"] == "" for line in read_csv(path))
    told = "no AUC, because the test clips have no labels, or all their frames the same"
    assert told in path.with_suffix(".md").read_text()
    assert told in path.with_suffix(".tex").read_text()


def test_a_table_with_numbers_says_nothing_of_labels(made_up: Project) -> None:
    assert "have no labels" not in written(made_up, "7", ("plaza", "ped2")).with_suffix(".md").read_text()


def test_mean_and_standard_deviation_over_seeds(made_up: Project) -> None:
    path = written(made_up, "7", ("plaza",), seeds=(0, 1))
    line = next(line for line in read_csv(path) if line["protocol"] == "plain" and line["label"] == "Fast-AED")
    assert [float(line[k]) for k in ("measured", "measured_min", "measured_max")] == pytest.approx([85.5, 85, 86])
    assert float(line["measured_sd"]) == pytest.approx(0.5**0.5)
    assert [float(line[k]) for k in ("ci95_low", "ci95_high")] == pytest.approx([81, 89])
    assert line["seeds"] == "0 1"
    assert "85.5 ± 0.7 [81.0, 89.0]" in path.with_suffix(".md").read_text()


def test_speed_factors_are_printed(made_up: Project) -> None:
    text = written(made_up, "1", ("plaza",)).with_suffix(".md").read_text()
    assert "13.9 times model only (61.0 against 4.40 frames/s) and 11.0 times end to end" in text
    assert "with detector yolov3u and 14.2 objects a frame" in text


def test_rows_timed_together_stand_beside_the_papers_times_and_their_ratios(made_up: Project) -> None:
    path = written(made_up, "8", ("plaza",))
    speeds = {(line["label"], line["metric"]): line for line in read_csv(path) if line["metric"].startswith("fps")}
    fast, reference = "linear layers", "pointwise"
    assert [speeds[row, "fps"]["reported"] for row in (fast, reference)] == ["1267", "1480"]
    assert [speeds[row, "fps"]["measured"] for row in (fast, reference)] == ["100", "110"]
    assert float(speeds[fast, "fps_ratio"]["reported"]) == pytest.approx(1267 / 1480)
    assert float(speeds[fast, "fps_ratio"]["measured"]) == pytest.approx(100 / 110)
    assert speeds[reference, "fps_ratio"]["measured"] == "1"
    # They were measured on another device than the scores, and under no protocol.
    assert {(line["device"], line["protocol"]) for line in speeds.values()} == {("Synthetic GPU", "")}
    text = path.with_suffix(".md").read_text()
    assert "| 1267.0 | 100.0 | 0.86 | 0.91 |" in text.replace("**", "")
    told = "Synthetic GPU, 1 threads, eager, bf16-mixed, batch 1, 120x180; the reference is pointwise (results/speed/"
    assert told in text


def test_best_on_test_is_a_column_of_its_own_and_no_result(own_project: Project) -> None:
    run = Run("plaza", BUDGET, "fast_aed", "default", 0)
    path = own_project.root / run.folder / "metrics.json"
    metrics = read_json(path)
    best = {"epoch": 2, "micro_auc": 0.911, "macro_auc": 0.922}
    write_json(path, metrics | {"best_on_test": dict.fromkeys(metrics["protocols"], best)})
    table = written(own_project, "7", ("plaza",))
    lines = [line for line in read_csv(table) if line["label"] == "Fast-AED" and line["metric"] == "micro_auc"]
    assert {line["checkpoint"]: line["measured"] for line in lines if line["protocol"] == "fast_aed"} == {
        "last": "86.3", "best_on_test": "91.1"
    }  # fmt: skip
    text = table.with_suffix(".md").read_text().replace("**", "")
    assert "micro AUC, best on test" in text
    assert "| 86.3 | - | 91.1 | 85.0 [" in text
    assert "no result of this project" in text


def test_missing_speeds_name_the_target(own_project: Project) -> None:
    speeds = speeds_path("plaza", BUDGET, "fast_aed", "8")
    (own_project.root / speeds).write_text("[]")
    with pytest.raises(LightvadError, match=r"table8.json: no row of fast_aed/fully_connected; run `snakemake"):
        written(own_project, "8", ("plaza",))
    (own_project.root / speeds).unlink()
    with pytest.raises(LightvadError, match=r"table8.json: missing; run `snakemake"):
        written(own_project, "8", ("plaza",))


def test_missing_metrics_name_the_target(own_project: Project) -> None:
    run = Run("plaza", BUDGET, "fast_aed", "no_adversarial", 0)
    (own_project.root / run.folder / "metrics.json").unlink()
    with pytest.raises(LightvadError) as error:
        written(own_project, "7", ("plaza",))
    assert (
        str(error.value) == f"{run.folder}/metrics.json: missing; run `snakemake --cores 2 {run.folder}/metrics.json`"
    )


def test_missing_protocol_names_the_key(own_project: Project) -> None:
    path = own_project.root / Run("plaza", BUDGET, "ssmtl", "default", 0).folder / "metrics.json"
    content = json.loads(path.read_text())
    del content["protocols"]["ssmtl"]
    path.write_text(json.dumps(content))
    with pytest.raises(LightvadError, match=r"no protocol 'ssmtl'.*smoothing.protocols in config/datasets/plaza.yaml"):
        written(own_project, "1", ("plaza",))


def test_undefined_auc_and_absent_regions_leave_no_number(own_project: Project) -> None:
    path = own_project.root / Run("plaza", BUDGET, "fast_aed", "default", 0).folder / "metrics.json"
    content = json.loads(path.read_text()) | {"rbdc": None, "tbdc": None}
    content["protocols"]["plain"] |= {"macro_auc": None, "macro_auc_ci95": None}
    path.write_text(json.dumps(content))
    lines = [line for line in read_csv(written(own_project, "7", ("plaza",))) if line["label"] == "Fast-AED"]
    undefined = next(line for line in lines if line["metric"] == "macro_auc" and line["protocol"] == "plain")
    assert undefined["measured"] == ""
    assert {line["metric"] for line in lines} == {"micro_auc", "macro_auc"}


def test_unknown_table_is_one_line(made_up: Project) -> None:
    with pytest.raises(LightvadError, match=r"fast_aed.yaml: no table 99; it has 1, 2, 3, 4, 5, 6, 7, 8"):
        written(made_up, "99", ("plaza",))


def test_reported_numbers_are_read_never_written(made_up: Project) -> None:
    def digest() -> str:
        files = sorted((made_up.root / "config" / "reported").glob("*.csv"))
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

    before = digest()
    first = written(made_up, "1", ("ped2",)).read_bytes()
    assert written(made_up, "1", ("ped2",)).read_bytes() == first
    assert digest() == before


@pytest.mark.parametrize("width", [80, 200])
def test_terminal_shows_whole_names_and_numbers_at_any_width(made_up: Project, width: int) -> None:
    table = made_up.experiment("fast_aed").tables["1"]
    lines = read_csv(written(made_up, "1", ("ped2",)))
    page = io.StringIO()
    console = Console(file=page, width=width, force_terminal=True, color_system=None, legacy_windows=False)
    print_blocks("Table 1", blocks_of(lines, table, {}), [], console)
    text = page.getvalue()
    assert "Background-Agnostic (T1)" in text
    assert "93.0 [89.0, 96.0]" in text
    assert "95.0 [90.0, 97.5]" in text
    assert "…" not in text


def test_show_prints_table_and_caption(made_up: Project, capsys: pytest.CaptureFixture[str]) -> None:
    stage.show(written(made_up, "7", ("plaza",)))
    printed = capsys.readouterr().out
    assert "Fast-AED without adversarial" in printed
    assert "synthetic: generated scene" in printed
    assert "device Synthetic CPU (2 cores)" in printed


def test_rows_beyond_the_paper_stand_beside_their_row_without_reported_numbers(made_up: Project) -> None:
    lines = [line for line in read_csv(written(made_up, "7", ("ped2",))) if line["adversarial_distillation"] == "1"]
    assert list(dict.fromkeys(line["label"] for line in lines)) == ["Fast-AED", "Fast-AED + pasted"]
    beyond = [line for line in lines if line["rebuilt_as"] == "fast_aed/pasted"]
    assert all(line["measured"] and not line["reported"] and not line["delta"] for line in beyond)


def test_captions_say_what_is_beyond_the_paper_and_whose_speed_it_is(made_up: Project) -> None:
    experiment = made_up.experiment("fast_aed")
    shown = Shown(made_up, experiment, ("plaza",), "quick", (0,), made_up.root)
    captions = [table_caption(shown, experiment.tables["7"]), figure_caption(shown, experiment.figures["2"])]
    for sentences in captions:
        assert any(one.startswith("Fast-AED + pasted: beyond the paper; in training") for one in sentences)
        assert (
            "Fast-AED + pasted was not timed itself: its speed is that of fast_aed/default, the same network."
            in sentences
        )


@pytest.mark.parametrize(
    ("name", "content"),
    [("metrics.json", "[]"), ("metrics.json", "{}"), ("metrics.json", '{"protocols": NaN}'), ("speed.json", "{}"),
     ("record.json", '{"stages": []}')],
)  # fmt: skip
def test_a_document_of_another_form_is_one_line_and_no_table(own_project: Project, name: str, content: str) -> None:
    path = own_project.root / Run("plaza", BUDGET, "fast_aed", "default", 0).folder / name
    path.write_text(content)
    with pytest.raises(LightvadError, match="stage") as raised:
        written(own_project, "7", ("plaza",))
    assert f"fast_aed/default/seed0/{name}: " in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list((own_project.root / "results/tables").rglob("table7.*"))


def test_a_reported_table_without_rows_is_one_line(own_project: Project) -> None:
    path = own_project.root / "config/reported/fast_aed_table7.csv"
    path.write_text(path.read_text().splitlines()[0])
    with pytest.raises(LightvadError, match=r"config/reported/fast_aed_table7\.csv: holds no rows; take it from"):
        written(own_project, "7", ("plaza",))


def test_a_table_without_its_caption_is_not_shown(own_project: Project) -> None:
    path = written(own_project, "7", ("plaza",))
    path.with_suffix(".md").unlink()
    with pytest.raises(LightvadError, match=r"table7\.md: missing or unreadable .*; run the stage that writes it"):
        stage.show(path)


@pytest.mark.parametrize("number", ["2", "3", "4", "5", "6", "8"])
def test_ablations_are_compared_with_their_reference_clip_by_clip(made_up: Project, number: str) -> None:
    table = made_up.experiment("fast_aed").tables[number]
    path = written(made_up, number, ("plaza",))
    labels = {row.variant: row.label for row in table.rows}
    told = [line for line in path.with_suffix(".md").read_text().splitlines() if line.startswith("- Against ")]
    assert len(told) == 1
    assert told[0].startswith(f"- Against {labels[str(table.reference)]} on plaza (plain micro AUC, paired")
    compared = [re.split(r" [+-]", part)[0] for part in told[0].split("): ", 1)[1].split("; ")]
    assert compared == [label for variant, label in labels.items() if variant != table.reference]
    values = re.findall(r"([+-][0-9.]+) \[([+-][0-9.]+), ([+-][0-9.]+)\]( \(inside the noise\))?", told[0])
    assert len(values) == len(labels) - 1
    for value, low, high, noise in values:
        assert float(low) <= float(value) <= float(high)
        if float(low) * float(high) != 0:
            assert bool(noise) == (float(low) < 0 < float(high))


def test_a_reference_that_is_no_row_is_one_line(made_up: Project) -> None:
    project = Project(made_up.root, ("experiments.fast_aed.tables.4.reference=pasted",))
    with pytest.raises(LightvadError, match=r"'pasted' is no row's variant; the rows have t1_kd_frames1"):
        written(project, "4", ("plaza",))
