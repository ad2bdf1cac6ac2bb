"""A DVC remote over SSH, against a real sshd: push, fresh clone, pull, reproduce.

The sshd is an ordinary process on a free port of 127.0.0.1, with host key, configuration and authorized key in the
test's folder. Expected: what was pushed arrives byte for byte and nothing is to be done; a table made anew from the
pulled scores has the same bytes. Without an sshd the test is skipped.
"""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.workflow.conftest import Checkout, clone_of

pytestmark = pytest.mark.slow

SEPARATION = Path("/run/sshd")
"""Where an sshd of the superuser locks in its unprivileged part; Debian makes it when its service starts."""


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with a key pair, and nothing of the user's own."""
    folder = tmp_path / "home/.ssh"
    folder.mkdir(parents=True, mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "id_ed25519"], check=True)
    return folder.parent


@pytest.fixture
def port(home: Path, tmp_path: Path) -> Iterator[int]:
    """The port of an sshd that knows the key of `home`; its host key is in the home's known_hosts."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if sshd is None:
        pytest.skip("no sshd here: install openssh-server to exercise a remote over SSH")
    number, folder, is_root = free_port(), tmp_path / "sshd", os.geteuid() == 0
    folder.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host"], check=True)
    shutil.copy(home / ".ssh/id_ed25519.pub", folder / "authorized_keys")
    host_key = " ".join((folder / "host.pub").read_text().split()[:2])
    (home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{number} {host_key}\n")
    settings = {
        "Port": str(number),
        "ListenAddress": "127.0.0.1",
        "HostKey": str(folder / "host"),
        "AuthorizedKeysFile": str(folder / "authorized_keys"),
        "PidFile": str(folder / "pid"),
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        # The superuser's account is locked in containers, and only PAM lets a key in all the same.
        "UsePAM": "yes" if is_root else "no",
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    made = is_root and not SEPARATION.exists()
    if made:
        SEPARATION.mkdir(mode=0o755)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([sshd, "-D", "-e", "-f", folder / "config"], stderr=log)
    try:
        until = time.monotonic() + 60
        while not answers(number):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, "sshd does not answer"
            time.sleep(0.1)
        yield number
    finally:
        server.terminate()
        server.wait()
        if made:
            SEPARATION.rmdir()


def test_push_clone_pull_reproduce(finished: Checkout, home: Path, port: int, tmp_path: Path) -> None:
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path / 'store'}"
    added = finished.dvc("remote", "add", "--local", "ssh", url)
    assert added.returncode == 0, added.stderr
    stages = ("data@plaza", "boxes@plaza", "scores@plaza-smoke", "tables@plaza-smoke")
    try:
        pushed = finished.dvc("push", "--remote", "ssh", *stages, HOME=str(home))
    finally:
        finished.dvc("remote", "remove", "--local", "ssh")
    assert pushed.returncode == 0, pushed.stderr + (tmp_path / "sshd/log").read_text()
    clone = clone_of(finished, tmp_path / "clone", url)
    ended = clone.exchange("pull", HOME=str(home))
    assert ended.returncode == 0, ended.stderr + (tmp_path / "sshd/log").read_text()
    assert clone.planned() == set()
    weights = "results/runs/plaza/smoke/fast_aed/default/seed0/model.safetensors"
    assert (clone.root / weights).read_bytes() == (finished.root / weights).read_bytes()
    table = "results/tables/plaza/smoke/fast_aed/table7.csv"
    (clone.root / table).unlink()
    assert clone.snakemake("fast_aed_table7").returncode == 0
    assert (clone.root / table).read_bytes() == (finished.root / table).read_bytes()
    again = clone.dvc("repro", "--dry", "tables@plaza-smoke")
    assert again.returncode == 0, again.stderr
    assert "tables@plaza-smoke" in again.stdout
    assert "Running stage 'scores" not in again.stdout, "nothing is trained again"


def test_a_server_that_does_not_answer_is_one_line(finished: Checkout, home: Path, tmp_path: Path) -> None:
    clone = clone_of(finished, tmp_path / "clone", f"ssh://nobody@127.0.0.1:{free_port()}/store")
    ended = clone.exchange("pull", HOME=str(home))
    assert ended.returncode == 1
    told = [line for line in ended.stderr.splitlines() if not line.startswith("dvc pull ")]
    assert len(told) == 1, told
    assert told[0].startswith("exchange: dvc pull: ")
