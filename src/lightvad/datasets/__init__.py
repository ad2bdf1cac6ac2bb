"""Datasets: one module and one config file each. Fetching is the same for all; preparing is the dataset's own.

The module `lightvad.datasets.NAME` (NAME: the dataset's, or its key `reader`) has `prepare(dataset, *, raw, root)`,
which writes `root` (data/clips/DATASET) from the fetched files in `raw` (data/raw/DATASET), `index.parquet` last.
"""

import importlib
from pathlib import Path

from lightvad.config import Dataset
from lightvad.datasets.fetching import fetch, fetch_for_detection
from lightvad.errors import LightvadError

__all__ = ["fetch", "fetch_for_detection", "prepare"]


def prepare(dataset: Dataset, *, raw: Path, root: Path) -> None:
    """Prepare clips, labels, masks and tracks under `root` (data/clips/DATASET) from `raw` (data/raw/DATASET).

    Raises:
        LightvadError: the dataset has no module, a file is damaged, or clips, frames and labels do not agree in number.
    """
    name = f"lightvad.datasets.{dataset.prepared_by}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        message = (
            f"dataset {dataset.name!r}: no module src/lightvad/datasets/{dataset.prepared_by}.py prepares it; add one"
        )
        raise LightvadError(message) from error
    module.prepare(dataset, raw=raw, root=root)
