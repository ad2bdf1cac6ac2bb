"""A real SLURM of one node on this machine, private to the test: its own key, sockets, ports and folders."""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scancel", "scontrol")
CPUS = 2
START_SECONDS = 60
STOP_SECONDS = 20

CONFIGURATION = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=20000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why no SLURM can be started here; empty if it can."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    absent = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if absent:
        return f"{', '.join(absent)} not installed (Debian: munge, slurmctld, slurmd, slurm-client)"
    if find_spec("snakemake_executor_plugin_slurm") is None:
        return "snakemake-executor-plugin-slurm is not installed (make develop)"
    return ""


@contextmanager
def one_node_slurm() -> Iterator[dict[str, str]]:
    """Start munged, slurmctld and slurmd; gives the environment for commands that talk to them, and ends them after."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: the path of a socket has at most 107 characters
    configuration = folder / "slurm.conf"
    environment = {
        **os.environ,
        "PATH": f"{folder}/bin:{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
        "SLURM_CONF": str(configuration),
    }
    _lead_to(configuration)
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in _commands(folder):
            daemon = _started(command, folder, environment)
            daemons.append(daemon)
        _wait_until_idle(folder, daemons, environment)
        yield environment
    finally:
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(["scancel", "--user", getpass.getuser()], env=environment, check=False, timeout=STOP_SECONDS)
        for daemon in reversed(daemons):
            daemon.terminate()
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(STOP_SECONDS)
            daemon.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _lead_to(configuration: Path) -> None:
    """Put a `srun` before the real one: inside a job the plugin clears SLURM_CONF, and srun would look in /etc."""
    script = configuration.parent / "bin" / "srun"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun")} "$@"\n')
    script.chmod(0o755)


def _commands(folder: Path) -> list[list[str]]:
    """Write key and configuration; the daemons' command lines, all in the foreground."""
    controller, node = _free_ports(2)
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(1024))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            folder=folder,
            user=getpass.getuser(),
            host=socket.gethostname().split(".")[0],
            controller=controller,
            node=node,
            cpus=CPUS,
        )
    )
    files = {"key-file": key, "socket": folder / "munge.socket"}
    files |= {f"{kind}-file": folder / f"munged.{kind}" for kind in ("pid", "log", "seed")}
    # --force: that only this user can reach the socket is an error without it, and what is wanted here.
    return [
        ["munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in files.items())],
        ["slurmctld", "-D"],
        ["slurmd", "-D"],
    ]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _started(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / f"{command[0]}.out").open("wb") as out:
        daemon = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    if command[0] == "munged":
        _wait(lambda: (folder / "munge.socket").exists(), folder, [daemon])
    return daemon


def _wait_until_idle(folder: Path, daemons: list[subprocess.Popen[bytes]], environment: dict[str, str]) -> None:
    def idle() -> bool:
        told = subprocess.run(["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True, text=True, check=False)
        return told.stdout.strip() == "idle"

    _wait(idle, folder, daemons)


def _wait(ready: Callable[[], bool], folder: Path, daemons: list[subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > until or any(daemon.poll() is not None for daemon in daemons):
            logs = [file for pattern in ("*.out", "*.log") for file in sorted(folder.glob(pattern))]
            told = "\n".join(f"{file.name}: {file.read_text()[-2000:]}" for file in logs)
            message = f"SLURM did not start:\n{told}"
            raise RuntimeError(message)
        time.sleep(0.2)
