"""A failed `make` ends with the one line that says why."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.workflow.conftest import Checkout, copy_project

pytestmark = pytest.mark.slow

OLD = "lightvad: an older fault"


def make(checkout: Checkout, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `make report` for own videos at smoke budget, with the programs of these tests."""
    binaries = Path(checkout.environment()["PATH"].split(os.pathsep)[0])
    given = {"BIN": str(binaries), "DATASET": "folder", "BUDGET": "smoke", "CORES": "1"} | variables
    return checkout.run("make", "-o", ".venv/.runtime", "report", *(f"{key}={value}" for key, value in given.items()))


def test_a_failed_run_ends_with_the_line_of_the_stage_that_failed(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    checkout = copy_project(repository, tmp_path / "project")
    (tmp_path / "mirror/normal").mkdir(parents=True)
    (tmp_path / "mirror/normal/monday.mp4").write_bytes(b"not looked at: something else is missing")
    (checkout.root / "logs/folder").mkdir(parents=True)
    for log in ("fetch", "prepare"):
        (checkout.root / f"logs/folder/{log}.log").write_text(f"{OLD}\n")
    ended = make(checkout, MIRROR=str(tmp_path / "mirror"))
    # The last line is make's own; its status is not that of what it ran.
    *_, told, of_make = ended.stderr.splitlines()
    assert told.startswith("lightvad: ")
    assert f"{tmp_path}/mirror: nothing is found as score/*; put videos of normal life into" in told
    assert ended.returncode == 2
    assert of_make.endswith("Error 1")
    assert OLD not in ended.stdout + ended.stderr
    # A job that fails without a word of its own is not given that of another.
    rule = checkout.root / "workflow/rules/fetch.smk"
    rule.write_text(rule.read_text().replace('"{LIGHTVAD} fetch', '"false && {LIGHTVAD} fetch'))
    ended = make(checkout, MIRROR=str(tmp_path / "mirror"))
    assert "lightvad: " not in ended.stdout + ended.stderr
    assert "At least one job did not complete successfully." in ended.stderr.splitlines()[-2]
