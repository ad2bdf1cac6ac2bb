"""The records of a project, tied together: who made a file that somebody read, and whether it is still that file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lightvad.artifacts.records import Record


@dataclass(frozen=True)
class Break:
    """A stage that read another file than the one that is recorded now.

    Attributes:
        record: of the stage that read.
        file: what it read, relative to the project's root.
        read: the sha256 that it read.
        made: the sha256 that the last stage to write the file made.
        maker: the record of that stage.
    """

    record: Record
    file: str
    read: str
    made: str
    maker: Record


class Chains:
    """Every file with the stage that wrote it last.

    Args:
        records: of all stages of a project.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = sorted(records, key=lambda record: (record.started, record.path))
        self._makers = {file: record for record in self.records for file in record.outputs}

    @property
    def made(self) -> dict[str, str]:
        """Every file that a stage wrote -> its sha256."""
        return {file: record.outputs[file] for file, record in self._makers.items()}

    def maker(self, file: str) -> Record | None:
        """The record of the stage that wrote `file` last; None: no record names it."""
        return self._makers.get(file)

    def behind(self, files: Iterable[str]) -> list[Record]:
        """The records of every stage that led to these files, each once, makers before those who read from them."""
        ordered: dict[str, Record] = {}
        entered: set[str] = set()

        def visit(file: str) -> None:
            record = self.maker(file)
            if record is None or record.path.as_posix() in entered:
                return
            entered.add(record.path.as_posix())
            for read in record.inputs:
                visit(read)
            ordered[record.path.as_posix()] = record

        for file in files:
            visit(file)
        return list(ordered.values())

    def breaks(self, records: Sequence[Record]) -> list[Break]:
        """Where one of `records` read another file than its maker's record names now, in the order of the records."""
        return [
            Break(record, file, read, maker.outputs[file], maker)
            for record in records
            for file, read in record.inputs.items()
            if (maker := self.maker(file)) is not None and maker.outputs[file] != read
        ]
