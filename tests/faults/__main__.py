"""The fault harness: `python -m tests.faults`, or `make faults`.

Every trial has a kind and a number, and all that is random in it comes from these two and the seed; so a trial can be
repeated alone. Its outcome is a line of WORK/trials.jsonl, and a trial that has one is not done again: the harness may
be stopped at any moment and started again.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.locks import locked
from lightvad.artifacts.records import processor_name
from lightvad.errors import LightvadError
from tests.faults.project import FaultyProject, binaries_here, source_digest
from tests.faults.trials import KINDS, TITLES, NotHereError, Outcome

REPOSITORY = Path(__file__).resolve().parents[2]
MARKER = "undisturbed.json"
RESULTS = ("survived", "reported", "unnamed", "silent")


def main(arguments: list[str] | None = None) -> int:
    """Do what is not done yet; returns 1 if any trial was silent or unnamed."""
    options = parsed(arguments)
    work = options.work.resolve()
    with locked(work / ".lock", what=str(work)):
        return _tried(options, work)


def _tried(options: argparse.Namespace, work: Path) -> int:
    project = FaultyProject(work / "project", work, options.bin.absolute(), cores=options.cores)
    project.end_left()
    seconds = undisturbed(project, options.experiment)
    if options.trial is not None:
        outcome = once(project, options.kind, options.trial, options.seed, seconds)
        print(json.dumps(asdict(outcome), indent=1))
        return int(outcome.result not in RESULTS[:2])
    log = project.work / "trials.jsonl"
    for kind in [options.kind] if options.kind else KINDS:
        number = 0
        while not enough(done(log, options.seed), kind, number, options):
            if number not in {line["trial"] for line in done(log, options.seed) if line["kind"] == kind}:
                started = time.monotonic()
                try:
                    outcome = once(project, kind, number, options.seed, seconds)
                except NotHereError as error:
                    print(f"{kind}: left out: {error}", flush=True)
                    break
                line = {"kind": kind, "trial": number, "seed": options.seed, **asdict(outcome)}
                line["seconds"] = round(time.monotonic() - started)
                with log.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(f"{kind} {number}: {outcome.result}: {outcome.done}. {outcome.told}", flush=True)
            number += 1
    lines = done(log, options.seed)
    text = page(lines, project, seconds, options)
    print(text)
    if options.write is not None:
        options.write.write_text(text)
    return int(any(line["result"] not in RESULTS[:2] for line in lines))


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--work", type=Path, default=REPOSITORY / ".faults", help="a folder for copy, log and outcome")
    parser.add_argument("--bin", type=Path, default=binaries_here(), help="where snakemake and lightvad are")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--kills", type=int, default=100, help="at least as many, over several lives of the pipeline")
    parser.add_argument("--trials", type=int, default=20, help="of each other kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=list(KINDS), help="this kind alone")
    parser.add_argument("--trial", type=int, help="with --kind: repeat this one, and log nothing")
    parser.add_argument("--experiment", type=Path, help="takes the place of config/experiments/fast_aed.yaml")
    parser.add_argument("--write", type=Path, help="the page that holds the outcome")
    options = parser.parse_args(arguments)
    if options.trial is not None and options.kind is None:
        parser.error("--trial needs --kind")
    return options


def undisturbed(project: FaultyProject, experiment: Path | None) -> float:
    """Seconds of the undisturbed run, which is made first if there is none of this source."""
    marker = project.work / MARKER
    source = source_digest(REPOSITORY) + (sha256_of(experiment) if experiment else "")
    if marker.is_file():
        kept = json.loads(marker.read_text())
        if kept["source"] != source:
            sys.exit(f"{project.work}: made from another source ({kept['commit']}); delete the folder, or name another")
        return float(kept["seconds"])
    print(f"undisturbed run in {project.root}", flush=True)
    project.work.mkdir(parents=True, exist_ok=True)
    project.copy(REPOSITORY, experiment)
    started = time.monotonic()
    ended = project.run()
    seconds = time.monotonic() - started
    verified = project.lightvad("verify")
    if ended.status or verified.status:
        sys.exit(f"the undisturbed run failed: {ended.last} {verified.last}; see {project.work / 'make.log'}")
    project.keep()
    facts = {"commit": commit(), "source": source, "seconds": seconds}
    marker.write_text(json.dumps(facts))
    return seconds


def commit() -> str:
    """The commit of the source, with a `+` if the working tree differs from it."""
    told = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    return subprocess.run(told, capture_output=True, text=True, check=True).stdout.strip()


def once(project: FaultyProject, kind: str, number: int, seed: int, seconds: float) -> Outcome:
    return KINDS[kind](project, random.Random(f"{seed} {kind} {number}"), seconds)


def done(log: Path, seed: int) -> list[dict[str, object]]:
    """What the log says of this seed; a line that a kill of the harness has cut off counts for nothing."""
    lines = []
    for text in log.read_text().splitlines() if log.is_file() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return [line for line in lines if line["seed"] == seed]


def enough(lines: list[dict[str, object]], kind: str, number: int, options: argparse.Namespace) -> bool:
    if kind != "kill":
        return number >= options.trials
    before = [line for line in lines if line["kind"] == kind and int(str(line["trial"])) < number]
    return sum(int(str(line["faults"])) for line in before) >= options.kills


def page(lines: list[dict[str, object]], project: FaultyProject, seconds: float, options: argparse.Namespace) -> str:
    rows = []
    for kind, title in TITLES.items():
        own = [line for line in lines if line["kind"] == kind]
        counted = {name: sum(int(str(line["faults"])) for line in own if line["result"] == name) for name in RESULTS}
        told = f"{title} ({len(own)} lives)" if kind == "kill" else title
        told += "" if own else " (left out: not tried here)"
        rows.append(f"| {told} | {sum(counted.values())} | {' | '.join(str(n) for n in counted.values())} |")
    command = f"python -m tests.faults --kills {options.kills} --trials {options.trials} --seed {options.seed}"
    command += f" --experiment {options.experiment.name}" if options.experiment else ""
    minutes = sum(int(str(line["seconds"])) for line in lines) / 60
    return TEXT.format(
        rows="\n".join(rows),
        command=command,
        commit=json.loads((project.work / MARKER).read_text())["commit"],
        date=time.strftime("%Y-%m-%d"),
        machine=f"{processor_name()}, {options.cores} cores",
        minutes=f"{minutes:.0f}",
        seconds=f"{seconds:.0f}",
    )


TEXT = """# Faults

