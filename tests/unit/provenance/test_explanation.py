"""A number is followed back to the raw data."""

import json
from pathlib import Path

import pytest
from tests.unit.provenance.conftest import CLIPS, COMMAND, RAW, STAGES, STUDENT, TABLES, TEACHER, do
from typer.testing import CliRunner

from lightvad.artifacts.atomic import write_text
from lightvad.artifacts.digests import sha256_of
from lightvad.cli import app
from lightvad.errors import LightvadError
from lightvad.layout import PUBLISHED, record_path
from lightvad.provenance.explanation import explain

TABLE = TABLES / "table7.csv"
ROW = "Student: fast_aed/default on plaza, quick, seed 0"


def test_a_table_has_a_row_for_each_measured_one_and_for_the_speed_in_its_caption(root: Path) -> None:
    found = explain(root / TABLE, root)
    measured, speed = found.rows
    assert measured.title == ROW
    assert [(value.measured, value.key) for value in measured.values] == [
        ("61", "protocols.plain.micro_auc"), ("62", "best_on_test.plain.micro_auc"), ("7.5", "rbdc")
    ]  # fmt: skip
    assert measured.files == (f"{STUDENT.folder}/metrics.json",)
    assert speed.files == (f"{STUDENT.folder}/speed.json",)
    assert found.stages[-1].stage == "table7"
    assert len(found.stages) == len(STAGES)
    chain = [(found.stages[number - 1].folder, found.stages[number - 1].stage) for number in found.numbers(measured)]
    assert chain[0] == (RAW, "fetch")
    assert chain[-3:] == [(STUDENT.folder, stage) for stage in ("train", "score", "evaluate")]
    assert (STUDENT.folder, "benchmark") not in chain


def test_a_single_row_and_a_single_file(root: Path) -> None:
    (row,) = explain(root / TABLE, root, row="fast_aed/default on").rows
    assert row.title == ROW
    found = explain(root / TEACHER.folder / "maps.npz", root)
    assert [record.stage for record in found.stages] == ["fetch", "prepare", "train", "maps"]
    with pytest.raises(LightvadError, match=r"no measured row with 'cafe'; there are: Student: fast_aed/default on"):
        explain(root / TABLE, root, row="cafe")


def test_what_no_record_names_is_one_line(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    write_text(root / RAW / "notes.txt", "mine")
    with pytest.raises(LightvadError, match=r"^data/raw/plaza/notes.txt: no record says what made it; run the stage"):
        explain(root / RAW / "notes.txt", root)
    with pytest.raises(LightvadError, match=r"table9.csv: no such file; correct the path, or run `snakemake --cores 2"):
        explain(root / TABLES / "table9.csv", root)
    with pytest.raises(LightvadError, match=r"^README.md: no such file; correct the path$"):
        explain(root / "README.md", root)
    write_text(root / "README.md", "mine")
    with pytest.raises(LightvadError, match=r"^README.md: no stage writes it; explain follows files under data/ and"):
        explain(root / "README.md", root)
    with pytest.raises(LightvadError, match=r"^results/tables: a folder; name a file in it$"):
        explain(root / "results/tables", root)
    with pytest.raises(LightvadError, match=r"not below .*; name the project"):
        explain(tmp_path_factory.mktemp("elsewhere") / "table7.csv", root)
    (root / record_path(STUDENT.folder, "evaluate")).unlink()
    with pytest.raises(LightvadError, match=r"metrics\.json: no record says what made it"):
        explain(root / TABLE, root)


def test_of_a_published_copy_the_original_is_named(root: Path) -> None:
    copy = PUBLISHED / TABLE.relative_to("results")
    with pytest.raises(LightvadError, match=rf"^{copy}: no such file; correct the path$"):
        explain(root / copy, root)
    write_text(root / copy, (root / TABLE).read_text())
    with pytest.raises(LightvadError, match=rf"^{copy}: a published copy, which no record names; explain {TABLE}$"):
        explain(root / copy, root)
    (root / TABLE).unlink()
    with pytest.raises(LightvadError, match=rf"^{copy}: a published copy; records lie beside {TABLE} where it"):
        explain(root / copy, root)


def test_a_break_in_the_chain_is_told_and_only_if_it_is_in_this_chain(root: Path) -> None:
    assert explain(root / TABLE, root).breaks == ()
    do(root, TEACHER.folder, "train", salt="another seed")
    (broken,) = explain(root / TABLE, root).breaks
    assert broken.record.stage == "maps"
    assert explain(root / CLIPS / "checksums.json", root).breaks == ()


def test_json_holds_whole_checksums_and_records_and_the_commands_in_order(root: Path) -> None:
    ended = CliRunner().invoke(app, ["explain", str(root / TABLE), "--root", str(root), "--json"])
    assert ended.exit_code == 0
    content = json.loads(ended.stdout)
    assert content["sha256"] == sha256_of(root / TABLE)
    assert content["rows"][0]["files"] == {
        f"{STUDENT.folder}/metrics.json": sha256_of(root / STUDENT.folder / "metrics.json")
    }
    by_number = {stage["number"]: stage for stage in content["stages"]}
    raw = by_number[content["rows"][0]["stages"][0]]
    assert raw["outputs"]["data/raw/plaza/a.tar"] == sha256_of(root / RAW / "a.tar")
    assert content["commands"][0] == COMMAND.format(stage="fetch", folder=RAW)
    assert content["commands"] == [stage["command"] for stage in content["stages"]]
