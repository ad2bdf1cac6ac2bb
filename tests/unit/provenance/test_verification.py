"""What is not as recorded is named, with its remedy, and nothing else is."""

from pathlib import Path

import pytest
from tests.unit.provenance.conftest import CLIPS, COMMAND, RAW, REPORTED, STAGES, STUDENT, TABLES, TEACHER, do
from typer.testing import CliRunner

from lightvad.artifacts.atomic import write_text
from lightvad.artifacts.documents import read_json, write_sealed
from lightvad.cli import app
from lightvad.errors import LightvadError
from lightvad.layout import record_path
from lightvad.provenance.verification import verify


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def found(root: Path) -> list[tuple[str, str]]:
    return [(finding.kind, finding.file) for finding in verify(root).findings]


def test_a_project_as_its_stages_left_it_holds(root: Path) -> None:
    verification = verify(root)
    assert verification.findings == ()
    assert verification.holds
    outputs = [folder / name for folder, stage in STAGES for name in STAGES[folder, stage][1]]
    assert verification.files == len(outputs) + 2, "and the reported table, and record.json"
    assert verification.records == len(STAGES)


@pytest.mark.parametrize("step", STAGES, ids=lambda step: f"{step[0].name}-{step[1]}")
def test_one_flipped_byte_anywhere_is_named_with_the_command_that_mends_it(root: Path, step: tuple[Path, str]) -> None:
    folder, stage = step
    for name in STAGES[step][1]:
        before = (root / folder / name).read_bytes()
        flip(root / folder / name)
        (finding,) = verify(root).findings
        assert (finding.kind, finding.file) == ("differs", (folder / name).as_posix())
        remedy = f"run `{COMMAND.format(stage=stage, folder=folder)}`"
        assert str(finding).endswith(f"{'; delete it and ' if stage == 'fetch' else '; '}{remedy}")
        assert "\n" not in str(finding)
        (root / folder / name).write_bytes(before)
    assert verify(root).holds


def test_missing_files_are_named_and_strays_only_mentioned(root: Path) -> None:
    (root / CLIPS / "test" / "03.zip").unlink()
    write_text(root / RAW / "notes.txt", "mine")
    write_text(root / STUDENT.folder / ".model.x.tmp.safetensors", "half a file of a killed stage")
    assert found(root) == [
        ("missing", "data/clips/plaza/test/03.zip"),
        ("stray", "data/raw/plaza/notes.txt"),
        ("stray", f"{STUDENT.folder}/.model.x.tmp.safetensors"),
    ]
    assert not verify(root).holds
    do(root, CLIPS, "prepare")
    assert verify(root).holds


def test_a_teacher_trained_again_breaks_its_maps_then_the_student_then_the_table(root: Path) -> None:
    do(root, TEACHER.folder, "train", salt="another seed")
    done = []
    while not (verification := verify(root)).holds:
        assert {finding.kind for finding in verification.findings} == {"broken"}
        paths = dict.fromkeys(Path(finding.file) for finding in verification.findings)
        for path in paths:
            if path.name != "record.json":  # evaluate gathers it
                do(root, path.parent.parent, path.stem)
                done.append((path.parent.parent, path.stem))
        assert len(done) < 20, "following the remedies must come to an end"
    steps = list(dict.fromkeys(done))
    assert steps[:2] == [(TEACHER.folder, "maps"), (STUDENT.folder, "train")]
    assert set(steps[2:]) == {(STUDENT.folder, s) for s in ("score", "evaluate", "benchmark")} | {(TABLES, "table7")}


def test_an_edited_file_of_the_repository_and_a_lost_one_are_told(root: Path) -> None:
    write_text(root / REPORTED, "method\nTheirs\n")
    assert found(root) == [("broken", record_path(TABLES, "table7").as_posix())]
    (root / REPORTED).unlink()
    (finding,) = verify(root).findings
    assert (finding.kind, finding.file) == ("missing", REPORTED.as_posix())


def test_a_gathered_record_that_is_not_that_of_its_stages_is_told(root: Path) -> None:
    path = root / STUDENT.folder / "record.json"
    content = read_json(path)
    content["stages"]["train"]["seconds"] += 1
    write_sealed(path, content)
    assert [kind for kind, _ in found(root)] == ["broken"], "times may differ; but the table read other bytes"
    content["stages"]["train"]["outputs"] = {}
    write_sealed(path, content)
    assert ("broken", path.relative_to(root).as_posix()) in found(root)


@pytest.mark.parametrize("content", ["{", "[]", '{"command": "x", "inputs": 3, "started": ""}'])
def test_a_damaged_record_is_told_and_the_rest_is_still_compared(root: Path, content: str) -> None:
    path = record_path(TEACHER.folder, "maps")
    write_text(root / path, content)
    flip(root / CLIPS / "test" / "00.zip")
    findings = verify(root).findings
    assert (findings[0].kind, findings[0].file) == ("differs", path.as_posix())
    assert "again" in findings[0].told
    assert "\n" not in str(findings[0])
    assert [finding.file for finding in findings if finding.kind == "differs"][1:] == ["data/clips/plaza/test/00.zip"]


def test_the_command_prints_lines_and_exits_with_the_answer(root: Path) -> None:
    ended = CliRunner().invoke(app, ["verify", "--root", str(root)])
    assert ended.exit_code == 0
    assert "0 differ, 0 missing" in ended.stdout
    flip(root / CLIPS / "test" / "11.zip")
    ended = CliRunner().invoke(app, ["verify", "--root", str(root)])
    assert ended.exit_code == 1
    assert ended.stdout.startswith("differs data/clips/plaza/test/11.zip: sha256 ")
    assert "1 differ, 0 missing" in ended.stdout


def test_a_folder_without_records_holds_nothing_that_could_be_verified(tmp_path: Path) -> None:
    write_text(tmp_path / "results" / "table.csv", "")
    with pytest.raises(LightvadError, match="no record under data or results; run `make reproduce`"):
        verify(tmp_path)
