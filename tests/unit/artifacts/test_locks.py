"""A lock goes with its process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightvad.artifacts.locks import alive, locked
from lightvad.errors import LightvadError

TRY = (
    "import sys\n"
    "from pathlib import Path\n"
    "from lightvad.artifacts.locks import locked\n"
    "from lightvad.errors import LightvadError\n"
    "try:\n"
    "    with locked(Path(sys.argv[1]), what='the run'):\n"
    "        print('taken')\n"
    "except LightvadError as error:\n"
    "    print(error)\n"
)


def attempt(path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", TRY, str(path)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_only_one_process_holds_it_and_the_next_one_may_when_it_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "run" / ".lock"
    with locked(path, what="the run"):
        assert attempt(path).startswith("the run: process ")
    assert attempt(path) == "taken"
    path.write_text("4711")
    assert attempt(path) == "taken", "an old number locks nothing"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(LightvadError, match=r"\.lock: cannot be written"), locked(tmp_path / "run" / ".lock", what=""):
        pass


def test_a_process_that_lives_is_seen_by_flock_and_a_killed_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "alive"
    ask = ["flock", "--nonblock", str(path), "true"]
    code = "import sys, time; from pathlib import Path; from lightvad.artifacts.locks import alive\n"
    code += "kept = alive(Path(sys.argv[1])); print(kept is not None, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        beside = alive(path)
        assert beside is not None
        os.close(beside)
        assert subprocess.run(ask, check=False).returncode == 1
        process.kill()
    assert subprocess.run(ask, check=False).returncode == 0
    alone = ["flock", str(path), sys.executable, "-c", code.replace("time.sleep(60)", ""), str(path)]
    assert subprocess.run(alone, capture_output=True, text=True, check=True).stdout == "False\n"
