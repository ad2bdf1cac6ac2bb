"""The records that stages keep, and the lock of a run."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from lightvad.artifacts.atomic import write_bytes, write_text
from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.documents import read_json
from lightvad.artifacts.records import read_record
from lightvad.cli import app
from lightvad.errors import LightvadError
from lightvad.layout import Run, checksums_path, clips_folder, record_path
from lightvad.modules import code_digest, stage_modules
from lightvad.project import Project
from lightvad.resolution import dataset_digest, run_digest, run_inputs, run_outputs, undeclared_outputs
from lightvad.stages import fetch, prepare
from lightvad.stages.machine import Machine
from lightvad.stages.recording import command_of, recorded, recorded_result

RUN = Run("ped2", "quick", "fast_aed", "default", 0)
TEACHER = Run("ped2", "quick", "background_agnostic", "default", 0)
OVERRIDES = (
    "datasets.ped2.object_maps={block_scale: 2, filter_size: 5}",
    "datasets.ped2.note=a 'quoted' $word",
    "budgets.quick.bootstrap=10",
)
TINY = (
    "datasets.plaza.generator={clips: {train: 1, test: 1, detector: 1},"
    " frames_per_clip: {train: 3, test: 3, detector: 1}, supersampling: 1}",
    "datasets.plaza.clips={train: 1, test: 1, detector: 1}",
    "datasets.plaza.frames={train: 3, test: 3, detector: 1}",
)


@pytest.fixture
def root(tmp_path: Path, repository: Path) -> Path:
    (tmp_path / "config").symlink_to(repository / "config")
    return tmp_path


def written(root: Path, files: list[Path]) -> None:
    for path in files:
        write_text(root / path, path.name)


@pytest.mark.parametrize("stage", ["pretrain", "train", "score", "maps", "evaluate", "benchmark"])
def test_the_recorded_command_is_one_that_the_command_line_takes_and_says_all_that_was_given(
    repository: Path, stage: str
) -> None:
    machine = Machine("cpu", 3)
    name, sub, *words = shlex.split(command_of(Project(repository, OVERRIDES), RUN, stage, machine))
    assert (name, sub) == ("lightvad", stage)
    given = typer.main.get_command(app).commands[stage].make_context(stage, words).params
    assert given["run"] == RUN.folder.as_posix()
    assert tuple(given["overrides"]) == OVERRIDES
    both = {"device": "cpu", "threads": 3}
    assert {key: given[key] for key in ("device", "threads") if key in given} == {
        "maps": {"threads": 3},
        "evaluate": {},
    }.get(stage, both)


@pytest.mark.parametrize("run", [RUN, TEACHER])
def test_a_record_says_what_was_read_before_and_what_was_written_after(root: Path, run: Run) -> None:
    project = Project(root, OVERRIDES)
    read, made = run_inputs(project, "train", run), run_outputs(project, "train", run)
    written(root, read)
    before = {path.as_posix(): sha256_of(root / path) for path in read}
    with recorded(project, run, "train", machine=Machine("cpu", 2)):
        written(root, made)
        write_text(root / read[0], "changed while the stage ran")
    record = read_record(record_path(run.folder, "train"), root)
    assert record.inputs == before
    assert record.outputs == {path.as_posix(): sha256_of(root / path) for path in made}
    assert (run.folder / "model.safetensors").as_posix() in record.outputs
    assert record.command == command_of(project, run, "train", Machine("cpu", 2))
    assert [word for word in shlex.split(record.command) if word in OVERRIDES] == list(OVERRIDES)
    assert (record.stage, record.folder) == ("train", run.folder)
    assert record.content["config_digest"] == run_digest(project, "train", run)
    assert record.content["code_digest"] == code_digest(*stage_modules("train", run.method))


@pytest.mark.parametrize("run", [RUN, TEACHER])
def test_a_rule_names_the_record_and_everything_that_it_lists(repository: Path, run: Run) -> None:
    project = Project(repository)
    stages = ["train", "score", "evaluate", "benchmark", "pretrain" if run is RUN else "maps"]
    for stage in stages:
        rule = (repository / "workflow" / "rules" / f"{stage}.smk").read_text()
        files = [*run_outputs(project, stage, run), record_path(run.folder, stage)]
        beside = undeclared_outputs(project, run)
        for file in files:
            named = f'f"{{RUN}}/{file.relative_to(run.folder).as_posix()}"'
            assert (named in rule) == (file not in beside), f"{stage}.smk and run_outputs do not agree on {file}"


def test_a_training_stands_for_the_pixels_that_it_read(repository: Path) -> None:
    project = Project(repository)
    for stage in ("pretrain", "train", "score", "benchmark"):
        assert checksums_path("ped2") in run_inputs(project, stage, RUN)


def test_a_failed_stage_and_one_that_wrote_too_little_leave_no_record(root: Path) -> None:
    project = Project(root)
    written(root, run_inputs(project, "evaluate", RUN))
    with pytest.raises(ZeroDivisionError), recorded(project, RUN, "evaluate", machine=Machine("cpu")):
        raise ZeroDivisionError
    with (
        pytest.raises(LightvadError, match=r"metrics\.json: missing"),
        recorded(project, RUN, "evaluate", machine=Machine("cpu")),
    ):
        pass
    assert not (root / record_path(RUN.folder, "evaluate")).exists()


@pytest.fixture
def handed_on(root: Path) -> Path:
    """A project in which a teacher's score stage has ended, so that its maps may be made."""
    project = Project(root)
    written(root, run_inputs(project, "score", TEACHER) + run_inputs(project, "maps", TEACHER))
    with recorded(project, TEACHER, "score", machine=Machine("cpu")):
        pass
    return root


