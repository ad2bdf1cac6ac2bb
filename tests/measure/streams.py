"""Many live streams for a long time: `python -m tests.measure.streams --model EXPORT`.

Drawn videos are watched by the command itself at their own pace, all at once. While it runs its memory is read every
few seconds; when it has ended, every frame of every stream must have been scored or counted as dropped.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lightvad.artifacts.documents import write_json
from lightvad.artifacts.records import processor_name
from tests.measure.footage import write_walk

COUNTS = re.compile(r"stream(\d+)\.mp4: (\d+) frames, (\d+) scored, (\d+) dropped, lost (\d+) times, (\d+) ms")
RATE = 25
SETTLED = 0.1
"""Share of the time after which memory should not grow any more."""


def main(arguments: list[str] | None = None) -> None:
    """Print what became of the frames and of memory; write it to `--out`."""
    parser = argparse.ArgumentParser(prog="python -m tests.measure.streams", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="an export")
    parser.add_argument("--streams", type=int, default=24)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--width", type=int, default=360)
    parser.add_argument("--every", type=float, default=5, help="seconds between two looks at memory")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file")
    options = parser.parse_args(arguments)
    frames = round(60 * options.minutes * RATE)
    with tempfile.TemporaryDirectory() as name:
        first = Path(name, "stream0.mp4")
        write_walk(first, frames=frames, height=options.height, width=options.width, rate=RATE)
        sources = [first, *(Path(name, f"stream{k}.mp4") for k in range(1, options.streams))]
        for source in sources[1:]:
            os.link(first, source)
        said, memory = watched(sources, options, Path(name, "alarms.jsonl"))
    last = {int(found[0]): [int(one) for one in found[1:]] for found in COUNTS.findall(said)}
    if len(last) < options.streams:
        message = f"{len(last)} of {options.streams} streams have told their counts:\n{said[-2000:]}"
        raise RuntimeError(message)
    lost = [k for k, (read, scored, dropped, _, _) in last.items() if read != frames or scored + dropped != read]
    settled = memory[int(SETTLED * len(memory)) :]
    half = len(settled) // 2
    content = {
        "device": processor_name(), "model": options.model.name, "streams": options.streams, "minutes": options.minutes,
        "footage": "drawn", "height": options.height, "width": options.width, "frames_a_stream": frames,
        "scored": sum(one[1] for one in last.values()), "dropped": sum(one[2] for one in last.values()),
        "streams_with_uncounted_frames": lost, "latency_ms": [one[4] for _, one in sorted(last.items())],
        "memory_mb": {
            "first_half": statistics.median(settled[:half]), "second_half": statistics.median(settled[half:]),
            "peak": max(memory),
        },
    }  # fmt: skip
    write_json(options.out, content)
    print(
        f"{options.streams} streams of {frames:,} drawn frames: {content['scored']:,} scored,"
        f" {content['dropped']:,} dropped, streams with uncounted frames: {lost or 'none'};"
        f" memory {content['memory_mb']} MiB"
    )


def watched(sources: list[Path], options: argparse.Namespace, events: Path) -> tuple[str, list[float]]:
    """What the command says, and its memory (MiB) every few seconds."""
    command = [
        sys.executable, "-m", "lightvad", "watch", *map(str, sources), "--model", str(options.model),
        "--threshold", "1e9", "--events", str(events),
    ]  # fmt: skip
    memory = []
    log = events.with_suffix(".log")
    with log.open("w") as told, subprocess.Popen(command, stderr=told) as process:
        while process.poll() is None:
            time.sleep(options.every)
            memory.append(resident(process.pid))
    if process.returncode:
        message = f"watch ended with status {process.returncode}:\n{log.read_text()[-2000:]}"
        raise RuntimeError(message)
    return log.read_text(), [one for one in memory if one]


def resident(process: int) -> float:
    """Memory of a process in MiB; 0 when it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    main()
