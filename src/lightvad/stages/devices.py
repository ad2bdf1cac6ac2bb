"""One training on several devices of one machine: a process for each, which divide every batch among them."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from lightvad.compute import device_of
from lightvad.errors import LightvadError
from lightvad.methods.protocol import Job
from lightvad.shares import Share, join
from lightvad.stages.machine import Machine
from lightvad.video.clips import ClipStore

Work = Callable[[Job], None]


def on_devices(work: Work, job: Job, machine: Machine) -> None:
    """Do `work` here, or, with several devices, in a process for each of them.

    Only what the first process writes is kept: the others have folders of their own, with a copy of the resume state.

    Args:
        work: a method's `pretrain` or `train`.
        job: what it is given.
        machine: whose `devices` says how many.

    Raises:
        LightvadError: there are not as many GPUs, or a process raised it.
    """
    count = machine.devices
    if count == 1:
        work(job)
        return
    if device_of(machine.device).type == "cuda":
        import torch

        if torch.cuda.device_count() < count:
            message = f"--devices {count}: torch sees {torch.cuda.device_count()} GPUs; give that number or fewer"
            raise LightvadError(message)
    context = multiprocessing.get_context("spawn")
    told: Any = context.SimpleQueue()
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="lightvad.") as scratch:
        processes: list[BaseProcess] = [
            context.Process(
                target=_take_part,
                args=(Share(rank, count), port, work, _job_of(job, rank, Path(scratch)), machine, told),
                daemon=True,
            )
            for rank in range(count)
        ]
        for process in processes:
            process.start()
        try:
            _wait_for(processes)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.join()
    if not told.empty():
        known, message = told.get()
        raise LightvadError(message) if known else RuntimeError(message)
    failed = [process.exitcode for process in processes if process.exitcode]
    if failed:
        message = f"{job.what}: a process of {count} ended with status {failed[0]}; run again, it resumes"
        raise LightvadError(message)


def _wait_for(processes: list[BaseProcess]) -> None:
    """Until all have ended, or one has failed: the others would wait for it."""
    running = list(processes)
    while running:
        wait([process.sentinel for process in running])
        if any(process.exitcode for process in running):
            return
        running = [process for process in running if process.exitcode is None]


def _job_of(job: Job, rank: int, scratch: Path) -> Job:
    job = replace(job, clips=ClipStore(job.clips.root))  # without open files, which do not go to another process
    if rank == 0:
        return job
    folder = scratch / str(rank)
    folder.mkdir()
    with contextlib.suppress(FileNotFoundError):
        shutil.copytree(job.folder / "_resume", folder / "_resume")
    return replace(job, folder=folder)


def _take_part(own: Share, port: int, work: Work, job: Job, machine: Machine, told: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them; the parent ends its children
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if own.rank:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # the first process tells the progress
    Machine(machine.device, max(1, machine.cores // own.count)).apply()
    join(own, port)
    try:
        work(job)
    except LightvadError as error:
        told.put((True, str(error)))
        raise SystemExit(1) from error
    except Exception as error:
        told.put((False, traceback.format_exc()))
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
