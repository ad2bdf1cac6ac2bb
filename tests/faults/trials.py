"""What may happen to a run, each as a trial that can be repeated by its number."""

import contextlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.documents import read_sealed
from lightvad.errors import LightvadError
from lightvad.layout import CHECKSUMS, GATHERED, files_made, is_record
from tests.faults.project import LIMIT, Ended, FaultyProject, kill

Result = Literal["survived", "reported", "unnamed", "silent"]
"""
survived: the run ended as an undisturbed one;
reported: an error named the file, and once that was mended the run ended as an undisturbed one;
unnamed: an error that did not name it, or that could not be mended;
silent: something else than what an undisturbed run gives, and nobody said so.
"""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: its result, what was done and what was told, and how many faults there were."""

    result: Result
    done: str
    told: str = ""
    faults: int = 1


Damage = Callable[[Path, random.Random], str]
"""Damages a file, which is not empty; says what was done."""
Trial = Callable[[FaultyProject, random.Random, float], Outcome]
"""From the project, the trial's own random numbers, and the seconds that an undisturbed run takes."""


LONGEST_LIFE = 20.0
"""Seconds after which a run is killed at the latest, while that lets stages end."""


def kills(project: FaultyProject, draw: random.Random, seconds: float) -> Outcome:
    """One life of a project, from nothing to the table: started, killed at random, started again, until done."""
    project.wipe()
    return killed_until_done(project, draw, min(seconds / 3, LONGEST_LIFE))


def killed_until_done(project: FaultyProject, draw: random.Random, longest: float, most: int | None = None) -> Outcome:
    """Start and kill again and again, as the project lies there, until a run ends by itself.

    After `most` kills (None: however many it takes) the run is left alone.

    A kill comes at most `longest` seconds after the start. Where one came before any stage had ended, the next may come
    later: there are stages that begin anew.
    """
    first, done, count = longest, 0, 0
    while True:
        process = project.start()
        left_alone = most is not None and count >= most
        ended = project.wait(process, seconds=LIMIT if left_alone else draw.uniform(0.5, longest))
        if ended is not None:
            return _as_undisturbed(project, ended, f"{count} kills", faults=count)
        kill(process)
        if left_alone:
            return Outcome("unnamed", f"{count} kills", f"no end in {LIMIT:.0f} s", count)
        count += 1
        now = sum(is_record(file) for file in files_made(project.root))
        longest, done = (first if now > done else longest * 1.5), now


def flip(project: FaultyProject, draw: random.Random, seconds: float) -> Outcome:
    """One bit of one file is turned over, while the workflow rests or has yet to read it."""
    return _somewhere(project, draw, flipped)


def cut(project: FaultyProject, draw: random.Random, seconds: float) -> Outcome:
    """One file is cut off, while the workflow rests or has yet to read it."""
    return _somewhere(project, draw, cut_off)


def lost(project: FaultyProject, draw: random.Random, seconds: float) -> Outcome:
    """One file is deleted, while the workflow rests or has yet to read it."""
    return _somewhere(project, draw, deleted)


def state(project: FaultyProject, draw: random.Random, seconds: float) -> Outcome:
    """A training is killed between two epochs, and its resume state damaged."""
    project.restore()
    trained = sorted(record.path.as_posix() for record in project.records() if record.stage in ("train", "pretrain"))
    chosen = draw.choice(trained)
    (record,) = [record for record in project.records() if record.path.as_posix() == chosen]
    project.forget(record.outputs, themselves=True)
    folder = project.root / record.folder / "_resume"
    process = project.start()
    while not (found := [path for path in folder.glob("*.pt") if path.name[0] != "."]):
        if (ended := project.wait(process, seconds=0.005)) is not None:
            return Outcome("unnamed", f"{chosen}: no state of it was seen", ended.last)
    kill(process)
    victim, damage = found[0], draw.choice([flipped, cut_off])
    if not victim.is_file():
        return _as_undisturbed(project, project.run(), f"{chosen} had ended before the kill")
    done = f"{damage(victim, draw)} of {victim.relative_to(project.root)}"
    return _named(project, project.run(), victim, done, mend=victim.unlink)


