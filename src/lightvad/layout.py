"""Where everything lies on disk: the paths of architecture section 3, in one place."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from lightvad.errors import LightvadError

RUN_PATTERN = re.compile(
    r"results/runs/(?P<dataset>[^/]+)/(?P<budget>[^/]+)/(?P<method>[^/]+)/(?P<variant>[^/]+)/"
    r"seed(?P<seed>0|[1-9][0-9]{0,8})\Z"
)

MADE = ("data", "results")
"""The folders of a project that stages write into."""
CHECKSUMS = "checksums.json"
"""In the folder of a dataset's clips: the sha256 of every prepared file."""
GATHERED = "record.json"
"""In a run's folder: the records of its stages, gathered; an output of no stage's record."""
INDEX_PAGE = "index"
"""Name of the report's page that shows the main tables and figures of every paper."""
PUBLISHED = Path("results/published")
"""Results that are in git: copies, which no stage writes."""


@dataclass(frozen=True)
class Run:
    """One run: a method in a variant, trained on a dataset within a budget from a seed."""

    dataset: str
    budget: str
    method: str
    variant: str
    seed: int

    @property
    def folder(self) -> Path:
        """`results/runs/DATASET/BUDGET/METHOD/VARIANT/seedN`, relative to the project's root."""
        return Path("results/runs", self.dataset, self.budget, self.method, self.variant, f"seed{self.seed}")

    @classmethod
    def parse(cls, path: str | Path) -> "Run":
        """The run whose folder is `path`.

        Raises:
            LightvadError: `path` does not end like the folder of a run.
        """
        found = RUN_PATTERN.search(Path(path).as_posix())
        if found is None:
            message = f"--run {path}: not a run; write results/runs/DATASET/BUDGET/METHOD/VARIANT/seedN"
            raise LightvadError(message)
        return cls(found["dataset"], found["budget"], found["method"], found["variant"], int(found["seed"]))


def raw_folder(dataset: str) -> Path:
    """The dataset as published, every byte checked."""
    return Path("data/raw", dataset)


def fetched_path(dataset: str) -> Path:
    """Which layout was fetched, and its files: what preparing depends on."""
    return raw_folder(dataset) / "fetched.json"


def fetched_for_detection_path(dataset: str, backend: str) -> Path:
    """The files that one detection backend needs: no change of them makes preparing run again."""
    return raw_folder(dataset) / f"fetched-{backend}.json"


def clips_folder(dataset: str) -> Path:
    """The prepared clips, labels, masks and tracks."""
    return Path("data/clips", dataset)


def checksums_path(dataset: str) -> Path:
    """The sha256 of every prepared file: what stands for the pixels in the record of whoever reads them."""
    return clips_folder(dataset) / CHECKSUMS


def boxes_path(dataset: str, backend: str) -> Path:
    """The table of boxes of one detection backend."""
    return Path("results/boxes", dataset, f"{backend}.parquet")


def classes_path(dataset: str, backend: str) -> Path:
    """The class probabilities of these boxes, row by row."""
    return Path("results/boxes", dataset, f"{backend}.classes.npz")


def tables_folder(datasets: tuple[str, ...], budget: str, paper: str) -> Path:
    """`results/tables/DATASETS/BUDGET/PAPER`, DATASETS joined by `+`."""
    return Path("results/tables", "+".join(datasets), budget, paper)


def figures_folder(datasets: tuple[str, ...], budget: str, paper: str) -> Path:
    """`results/figures/DATASETS/BUDGET/PAPER`, DATASETS joined by `+`."""
    return Path("results/figures", "+".join(datasets), budget, paper)


def speeds_path(dataset: str, budget: str, paper: str, number: str) -> Path:
    """How fast the rows of a table are, timed in one process."""
    return Path("results/speed", dataset, budget, paper, f"table{number}.json")


def report_path(datasets: tuple[str, ...], budget: str, paper: str | None = None) -> Path:
    """The page that shows the main tables and figures of every paper, or all those of one paper."""
    return Path("results/report", "+".join(datasets), budget, f"{paper or INDEX_PAGE}.html")


def record_path(folder: Path, name: str) -> Path:
    """The record of the stage `name` that writes into `folder`."""
    return folder / "records" / f"{name}.json"


def is_record(file: Path) -> bool:
    """Whether a file is the record of a stage, by its place."""
    return file.parent.name == "records" and file.suffix == ".json"


def files_made(root: Path) -> list[Path]:
    """Every file that stages have left under `root`, relative to it, sorted; also what a killed write left behind.

    Left out are what is published, and what never is an output: hidden files and folders whose name begins with `_`.
    """
    found: list[Path] = []
    for top in MADE:
        for folder, below, names in os.walk(root / top, followlinks=True):
            inside = Path(folder).relative_to(root)
            below[:] = [name for name in below if name[0] not in "._" and inside / name != PUBLISHED]
            found += [inside / name for name in names if name[0] != "." or ".tmp" in name]
    return sorted(found)
