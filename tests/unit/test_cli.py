"""The command line: help worth reading, and one line for a mistake."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lightvad.cli import app
from lightvad.layout import RUN_PATTERN

STAGES = tuple(
    "fetch prepare detect pretrain train score maps evaluate benchmark table figure report".split()  # noqa: SIM905
)


def lightvad(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lightvad", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_every_stage_is_a_sub_command_a_rule_and_a_module(repository: Path) -> None:
    listed = CliRunner().invoke(app, ["--help"]).stdout
    rules = "".join(path.read_text() for path in (repository / "workflow/rules").glob("*.smk"))
    for stage in STAGES:
        assert stage in listed
        assert f"rule {stage}:" in rules
        assert (repository / f"src/lightvad/stages/{stage}.py").is_file()


@pytest.mark.parametrize("stage", STAGES)
def test_help_says_what_is_written(stage: str) -> None:
    shown = CliRunner().invoke(app, [stage, "--help"])
    assert shown.exit_code == 0
    assert "Writes" in shown.stdout or "writes" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["evaluate", "--run", "results/plaza"], "--run results/plaza: not a run"),
        (["fetch", "--dataset", "nowhere"], "config/datasets/nowhere.yaml: missing"),
        (["evaluate", "--run", "results/runs/plaza/smoke/fast_aed/default/seed0"], "missing"),
        (["benchmark"], "give one of --run, --method (with --out"),
        (["benchmark", "--table", "2"], "--table needs --dataset"),
        (["table", "--number", "7", "--datasets", "plaza", "--budget", "smoke", "--seeds", "a"], "--seeds a"),
        (["fetch", "--dataset", "plaza", "--set", "datasets.plaza.fsp=3"], "fsp: unknown key; allowed here: clips"),
        (["fetch", "--dataset", "plaza", "--set", "datasets.plaza.fps=-3"], "fps: Input should be greater than 0"),
    ],
)
def test_a_mistake_is_one_line_and_status_1(
    repository: Path, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    (tmp_path / "config").symlink_to(repository / "config")
    ended = lightvad(*arguments, cwd=tmp_path)
    assert ended.returncode == 1
    assert complaint in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "Traceback" not in ended.stderr


def test_runs_are_named_by_their_folder() -> None:
    assert RUN_PATTERN.search("results/runs/ped2/quick/fast_aed/default/seed0")