def full(project: FaultyProject, draw: random.Random, seconds: float) -> Outcome:
    """results/ lies on a disk (tmpfs) that becomes full while some stages still have to write."""
    needed, done = _unfinished(project, draw)
    spare = draw.randrange(0, max(needed, 2))
    with _small_disk(project, spare):
        ended = project.run()
    return _no_room(project, ended, f"{done}; room for {spare} of {needed} bytes")


def limit(project: FaultyProject, draw: random.Random, seconds: float) -> Outcome:
    """No file may grow beyond some size (RLIMIT_FSIZE): what a quota or a full disk is to whoever writes."""
    _, done = _unfinished(project, draw)
    largest = draw.choice([96, 1536, 4096, 16384])
    return _no_room(project, project.run(limit=largest), f"{done}; files up to {largest} KiB")


def twice(project: FaultyProject, draw: random.Random, seconds: float) -> Outcome:
    """The same run is started twice, within seconds; one of the two does the work."""
    _, done = _unfinished(project, draw)
    first = project.start("make")
    time.sleep(draw.uniform(0, 6))
    second = project.start("make2")
    ends = [project.wait(first, "make"), project.wait(second, "make2")]
    done = f"{done}; twice"
    refused = [ended for ended in ends if ended is not None and ended.status != 0]
    if len(refused) > 1 or any("another run is at work here" not in ended.text for ended in refused):
        return Outcome("unnamed", done, " | ".join(ended.last for ended in refused))
    outcome = _as_undisturbed(project, project.run(), done)
    told = refused[0].last if refused else outcome.told
    return Outcome("reported" if refused and outcome.result == "survived" else outcome.result, done, told)


def change(project: FaultyProject, draw: random.Random, seconds: float) -> Outcome:
    """A run with another configuration is killed, or fails for want of room; then the old one is asked for again."""
    project.restore()
    other = draw.choice(CHANGES)
    changed = replace(project, overrides=(*project.overrides, other))
    if draw.random() < 0.5:
        done = f"{other}; killed"
        process = changed.start()
        if changed.wait(process, seconds=draw.uniform(0.05, 0.5) * seconds) is None:
            kill(process)
    else:
        largest = draw.choice([4, 16, 64])
        done = f"{other}; files up to {largest} KiB"
        changed.run(limit=largest)
    ended = project.run()
    left = [path for path in (project.root / "results").rglob("_resume/*.pt") if path.name in ended.text]
    if ended.status != 0 and left:
        return _named(project, ended, left[0], done, mend=left[0].unlink)
    return _as_undisturbed(project, ended, done)


CHANGES = (
    "budgets.smoke.bootstrap=50",
    "datasets.plaza.smoothing.plain_seconds=0.7",
    "datasets.plaza.object_maps.quantiles=[0.01, 0.99]",
    "budgets.smoke.methods.ssmtl.training.epochs=2",
    "budgets.smoke.methods.ssmtl.training.batch=16",
    "datasets.plaza.detection.motion.threshold=12",
    "datasets.plaza.generator.noise=1.5",
)
"""What `change` may ask for: each is read by another stage."""

KINDS: dict[str, Trial] = {
    "kill": kills, "flip": flip, "cut": cut, "lost": lost, "state": state, "full": full, "limit": limit, "twice": twice,
    "change": change,
}  # fmt: skip
TITLES = {
    "kill": "SIGKILL of make, snakemake and all jobs",
    "flip": "a bit of a file turned over",
    "cut": "a file cut off",
    "lost": "a file deleted",
    "state": "a resume state damaged",
    "full": "disk full",
    "limit": "largest size of a file reached",
    "twice": "the same run started twice",
    "change": "another configuration killed or without room, then the old one",
}


