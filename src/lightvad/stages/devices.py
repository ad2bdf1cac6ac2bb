"""One training on several devices of one machine: a process for each, which divide every batch among them."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from lightvad.artifacts.documents import read_json, write_json
from lightvad.artifacts.scratch import scratch_folder
from lightvad.compute import device_of
from lightvad.errors import LightvadError
from lightvad.methods.protocol import Job
from lightvad.shares import Share, join
from lightvad.stages.machine import Machine

Work = Callable[[Job], None]

GRACE_SECONDS = 3.0
"""Between the first failure and the end: the process that failed first is not always the first to be seen."""


def on_devices(work: Work, job: Job, machine: Machine) -> None:
    """Do `work` here, or, with several devices, in a process for each of them.

    Only what the first process writes is kept: the others have folders of their own in a scratch folder of the run,
    with a copy of the resume state.

    Args:
        work: a method's `pretrain` or `train`.
        job: what it is given.
        machine: whose `devices` says how many.

    Raises:
        LightvadError: there are not as many GPUs or threads, a process raised it, or one was killed.
    """
    count = machine.devices
    if count == 1:
        work(job)
        return
    if machine.cores < count:
        message = f"--devices {count}: {machine.cores} CPU threads are too few; give --threads {count} or more"
        raise LightvadError(message)
    if device_of(machine.device).type == "cuda":
        import torch

        if torch.cuda.device_count() < count:
            message = f"--devices {count}: torch sees {torch.cuda.device_count()} GPUs; give that number or fewer"
            raise LightvadError(message)
    context, port = multiprocessing.get_context("spawn"), _free_port()
    with scratch_folder(job.folder) as name:
        folders = [Path(name, str(rank)) for rank in range(count)]
        processes = []
        try:
            for rank, folder in enumerate(folders):
                folder.mkdir()
                given = (Share(rank, count), port, work, _job_of(job, rank, folder), machine, folder / "failure.json")
                processes.append(context.Process(target=_take_part, args=given, daemon=True))
                processes[-1].start()
            ended = _wait_for(processes)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.join()
        if ended[0] != 0:
            raise _failure(job.what, ended, folders)


def _wait_for(processes: Sequence[BaseProcess]) -> list[int | None]:
    """Until the first process has done its work, or one has failed: exit statuses, None where a process still runs."""
    while processes[0].exitcode is None and not any(process.exitcode for process in processes):
        # The first one always: it may end between the two lines, and to wait for nothing never ends.
        running = {process.sentinel for process in processes if process.exitcode is None}
        wait([*(running | {processes[0].sentinel})])
    if any(process.exitcode for process in processes):
        until = time.monotonic() + GRACE_SECONDS
        for process in processes:
            process.join(max(0.0, until - time.monotonic()))
    return [process.exitcode for process in processes]


def _failure(what: str, ended: Sequence[int | None], folders: Sequence[Path]) -> Exception:
    """The cause of a failure: what a process has told first of all, then which was killed, then any traceback."""
    told = [read_json(file) for folder in folders if (file := folder / "failure.json").is_file()]
    known = [one["line"] for one in told if one["known"]]
    killed = [(rank, -status) for rank, status in enumerate(ended) if status is not None and status < 0]
    if known:
        return LightvadError(known[0])
    if killed:
        rank, number = killed[0]
        message = (
            f"{what}: process {rank} of {len(ended)} was killed (signal {number}; 9 is often for want of memory: give"
            " fewer --devices); run again, it goes on after the last whole epoch"
        )
        return LightvadError(message)
    return RuntimeError(told[0]["line"] if told else f"{what}: processes ended with {ended}")


def _job_of(job: Job, rank: int, folder: Path) -> Job:
    # Without open files, which do not go to another process.
    job = replace(
        job, clips=job.clips.reopened(), other_clips={name: one.reopened() for name, one in job.other_clips.items()}
    )
    if rank == 0:
        return job
    with contextlib.suppress(FileNotFoundError):
        shutil.copytree(job.folder / "_resume", folder / "_resume")
    return replace(job, folder=folder)


def _take_part(own: Share, port: int, work: Work, job: Job, machine: Machine, failure: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them; the parent ends its children
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if own.rank:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # the first process tells the progress
    threads = machine.cores // own.count
    os.environ["OMP_NUM_THREADS"] = str(threads)  # or Fabric sets torch's threads by the number of cores
    Machine(machine.device, threads).apply()
    join(own, port)
    try:
        work(job)
    except LightvadError as error:
        write_json(failure, {"known": True, "line": str(error)})
        raise SystemExit(1) from error
    except Exception as error:
        write_json(failure, {"known": False, "line": traceback.format_exc()})
        raise SystemExit(1) from error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