def maps_of_teacher(root: Path) -> None:
    with recorded(Project(root), TEACHER, "maps", machine=Machine("cpu")):
        written(root, run_outputs(Project(root), "maps", TEACHER))


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_stage_reads_nothing_that_is_not_as_its_maker_left_it(handed_on: Path, damage: str) -> None:
    maps_of_teacher(handed_on)
    scores = handed_on / TEACHER.folder / "object_scores.parquet"
    content = scores.read_bytes()
    scores.write_bytes(content[:-1] if damage == "cut" else bytes([content[0] ^ 1]) + content[1:])
    told = rf"^{TEACHER.folder}/object_scores\.parquet: sha256 \w{{12}}, but \S+/records/score\.json says \w{{12}}: "
    with pytest.raises(LightvadError, match=told) as raised:
        maps_of_teacher(handed_on)
    assert f"run `lightvad score --run {TEACHER.folder} " in str(raised.value)
    assert "\n" not in str(raised.value)
    scores.write_bytes(content)
    maps_of_teacher(handed_on)


def test_a_damaged_record_beside_an_input_is_told(handed_on: Path) -> None:
    path = handed_on / record_path(TEACHER.folder, "score")
    content = path.read_bytes()
    for damaged in (content[:-9], b"", b"\xff", content.replace(b"cpu", b"gpu")):
        path.write_bytes(damaged)
        with pytest.raises(LightvadError, match=r"records/score\.json: .*run the stage that writes it again$"):
            maps_of_teacher(handed_on)