def _as_undisturbed(project: FaultyProject, ended: Ended, done: str, *, faults: int = 1) -> Outcome:
    """Whether a run that should have ended well did, and left what an undisturbed one leaves."""
    if ended.status != 0:
        return Outcome("unnamed", done, ended.last, faults)
    if different := project.differences():
        return Outcome("silent", done, f"differs: {', '.join(different[:5])}", faults)
    verified = project.lightvad("verify")
    if verified.status != 0:
        return Outcome("silent", done, verified.text.splitlines()[0], faults)
    return Outcome("survived", done, "", faults)


def _somewhere(project: FaultyProject, draw: random.Random, damage: Damage) -> Outcome:
    project.restore()
    victim = _victim(project.root, draw)
    at_rest, old_time = draw.random() < 0.4, draw.random() < 0.5
    return damaged(project, draw, victim, damage, at_rest=at_rest, old_time=old_time, mended=True)


def damaged(
    project: FaultyProject,
    draw: random.Random,
    victim: Path,
    damage: Damage,
    *,
    at_rest: bool,
    old_time: bool,
    mended: bool,
) -> Outcome:
    """Damage a file of the undisturbed run, and run.

    Args:
        project: the copy.
        draw: where, and how much.
        victim: relative to the project.
        damage: what is done.
        at_rest: all stages have ended; False: those that read the file, and all after them, have not begun.
        old_time: the file's time is put back, as a decaying disk would leave it.
        mended: whether a reported fault is mended as the line says, and the run brought to its end.
    """
    project.restore()
    if not at_rest:
        project.forget(_read_for(project, victim), themselves=False)
    name, path = victim.as_posix(), project.root / victim
    times = path.stat()
    done = f"{damage(path, draw)} of {name}"
    done += ", all stages had ended" if at_rest else ", what is made from it was not there"
    if old_time and path.is_file():
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        done += ", its time as before"

    def mend() -> None:
        makers = [record for record in project.records() if name in record.outputs]
        for gone in [path, *(project.root / record.path for record in makers)]:
            gone.unlink(missing_ok=True)

    ended = project.run()
    if ended.status != 0:
        return _named(project, ended, path, done, mend=mend if mended else None)
    if different := project.differences(ignored=[name]):
        return Outcome("silent", done, f"differs: {', '.join(different[:5])}")
    if path.is_file() and path.read_bytes() == (project.undisturbed / victim).read_bytes():
        return Outcome("survived", f"{done}; it was made anew")
    if not path.is_file() and damage is not deleted:
        return Outcome("survived", f"{done}; it was taken away")
    if path.is_file():
        found = sha256_of(path)
        if readers := [record for record in project.records() if record.inputs.get(name) == found]:
            return Outcome("silent", done, f"{readers[0].path} has read it")
    verified = project.lightvad("verify")
    lines = [line for line in verified.text.splitlines() if name in line]
    if verified.status == 0 or not lines:
        harmless = path.is_file() and _of_no_account(project, victim)
        return Outcome("survived", done) if harmless else Outcome("silent", done, "verify holds")
    return Outcome("survived", f"{done}; verify names it", lines[0])


def _named(
    project: FaultyProject, ended: Ended, victim: Path, done: str, *, mend: Callable[[], object] | None
) -> Outcome:
    """Whether a failed run told which file is at fault and, mended (None: not tried), ends as an undisturbed one."""
    name = victim.relative_to(project.root).as_posix()
    if ended.status == 0:
        return _as_undisturbed(project, ended, done)
    lines = [line for line in ended.text.splitlines() if name in line and line.startswith("lightvad: ")]
    if not lines:
        return Outcome("unnamed", done, ended.last)
    if mend is None:
        return Outcome("reported", done, lines[0])
    mend()
    after = _as_undisturbed(project, project.run(), done)
    if after.result != "survived":
        return Outcome("unnamed" if after.result == "unnamed" else "silent", f"{done}; mended", after.told)
    return Outcome("reported", done, lines[0])


