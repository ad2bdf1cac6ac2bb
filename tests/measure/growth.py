"""What `lightvad score` costs against the length of a video: `python -m tests.measure.growth --model EXPORT`.

Drawn videos of growing length are scored by the command itself, each in a process of its own; time that passes before
the first frame (measured on a video of one frame) is taken off. Time should be in proportion to the frames, and peak
memory the same.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lightvad.artifacts.documents import write_json
from lightvad.artifacts.records import processor_name
from tests.measure.footage import write_walk


def main(arguments: list[str] | None = None) -> None:
    """Print a line for every length; write them all to `--out`."""
    parser = argparse.ArgumentParser(prog="python -m tests.measure.growth", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="an export")
    parser.add_argument("--frames", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--width", type=int, default=360)
    parser.add_argument("--film", action="store_true", help="write annotated films, too")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file")
    options = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start, _ = scored(folder, 1, options)
        for frames in options.frames:
            seconds, memory = scored(folder, frames, options)
            rows.append(
                {"frames": frames, "seconds": seconds - start, "peak_memory_mb": memory, "start_seconds": start}
            )
            own = rows[-1]
            each, first = (1000 * one["seconds"] / one["frames"] for one in (own, rows[0]))
            print(
                f"{frames:,} drawn frames: {own['seconds']:.1f} s, {each:.3f} ms a frame ({each / first:.2f} of the"
                f" first), peak memory {memory:.0f} MiB ({memory / rows[0]['peak_memory_mb']:.2f} of the first)",
                flush=True,
            )
    size = {"footage": "drawn", "height": options.height, "width": options.width, "film": options.film}
    write_json(options.out, {"device": processor_name(), "model": options.model.name, **size, "rows": rows})


def scored(folder: Path, frames: int, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds and peak memory (MiB) of the command on a drawn video.

    Raises:
        RuntimeError: the command failed, or did not score every frame.
    """
    video = folder / f"walk{frames}.mp4"
    write_walk(video, frames=frames, height=options.height, width=options.width)
    film = [] if options.film else ["--no-film"]
    given = ["--model", str(options.model), "--out", str(folder), *film]
    command = [sys.executable, "-m", "lightvad", "score", str(video), *given]
    begun = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    rows = sum(1 for _ in (folder / f"{video.stem}.scores.csv").open()) - 1 if process.returncode == 0 else 0
    if rows != frames:
        message = f"{json.dumps(command)}: status {process.returncode}, {rows} rows of {frames}"
        raise RuntimeError(message)
    for made in folder.glob(f"{video.stem}.*"):
        made.unlink()
    return seconds, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
