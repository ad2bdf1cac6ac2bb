"""Everything under data/ and results/ hashed again, and compared with what the records say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lightvad.artifacts.digests import checksums_of
from lightvad.artifacts.documents import read_sealed
from lightvad.artifacts.records import SHORT, Record, read_record
from lightvad.errors import LightvadError
from lightvad.layout import GATHERED, MADE, files_made, is_record
from lightvad.provenance.chains import Chains

Kind = Literal["differs", "missing", "broken", "stray"]
FACTS = ("config_digest", "code_digest", "inputs", "outputs")
"""What two records of a stage must agree in to be of the same work: not times, which a second run changes."""


@dataclass(frozen=True)
class Finding:
    """One file that is not as recorded: it differs, is missing, was made from another input, or is in no record."""

    kind: Kind
    file: str
    told: str

    def __str__(self) -> str:
        """One line: kind, file, what is wrong, remedy."""
        return f"{self.kind:7} {self.file}: {self.told}"


@dataclass(frozen=True)
class Verification:
    """What was compared, and what was found; `findings` in the order of the data, strays last."""

    findings: tuple[Finding, ...]
    records: int
    files: int

    @property
    def holds(self) -> bool:
        """Whether nothing differs, is missing or was made from something else."""
        return all(finding.kind == "stray" for finding in self.findings)

    def summary(self) -> str:
        """One line with all counts."""
        counts = {kind: sum(finding.kind == kind for finding in self.findings) for kind in get_args(Kind)}
        return (
            f"{self.files} files hashed, {self.records} records: {counts['differs']} differ,"
            f" {counts['missing']} missing, {counts['broken']} made from something else,"
            f" {counts['stray']} in no record"
        )


def verify(root: Path) -> Verification:
    """Hash every file again that a record names, and follow every input to the stage that wrote it.

    Raises:
        LightvadError: there is no record at all, or a file cannot be read.
    """
    files = files_made(root)
    records, damaged = _read(root, [file for file in files if is_record(file)])
    if not records and not damaged:
        message = f"{root}: no record under {' or '.join(MADE)}; run `make reproduce`, or name the project: --project"
        raise LightvadError(message)
    chains = Chains(records)
    made = chains.made
    given = {file for record in records for file in record.inputs if file not in made}
    there = [Path(file) for file in sorted({*made, *given}) if (root / file).is_file()]
    found = checksums_of(there, root=root, what="verify")
    findings = [
        *damaged,
        *_changed(chains, found),
        *_broken(chains, found),
        *_gathered(root, chains),
        *_strays(files, {*made, *given}),
    ]
    return Verification(tuple(findings), len(records), len(found))


def _read(root: Path, paths: Iterable[Path]) -> tuple[list[Record], list[Finding]]:
    records, damaged = [], []
    for path in paths:
        try:
            records.append(read_record(path, root))
        except LightvadError as error:
            reason = str(error).removeprefix(f"{root / path}: ").removeprefix(f"{path}: ")
            damaged.append(Finding("differs", path.as_posix(), reason))
    return records, damaged


def _changed(chains: Chains, found: Mapping[str, str]) -> Iterable[Finding]:
    """Files that are not what their stage wrote."""
    for record in chains.records:
        for file, wrote in record.outputs.items():
            if chains.maker(file) is not record or found.get(file) == wrote:
                continue
            if file not in found:
                yield Finding("missing", file, f"{record.path} names it; run `{record.command}`")
                continue
            compared = f"sha256 {found[file][:SHORT]}, but {record.path} says {wrote[:SHORT]}"
            yield Finding("differs", file, f"{compared}; {record.remedy}")


def _broken(chains: Chains, found: Mapping[str, str]) -> Iterable[Finding]:
    """Stages that read something else than what is there now."""
    for broken in chains.breaks(chains.records):
        told = (
            f"it read {broken.file} as {broken.read[:SHORT]}, {broken.maker.path} has since made {broken.made[:SHORT]}"
        )
        yield Finding("broken", broken.record.path.as_posix(), f"{told}; run `{broken.record.command}`")
    for record in chains.records:
        for file, read in record.inputs.items():
            if chains.maker(file) is not None or found.get(file) == read:
                continue
            if file in found:
                told = f"it read {file} as {read[:SHORT]}, which is {found[file][:SHORT]} now; run `{record.command}`"
                yield Finding("broken", record.path.as_posix(), told)
            else:
                generated = Path(file).parts[0] in MADE
                remedy = f"run `snakemake --cores 2 {file}`" if generated else "take it from the repository again"
                yield Finding("missing", file, f"{record.path} read it; {remedy}")


def _gathered(root: Path, chains: Chains) -> Iterable[Finding]:
    """`record.json` of runs that says something else than the records which it gathers."""
    for record in chains.records:
        path = record.folder / GATHERED
        if record.stage != "evaluate" or not (root / path).is_file():
            continue
        try:
            stages: Mapping[str, Any] = read_sealed(root / path)["stages"]
        except LightvadError as error:
            yield Finding("differs", path.as_posix(), str(error).removeprefix(f"{root / path}: "))
            continue
        beside = {other.stage: other.content for other in chains.records if other.folder == record.folder}
        stale = [
            name
            for name, content in stages.items()
            if any(content.get(fact) != beside.get(name, {}).get(fact) for fact in FACTS)
        ]
        if stale:
            told = f"its {', '.join(stale)} is not what records/ says"
            yield Finding("broken", path.as_posix(), f"{told}; run `{record.command}`")


def _strays(files: Iterable[Path], named: set[str]) -> Iterable[Finding]:
    folders = {file.parent.parent for file in files if is_record(file)}
    for file in files:
        gathered = file.name == GATHERED and file.parent in folders
        if file.as_posix() not in named and not is_record(file) and not gathered:
            yield Finding("stray", file.as_posix(), "in no record; delete it, or run the stage that writes it again")