def _no_room(project: FaultyProject, ended: Ended, done: str) -> Outcome:
    """Whether a run without room told what it could not write, and goes on when there is room again."""
    after = _as_undisturbed(project, project.run(), done)
    if ended.status == 0 or after.result != "survived":
        return after
    lines = [line for line in ended.text.splitlines() if line.startswith("lightvad: ") and str(project.root) in line]
    told = [line for line in lines if "free" in line]
    return Outcome("reported", done, told[0]) if told else Outcome("unnamed", done, ended.last)


def _unfinished(project: FaultyProject, draw: random.Random) -> tuple[int, str]:
    """The project as if some stage and all after it had not run; the bytes that they write, and a line."""
    project.restore()
    stages = sorted(r.path.as_posix() for r in project.records() if r.path.is_relative_to("results"))
    chosen = draw.choice(stages)
    (record,) = [record for record in project.records() if record.path.as_posix() == chosen]
    forgotten = project.forget(record.outputs, themselves=True)
    written = [file for each in forgotten for file in [*each.outputs, each.path.as_posix()]]
    needed = sum((project.undisturbed / file).stat().st_size for file in written)
    return needed, f"from {chosen} on"


def _victim(root: Path, draw: random.Random) -> Path:
    """A file that stages have made: first a kind of file, then one of it, so that the many clips do not take all."""
    files = [file for file in files_made(root) if (root / file).stat().st_size]
    kinds: dict[str, list[Path]] = {}
    for file in files:
        kind = "record" if is_record(file) else file.suffix if file.suffix in (".zip", ".npz") else file.name
        kinds.setdefault(f"{file.parts[0]} {kind}", []).append(file)
    return draw.choice(kinds[draw.choice(sorted(kinds))])


def _read_for(project: FaultyProject, victim: Path) -> list[str]:
    """The files that a stage's record names, if the stage reads `victim`."""
    if is_record(victim):
        (record,) = [record for record in project.records() if record.path == victim]
        return [*record.outputs, (record.folder / GATHERED).as_posix()]
    if victim.is_relative_to("data/clips") and victim.name != CHECKSUMS:
        return [victim.as_posix(), Path(*victim.parts[:3], CHECKSUMS).as_posix()]
    return [victim.as_posix()]


def _of_no_account(project: FaultyProject, victim: Path) -> bool:
    """Whether a damaged sealed document says what it said: a blank between two of its words was changed."""
    if not is_record(victim) and victim.name != GATHERED:
        return False
    try:
        return read_sealed(project.root / victim) == read_sealed(project.undisturbed / victim)
    except LightvadError:
        return False


def flipped(path: Path, draw: random.Random) -> str:
    content = bytearray(path.read_bytes())
    place, bit = draw.randrange(len(content)), draw.randrange(8)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {place}"


def cut_off(path: Path, draw: random.Random) -> str:
    size = path.stat().st_size
    left = draw.choice([0, draw.randrange(size), size - 1])
    os.truncate(path, left)
    return f"all after the first {left} bytes of {size}"


def deleted(path: Path, draw: random.Random) -> str:
    path.unlink()
    return "deletion"


class NotHereError(Exception):
    """This kind of trial cannot be made on this machine."""


@contextlib.contextmanager
def _small_disk(project: FaultyProject, spare: int) -> Iterator[None]:
    """results/ on a tmpfs with `spare` bytes of room; on exit its files lie on the disk again.

    Raises:
        NotHereError: no tmpfs can be mounted here; `limit` takes the trial's place.
    """
    results, aside = project.root / "results", project.work / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    results.rename(aside)
    results.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4G", "none", str(results)]
    if subprocess.run(mount, check=False).returncode != 0:
        results.rmdir()
        aside.rename(results)
        message = "no tmpfs can be mounted here; see the largest size of a file"
        raise NotHereError(message)
    try:
        shutil.copytree(aside, results, symlinks=True, dirs_exist_ok=True)
        used = shutil.disk_usage(results).used
        subprocess.run(["mount", "-o", f"remount,size={used + spare}", str(results)], check=True)
        yield
        shutil.rmtree(aside)
        shutil.copytree(results, aside, symlinks=True)
    finally:
        subprocess.run(["umount", str(results)], check=True)
        results.rmdir()
        aside.rename(results)
