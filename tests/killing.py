"""Trainings in a process of their own that is killed by SIGKILL at a chosen step of their optimisers.

Run as a script by itself, with the file of a pickled `Work`.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from lightvad.methods.fast_aed import training
from lightvad.methods.protocol import Job
from lightvad.shares import share

Task = Callable[[], object]


def ended(tasks: Sequence[Task], folder: Path, *, kill_at: int | None = None) -> int:
    """Do `tasks` one after another in a new process; returns its exit status.

    Args:
        tasks: functions of no arguments that can be pickled.
        folder: for the pickle.
        kill_at: of the last task the step, counted from 1 over all of its optimisers, after which the process dies.
    """
    work = folder / "work.pickle"
    work.write_bytes(pickle.dumps((list(tasks), kill_at)))
    return subprocess.run([sys.executable, __file__, str(work)], check=False).returncode


@dataclass
class Death:
    """Counts the steps of all optimisers, and kills its own process at one of them."""

    steps_left: int

    def __call__(self, *_: object) -> None:
        self.steps_left -= 1
        if self.steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main(work: Path) -> None:
    tasks, kill_at = pickle.loads(work.read_bytes())  # noqa: S301 - written above
    torch.set_num_threads(1)
    for task in tasks[:-1]:
        task()
    if kill_at is not None:
        register_optimizer_step_post_hook(Death(kill_at))
    tasks[-1]()


def killed_in_the_second(job: Job) -> None:
    """A student's training of several processes, of which that of rank 1 is killed; to be handed to a process."""
    if share().rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    training.train(job)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