def test_a_file_that_no_record_names_is_taken_with_a_line(handed_on: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps_of_teacher(handed_on)
    assert "object_scores" not in capsys.readouterr().err
    (handed_on / record_path(TEACHER.folder, "score")).unlink()
    maps_of_teacher(handed_on)
    assert f"warning: {TEACHER.folder}/object_scores.parquet: no record says what made it" in capsys.readouterr().err


HOLDER = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from lightvad.layout import Run\n"
    "from lightvad.project import Project\n"
    "from lightvad.stages.machine import Machine\n"
    "from lightvad.stages.recording import recorded\n"
    "with recorded(Project(Path(sys.argv[1])), Run.parse(sys.argv[2]), 'train', machine=Machine('cpu')):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


def test_a_stage_clears_what_killed_ones_have_left(root: Path) -> None:
    project = Project(root)
    written(root, run_inputs(project, "train", RUN))
    folder = root / RUN.folder
    left = [
        folder / name
        for name in (".scratch.abc/0", ".model.a1b2c3d4.tmp.safetensors", "records/.train.abcd_123.tmp.json")
    ]
    others = [folder / ".speed.a1b2c3d4.tmp.json", folder / "_resume/training.pt"]
    written(root, [*left, *others])
    with recorded(project, RUN, "train", machine=Machine("cpu")):
        assert not (folder / ".scratch.abc").exists()
        written(root, run_outputs(project, "train", RUN))
    assert [path for path in left if path.exists()] == []
    assert all(path.exists() for path in others), "a benchmark may be writing beside it"


def test_a_second_process_on_a_table_is_kept_out(root: Path) -> None:
    folder = Path("results/tables/plaza/smoke/fast_aed")
    table = {"name": "table7", "options": {}, "config": {}, "inputs": [], "outputs": [folder / "t.csv"], "root": root}
    written(root, [folder / "t.csv"])
    holder = "import sys, time; from pathlib import Path; from lightvad.artifacts.locks import locked\n"
    holder += "with locked(Path(sys.argv[1]), what='x'): print('held', flush=True); time.sleep(60)"
    lock = root / folder / ".table7.lock"
    command = [sys.executable, "-c", holder, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        told = f"^{folder.as_posix()}: table7: process {process.pid} is at work there; wait"
        with pytest.raises(LightvadError, match=told), recorded_result(Project(root), "table", **table):
            pytest.fail("the table is locked")
        process.kill()
    with recorded_result(Project(root), "table", **table):
        pass


def test_a_second_process_on_a_run_ends_with_one_line_and_a_killed_one_holds_nothing(root: Path) -> None:
    project = Project(root)
    for stage in ("train", "evaluate", "benchmark"):
        written(root, run_inputs(project, stage, RUN) + run_outputs(project, stage, RUN))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root), RUN.folder.as_posix()], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        told = f"^{RUN.folder.as_posix()}: process {holder.pid} is at work there; wait .*run again$"
        with pytest.raises(LightvadError, match=told), recorded(project, RUN, "evaluate", machine=Machine("cpu")):
            pytest.fail("the run is locked")
        with recorded(project, RUN, "benchmark", machine=Machine("cpu")):
            pass
    finally:
        holder.kill()
        holder.wait()
    with recorded(project, RUN, "train", machine=Machine("cpu")):
        pass
    assert (root / record_path(RUN.folder, "train")).is_file()


def test_preparing_records_every_file_and_gives_the_same_checksums_again(root: Path) -> None:
    project = Project(root, TINY)
    fetch.run(project, "plaza", mirror=None, only="clips")
    prepare.run(project, "plaza")
    folder = clips_folder("plaza")
    left = folder / "test" / "from_another_preparation.zip"
    record = read_record(record_path(folder, "prepare"), root)
    lying = [path for path in (root / folder).rglob("[!.]*") if path.is_file() and path.parent.name != "records"]
    assert record.outputs == {path.relative_to(root).as_posix(): sha256_of(path) for path in lying}
    assert {"test_01.zip", "test_01.npz", "index.parquet", "checksums.json"} <= {path.name for path in lying}
    assert record.inputs == {"data/raw/plaza/fetched.json": sha256_of(root / "data/raw/plaza/fetched.json")}
    assert record.content["config_digest"] == dataset_digest(project, "prepare", "plaza")
    assert record.content["code_digest"] == code_digest(*stage_modules("prepare", dataset="plaza"))
    listed = root / checksums_path("plaza")
    assert read_json(listed)["test/test_01.zip"] == sha256_of(root / folder / "test" / "test_01.zip")
    content = listed.read_bytes()
    write_bytes(root / left, b"")
    prepare.run(project, "plaza")
    assert listed.read_bytes() == content, "the same pixels: nothing that depends on them runs again"
    other = Project(root, (*TINY, "datasets.plaza.generator.seed=5"))
    prepare.run(other, "plaza")
    assert listed.read_bytes() != content


def test_the_command_of_a_training_names_its_devices(tmp_path: Path) -> None:
    commands = [command_of(Project(tmp_path), RUN, "train", Machine("cuda", 2, devices=k)) for k in (1, 4)]
    assert commands[1] == f"{commands[0]} --devices 4"
