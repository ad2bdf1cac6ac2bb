"""Live video of anybody, watched by a trained detector."""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from lightvad.deploy.live import REACH
from lightvad.deploy.sources import Source, is_file
from lightvad.deploy.watch import Stream, say_counts, watch
from lightvad.errors import LightvadError
from lightvad.progress import say
from lightvad.project import Project
from lightvad.stages.machine import Machine
from lightvad.stages.videos import check_threshold, open_model
from lightvad.video.decoding import video_info


def run(
    project: Project,
    sources: Sequence[str],
    machine: Machine,
    *,
    model: str,
    engine: str | None,
    threshold: float | None,
    calibrate: float,
    per_hour: float,
    fps: float | None,
    latency: float,
    seconds: float | None,
    paced: bool,
    events: Path | None,
) -> list[Stream]:
    """Watch sources; an alarm is a line of JSON when it begins and one when it has ended.

    Args:
        project: where runs and named models lie.
        sources: files, cameras (/dev/video0) and addresses (rtsp://...), each once.
        machine: device and CPU threads.
        model: see `stages.videos.open_model`.
        engine: see `deploy.engines`.
        threshold: of the smoothed scores; None: the model's own, or by `calibrate`.
        calibrate: seconds of each stream that are normal, on which its threshold is chosen; 0: not.
        per_hour: false alarms an hour for which it is chosen.
        fps: of cameras and addresses; None: the model's. A file says its own.
        latency: seconds of windows that may wait for the network; what is older is dropped.
        seconds: end after so long; None: when all sources have ended.
        paced: whether files are read at their own rate.
        events: a file to append to; None: standard output.

    Raises:
        LightvadError: there is no such model, no threshold, a file is not there, or `events` cannot be written.
    """
    if len(set(sources)) < len(sources):
        message = "watch: a source is named twice; name each once"
        raise LightvadError(message)
    if calibrate > 0 and threshold is not None:
        message = "watch: --calibrate chooses a threshold and --threshold gives one; leave out one of them"
        raise LightvadError(message)
    check_threshold(threshold)
    rates = {name: video_info(Path(name)).fps for name in sources if is_file(name)}
    machine.apply()
    detector = open_model(project, model, machine, engine=engine)
    manifest = detector.manifest
    if calibrate == 0 and threshold is None:
        if manifest.threshold is None:
            message = "watch: the model has no threshold; give --threshold, or --calibrate SECONDS of normal video"
            raise LightvadError(message)
        threshold = manifest.threshold.value
    rates = {name: rates.get(name, fps or manifest.fps) for name in sources}
    watched = [
        Source(name, rate, partial(detector.windows, rate), latency=latency, paced=paced)
        for name, rate in rates.items()
    ]
    known_after = REACH * manifest.smoothing_seconds
    say(
        f"{manifest.title}: {detector.engine.name} in {detector.engine.precision}, {len(watched)} sources; a score is"
        f" known {known_after:g} s after its frame (smoothing), and at most {latency:g} s more if the network is late"
    )
    try:
        with _opened(events) as out, _stopped_by_signals() as stop:
            streams = watch(
                detector, watched, threshold=threshold, calibrate=calibrate, per_hour=per_hour, seconds=seconds,
                tell=partial(_tell, out), stop=stop,
            )  # fmt: skip
    except OSError as error:
        message = (
            f"{events or 'standard output'}: cannot be written ({error.strerror}); free disk space or give another file"
        )
        raise LightvadError(message) from error
    say_counts(streams)
    return streams


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM (the end of a service) set once; the next one does what it always does."""
    stop = threading.Event()
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}

    def end(_number: int, _frame: object) -> None:
        stop.set()
        for one, handler in before.items():
            signal.signal(one, handler)

    for one in before:
        signal.signal(one, end)
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _opened(events: Path | None) -> TextIO:
    # A copy of standard output, so that closing it leaves that open.
    return open(sys.stdout.fileno(), "w", closefd=False) if events is None else events.open("a")


def _tell(out: TextIO, line: str) -> None:
    out.write(f"{line}\n")
    out.flush()
