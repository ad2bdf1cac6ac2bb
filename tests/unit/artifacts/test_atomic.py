"""Files appear whole or not at all."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lightvad.artifacts.atomic import atomic_path, write_bytes, write_text
from lightvad.errors import LightvadError


def test_nothing_is_left_when_the_writer_fails(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_suffix_is_kept_for_libraries_that_look_at_it(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a" / "b.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path / "a"
        temporary.write_bytes(b"x")
    assert (tmp_path / "a" / "b.png").read_bytes() == b"x"


def test_a_kill_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "weights.bin"
    write_bytes(target, b"old")
    code = (
        "import os, signal, pathlib\n"
        "from lightvad.artifacts.atomic import atomic_path\n"
        f"with atomic_path(pathlib.Path({str(target)!r})) as t:\n"
        "    t.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(LightvadError, match="No space left on device") as raised,
        atomic_path(tmp_path / "maps.npz") as _,
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x" * 4096)
    assert "maps.npz" in str(raised.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(LightvadError, match="cannot be written"):
        write_text(tmp_path / "x.txt", "x")


def test_an_input_that_cannot_be_read_is_named_and_the_disk_is_not_blamed(tmp_path: Path) -> None:
    gone = tmp_path / "gone.jpg"
    with pytest.raises(LightvadError) as raised, atomic_path(tmp_path / "clip.zip") as temporary:
        shutil.copyfile(gone, temporary)
    assert str(raised.value).startswith(f"{gone}: No such file or directory; ")
    assert "clip.zip was being made from it and was not written" in str(raised.value)
    assert "written (" not in str(raised.value)
    assert "disk" not in str(raised.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "named", "said"),
    [
        # `shutil.copyfile` gives its error the name of the source, also where the destination is full.
        (errno.ENOSPC, "source.tar", r"made\.bin: cannot be written \(No space left.*free disk space"),
        (errno.EACCES, "temporary", r"made\.bin: cannot be written \(Permission denied"),
        (errno.EACCES, "source.tar", r"source\.tar: Permission denied; .*made\.bin was being made from it"),
        (errno.EIO, None, r"made\.bin: not written \(Input/output error\).*could not be read, or"),
    ],
)
def test_an_error_is_about_the_file_that_it_names_unless_there_is_no_room(
    tmp_path: Path, number: int, named: str | None, said: str
) -> None:
    with pytest.raises(LightvadError, match=said) as raised, atomic_path(tmp_path / "made.bin") as temporary:
        raise OSError(number, os.strerror(number), temporary if named == "temporary" else named)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())
