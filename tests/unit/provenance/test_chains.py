"""Records tied together by what they name."""

from pathlib import Path

from tests.unit.provenance.conftest import CLIPS, RAW, STAGES, STUDENT, TABLES, TEACHER, do

from lightvad.artifacts.records import read_record
from lightvad.layout import files_made, is_record
from lightvad.provenance.chains import Chains


def chains_of(root: Path) -> Chains:
    return Chains(read_record(path, root) for path in files_made(root) if is_record(path))


def test_every_stage_behind_a_file_comes_once_and_after_what_it_read(root: Path) -> None:
    behind = chains_of(root).behind([(TABLES / "table7.csv").as_posix()])
    steps = [(record.folder, record.stage) for record in behind]
    assert sorted(steps) == sorted(STAGES)
    for folder, stage in STAGES:
        for read in STAGES[folder, stage][0]:
            makers = [step for step in STAGES if read in [step[0] / name for name in STAGES[step][1]]]
            assert all(steps.index(maker) < steps.index((folder, stage)) for maker in makers)


def test_only_what_a_file_needed_stands_behind_it(root: Path) -> None:
    behind = chains_of(root).behind([(TEACHER.folder / "maps.npz").as_posix()])
    assert [(record.folder, record.stage) for record in behind] == [
        (RAW, "fetch"), (CLIPS, "prepare"), (TEACHER.folder, "train"), (TEACHER.folder, "maps")
    ]  # fmt: skip


def test_a_whole_chain_has_no_break_and_a_retrained_teacher_makes_one(root: Path) -> None:
    assert chains_of(root).breaks(chains_of(root).records) == []
    do(root, TEACHER.folder, "train", salt="another seed")
    chains = chains_of(root)
    (broken,) = chains.breaks(chains.records)
    assert (broken.record.folder, broken.record.stage) == (TEACHER.folder, "maps")
    assert broken.file == (TEACHER.folder / "model.safetensors").as_posix()
    assert broken.made == chains.made[broken.file] != broken.read
    do(root, TEACHER.folder, "maps")
    chains = chains_of(root)
    (broken,) = chains.breaks(chains.records)
    assert (broken.record.folder, broken.record.stage) == (STUDENT.folder, "train")


def test_the_same_work_done_again_breaks_nothing(root: Path) -> None:
    do(root, TEACHER.folder, "train")
    chains = chains_of(root)
    assert chains.breaks(chains.records) == []