What `make faults` did to the smoke pipeline of plaza, and how it ended. Every trial is compared with an undisturbed run
of the same source, byte for byte: weights, scores, maps, boxes, clips, metrics, tables and figures. Left out is what
holds a measured time: `speed.json`, the two speed-accuracy figures, captions of tables, LaTeX (its rows are those of
the Markdown, which are compared), the report's page, the column `seconds` of training CSVs, and the records.

| fault | tried | survived | reported | unnamed | silent |
| --- | --- | --- | --- | --- | --- |
{rows}

- **survived**: the same bytes as the undisturbed run. A damaged file that no stage read afterwards was named by
  `lightvad verify`.
- **reported**: an error named the file (or, where a run was started twice, said so), and when it was mended (the file
  deleted, room made) the same command ended with the same bytes.
- **unnamed**: an error that did not name the file, or that could not be mended. Must be 0.
- **silent**: other bytes, and nobody said so. Must be 0.

Command `{command}`, commit {commit}, {date}, {machine}; undisturbed run {seconds} s, all trials {minutes} minutes.
Trials are numbered and seeded: `python -m tests.faults --kind flip --trial 3` does one again. The log is
`.faults/trials.jsonl`.

## What is promised

- A killed run goes on when the same command is given again: `make` takes away Snakemake's locks if, and only if, no
  other run is alive (a lock of the kernel, which goes with its process), stages that had not ended are done again, and
  trainings go on after their last whole epoch.
- A training that was killed at any step ends on the CPU with the bytes of an undisturbed one. This holds for all five
  (T1, T2, pre-training, distillation, the detector of plaza) with the same number of threads. A resume state that is
  damaged, or was made by another configuration, code or data, is refused in one line that names it.
- A stage reads a file that another stage has made only if it has the sha256 that this stage's record names. That costs
  nothing beside the checksums that its own record needs anyway. Clips, masks and true boxes are compared with
  `checksums.json` when they are opened, once for each process. Records and resume states hold their own checksum.
- `make reproduce` prints a table only if it is the one that was written. What nobody reads any more is named by
  `lightvad verify`.
"""


if __name__ == "__main__":
    shutil.which("make") or sys.exit("make: not found")
    try:
        sys.exit(main())
    except LightvadError as error:  # another harness is at work in this folder
        sys.exit(f"faults: {error}")
