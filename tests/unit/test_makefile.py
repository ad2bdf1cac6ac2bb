"""The command lines that the Makefile gives to the shell."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest


def snakemake_arguments(repository: Path, tmp_path: Path, command: str) -> list[str]:
    """What `make ...` would have snakemake started with; a program that prints its arguments takes its place."""
    binaries, project = tmp_path / "bin", tmp_path / "project"
    for file in ("Makefile", "workflow/alone.sh"):
        (project / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / file, project / file)
    binaries.mkdir()
    for name in ("snakemake", "lightvad"):
        (binaries / name).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (binaries / name).chmod(0o755)
    options = f"--no-print-directory --silent --old-file .venv/.runtime BIN={binaries}"
    script = f"{command.replace('make ', f'make --directory {project} {options} ', 1)}"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return ended.stdout.splitlines()


def readme_commands(repository: Path) -> list[str]:
    """Every `make reproduce ...` of the README with a SET."""
    return re.findall(r"^(make reproduce .*SET=.*)$", (repository / "README.md").read_text(), re.MULTILINE)


def test_overrides_of_the_readme_reach_snakemake_whole(repository: Path, tmp_path: Path) -> None:
    (command,) = [command for command in readme_commands(repository) if "class_probabilities" in command]
    told = snakemake_arguments(repository, tmp_path, command)
    assert (
        'set=["datasets.ped2.detection.backend=motion",'
        ' "datasets.ped2.detection.class_probabilities={source: none, onnx: null}",'
        ' "methods.ssmtl.settings.tasks=[arrow, irregularity, middle]"]' in told
    )


@pytest.mark.parametrize("quoted", ["SET=\"'a.b=c', 'd.e={f: g}'\"", "SET=\"'a.b=c'\""])
def test_single_quotes_in_overrides_reach_snakemake(repository: Path, tmp_path: Path, quoted: str) -> None:
    told = snakemake_arguments(repository, tmp_path, f"make report {quoted}")
    assert f"set=[{quoted.removeprefix('SET=').strip(chr(34))}]" in told


def test_a_folder_without_room_is_one_line_before_anything_runs(repository: Path, tmp_path: Path) -> None:
    script = 'ulimit -f 48; trap "" XFSZ; exec "$0" echo started'
    command = ["bash", "-c", script, str(repository / "workflow/alone.sh")]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"lightvad: {tmp_path}/.snakemake: cannot be written")
    assert ended.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / ".snakemake").iterdir()] == ["alive"]


@pytest.mark.parametrize(("device", "limit"), [("cuda", ["--resources", "gpu=1"]), ("auto", []), ("cpu", [])])
def test_one_training_at_a_time_on_a_gpu(repository: Path, tmp_path: Path, device: str, limit: list[str]) -> None:
    told = snakemake_arguments(repository, tmp_path, f"make report DEVICE={device}")
    found = [told[k : k + 2] for k, word in enumerate(told) if word == "--resources"]
    assert found == ([limit] if limit else [])


@pytest.mark.parametrize(("dataset", "shown"), [("ped2", {"fast_aed/figure7.png"}), ("plaza", {"fast_aed", "aed_mae"})])
def test_no_frame_of_a_benchmark_is_published(repository: Path, tmp_path: Path, dataset: str, shown: set[str]) -> None:
    """Figure 7 is a plot of numbers in one paper, and shows frames in the other."""
    shutil.copy(repository / "Makefile", tmp_path)
    for folder in (f"tables/{dataset}/smoke", f"runs/{dataset}/smoke"):
        (tmp_path / "results" / folder).mkdir(parents=True)
    for paper in ("fast_aed", "aed_mae"):
        for number in (5, 7):
            path = tmp_path / f"results/figures/{dataset}/smoke/{paper}/figure{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    command = ["make", "--silent", "--directory", str(tmp_path), "publish", f"DATASET={dataset}", "BUDGET=smoke"]
    subprocess.run(command, check=True, capture_output=True)
    published = {path.as_posix() for path in (tmp_path / "results/published").rglob("*.png")}
    assert len(published) == (1 if dataset == "ped2" else 4)
    assert all(any(part in path for part in shown) for path in published)
