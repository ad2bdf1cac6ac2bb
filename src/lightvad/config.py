"""Typed models of everything under `config/`, and the reader that turns a mistake there into one line.

A run's settings are merged in this order, later wins: the method's file, the budget's entry for the method, the
budget's entry for the method on this dataset, the variant, `--set` on the command line.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lightvad.errors import LightvadError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Resolution = Annotated[int, Field(ge=1, le=1024)] | Literal["full"]
Protocol = Literal["plain", "fast_aed", "aed_mae_avenue", "aed_mae_shanghai", "ssmtl"]


class Settings(BaseModel):
    """A frozen model that refuses unknown keys; every configuration class derives from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Settings):
    """A file from outside: where it lies in a mirror (and under data/raw/DATASET), its URL if it has one, its bytes."""

    file: str
    url: str | None = None
    size: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class UltralyticsDetector(Settings):
    """YOLO through the optional package `ultralytics`: published weights, or a small model trained here."""

    weights: Source | None = None
    architecture: str | None = Field(None, description="model yaml to train on the dataset's `detector` split")
    epochs: int = Field(10, ge=1)
    image_size: int = Field(640, ge=32)
    confidence: float = Field(0.5, gt=0, lt=1)
    iou: float = Field(0.45, gt=0, lt=1, description="non-maximum suppression")
    batch: int = Field(16, ge=1)

    @model_validator(mode="after")
    def _one_origin(self) -> "UltralyticsDetector":
        if (self.weights is None) == (self.architecture is None):
            message = "give either `weights` (to load) or `architecture` (to train on the generator's boxes)"
            raise ValueError(message)
        return self


class ImportedBoxes(Settings):
    """Boxes made elsewhere, one file per split (see detection/imported.py for the format)."""

    train: Source
    test: Source


class MotionRegions(Settings):
    """Boxes around what moves; needs no weights."""

    threshold: float = Field(15.0, gt=0, description="gray levels between frames that count as motion")
    minimal_area: int = Field(80, ge=1, description="pixels of the native frame")
    gap: int = Field(2, ge=1, description="frames between the compared frames")


class ClassProbabilities(Settings):
    """Class probabilities of every box, for the fourth task of SSMTL: of the backend, of an ONNX detector, or none."""

    source: Literal["backend", "onnx", "none"] = "none"
    onnx: Source | None = None
    tiles: int = Field(1, ge=1, description="side-by-side tiles that a frame is cut into before the ONNX detector")

    @model_validator(mode="after")
    def _onnx_has_a_file(self) -> "ClassProbabilities":
        if (self.source == "onnx") != (self.onnx is not None):
            message = "`onnx` (a file) goes with `source: onnx`"
            raise ValueError(message)
        return self


class Detection(Settings):
    """Where the boxes of a dataset come from."""

    backend: Literal["ultralytics", "import", "motion"]
    ultralytics: UltralyticsDetector | None = None
    imported: ImportedBoxes | None = None
    motion: MotionRegions = MotionRegions()
    class_probabilities: ClassProbabilities = ClassProbabilities()

    @model_validator(mode="after")
    def _backend_is_configured(self) -> "Detection":
        section = {"ultralytics": self.ultralytics, "import": self.imported, "motion": self.motion}[self.backend]
        if section is None:
            name = "imported" if self.backend == "import" else self.backend
            message = f"`backend: {self.backend}` needs its section `{name}`"
            raise ValueError(message)
        return self


class Kernel(Settings):
    """A temporal Gaussian: number of taps and sigma, in frames."""

    taps: int = Field(ge=1)
    sigma: float = Field(gt=0)


class Smoothing(Settings):
    """Temporal filters of the named protocols (evaluation/auc.py)."""

    plain_seconds: float = Field(0.5, gt=0, description="sigma of the plain protocol, in seconds")
    fast_aed: Kernel = Kernel(taps=301, sigma=21)
    ssmtl: Kernel = Kernel(taps=301, sigma=21)
    protocols: tuple[Protocol, ...] = ("plain", "fast_aed", "ssmtl")


class ObjectMaps(Settings):
    """How object scores become an anomaly map and a frame score (teacher_ssmtl sheet, section 6)."""

    block_scale: int = Field(
        1, ge=1, description="pixels per cell of the map that is mean-filtered for the frame score"
    )
    filter_size: int | None = Field(None, ge=3, description="side of the 3D mean filter over (x, y, time); none: off")
    quantiles: tuple[float, float] = (0.001, 0.999)


class Dataset(Settings):
    """One file under config/datasets."""

    name: Name
    title: str
    fps: float = Field(gt=0)
    frame_size: tuple[int, int] = Field(description="height and width at which frame methods see a frame, pixels")
    clips: dict[Literal["train", "test", "detector"], int]
    frames: dict[Literal["train", "test", "detector"], int]
    layouts: dict[str, tuple[Source, ...]] = Field({}, description="ways in which the raw data come, preferred first")
    generator: dict[str, Any] | None = Field(None, description="parameters of a generated dataset")
    detection: Detection
    map_resolutions: tuple[Resolution, ...] = Field(description="the paper's output heads on this dataset")
    extra_map_resolutions: tuple[Resolution, ...] = Field((), description="further resolutions stored for ablations")
    heldout_fraction: float = Field(0.15, ge=0, lt=1, description="share of the training clips kept for validation")
    object_maps: ObjectMaps = ObjectMaps()
    smoothing: Smoothing = Smoothing()
    note: str = Field("", description="what every table must say of this data: synthetic, subset, re-encoded")


class Variant(Settings):
    """One configuration of a method: what differs from the method's own settings."""

    title: str
    settings: dict[str, Any] = {}


class Method(Settings):
    """One file under config/methods; `settings` is checked by the method's own `settings.Settings`."""

    name: Name
    title: str
    level: Literal["object", "frame"]
    settings: dict[str, Any] = {}
    variants: dict[str, Variant]


class Benchmark(Settings):
    """How speed is measured (architecture section 5)."""

    warmup: int = Field(50, ge=0)
    iterations: int = Field(200, ge=1)
    rounds: int = Field(3, ge=1, description="times that all methods are measured in turn; the median is kept")
    max_seconds: float = Field(600, gt=0, description="longest time for one row; a row says how many iterations it had")
    batches: tuple[int, ...] = (1, 32)
    detector: str = Field("yolov3u.yaml", description="detector timed with the object methods where boxes are imported")
    objects: int = Field(
        0, ge=0, description="objects a frame of the object methods; 0: the mean of the dataset's boxes"
    )


class Budget(Settings):
    """One file under config/budgets: how much of the published schedule is spent."""

    name: Name
    title: str
    methods: dict[str, dict[str, Any]] = {}
    datasets: dict[str, dict[str, dict[str, Any]]] = Field({}, description="DATASET -> METHOD -> settings")
    benchmark: Benchmark = Benchmark()
    bootstrap: int = Field(1000, ge=0, description="bootstrap samples of the confidence intervals")


class Teacher(Settings):
    """A teacher of a distilled student: whose anomaly maps, and their weight in the loss (Fast-AED, Eq. 4)."""

    method: str
    variant: str = "default"
    weight: float = Field(1.0, gt=0)


class MethodSettings(Settings):
    """Base of every method's `Settings`."""

    teachers: tuple[Teacher, ...] = Field((), description="whose anomaly maps are distilled; empty: no distillation")
    pretrained_variant: str | None = Field(
        None, description="variant whose pre-training this one starts from; none: the method has no pre-training phase"
    )

    def for_stage(self, stage: str) -> dict[str, Any]:
        """The settings that `stage` (pretrain, train, score) reads; a change of any other key does not re-run it."""
        del stage
        return self.model_dump(mode="json")


class TableRow(Settings):
    """One measured row: the run it needs and the columns of the reported table that it answers to."""

    method: str
    variant: str = "default"
    label: str
    match: dict[str, str] = Field({}, description="reported column -> value of the row of the same method")
    protocol: Protocol = Field("plain", description="the paper's own protocol; `plain` is always shown beside it")
    timed: bool = Field(False, description="its speed.json times this method and the other rows in one process")


class Identity(Settings):
    """A column of a reported table that says which row is which."""

    column: str
    heading: str
    values: dict[str, str] = Field({}, description="value in the CSV -> what is printed")


class Table(Settings):
    """A table of a paper: the reported CSV and the runs that rebuild its rows."""

    title: str
    reported: str = Field(description="config/reported/NAME.csv, one row per value (columns dataset, metric, value)")
    identity: tuple[Identity, ...] = Field(min_length=1)
    literature: bool = Field(False, description="also show the reported rows that nothing here rebuilds")
    note: str = Field("", description="what a reader must know of the paper's table")
    rows: tuple[TableRow, ...] = Field(min_length=1)


class ReportedSpeed(Settings):
    """A reported FPS that stands in a table of its own: the paper's own method."""

    table: str
    match: dict[str, str]


class ReportedPoints(Settings):
    """The papers' points of a speed-accuracy figure: AUC from one table, FPS from another, joined by citation."""

    accuracy: str = Field(description="config/reported/NAME.csv with citation_key, dataset, metric, value")
    speed: str = Field(description="config/reported/NAME.csv with citation_key and the metric fps")
    own_speed: ReportedSpeed = Field(description="FPS of the row `ours`, which the table above cannot have")
    keys: tuple[str, ...] = Field(description="citation keys of the points, as in `accuracy`")
    labels: dict[str, str] = Field({}, description="citation key -> label, where the method's name is too long")
    device: str = Field(description="what the papers timed on")


class Figure(Settings):
    """A figure of a paper: its kind and what it shows on each dataset."""

    title: str
    kind: Literal["speed_accuracy", "score_curves", "anomaly_maps"]
    clips: dict[str, tuple[str, ...]] = Field({}, description="dataset -> clips shown; others: a test clip by position")
    rows: tuple[TableRow, ...] = Field(min_length=1)
    reported: ReportedPoints | None = None
    note: str = ""


class Experiment(Settings):
    """One file under config/experiments: the tables and figures of one paper."""

    name: Name
    title: str
    reported_datasets: dict[str, str] = Field({}, description="dataset here -> its name in the reported tables")
    tables: dict[str, Table]
    figures: dict[str, Figure]


class Config(Settings):
    """config/config.yaml: what is run."""

    datasets: tuple[str, ...]
    budget: str
    seeds: tuple[int, ...] = (0,)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    mirror: str | None = None
    set: tuple[str, ...] = Field((), description="overrides, e.g. datasets.ped2.detection.backend=motion")


Model = TypeVar("Model", bound=BaseModel)


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; later layers win, lists are replaced whole."""

    def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
        result = dict(below)
        for key, value in above.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = merge(result[key], value) if both else value
        return result

    return reduce(merge, layers, {})


def parsed(model: type[Model], content: Any, where: str) -> Model:
    """Validate `content` as `model`; a mistake becomes one line that names `where`, the key and what is allowed.

    Raises:
        LightvadError: an unknown key, a missing key, or an impossible value.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(whole file)"
        if first["type"] == "extra_forbidden":
            reason = f"unknown key; allowed here: {', '.join(_allowed(model, first['loc'][:-1]))}"
        elif first["type"] == "missing":
            reason = "is missing"
        else:
            reason = f"{first['msg']} (got {first.get('input')!r:.80})"
        message = f"{where}: {key}: {reason}"
        raise LightvadError(message) from error


def _allowed(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys that the model at `path` inside `model` knows."""
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            inner = _inner_model(model.model_fields[part].annotation)
            model = inner or model
    return sorted(model.model_fields)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _inner_model(part))), None)


@dataclass(frozen=True)
class Project:
    """Everything under `root`/config, with overrides applied. Files are read when asked for."""

    root: Path
    overrides: tuple[str, ...] = ()

    def config(self) -> Config:
        """config/config.yaml."""
        return parsed(Config, self._read("config.yaml"), "config/config.yaml")

    def dataset(self, name: str) -> Dataset:
        """config/datasets/NAME.yaml."""
        return self._load(Dataset, "datasets", name)

    def method(self, name: str) -> Method:
        """config/methods/NAME.yaml."""
        return self._load(Method, "methods", name)

    def budget(self, name: str) -> Budget:
        """config/budgets/NAME.yaml."""
        return self._load(Budget, "budgets", name)

    def experiment(self, name: str) -> Experiment:
        """config/experiments/NAME.yaml."""
        return self._load(Experiment, "experiments", name)

    def method_settings(self, model: type[Model], *, method: str, variant: str, dataset: str, budget: str) -> Model:
        """The settings of one run: method, budget, budget on this dataset, variant, overrides; checked by `model`.

        Raises:
            LightvadError: no such variant, an unknown key or an impossible value in any layer.
        """
        spec, spending = self.method(method), self.budget(budget)
        if variant not in spec.variants:
            message = f"config/methods/{method}.yaml: no variant {variant!r}; it has {', '.join(sorted(spec.variants))}"
            raise LightvadError(message)
        layers = [
            (f"config/methods/{method}.yaml: settings", spec.settings),
            (f"config/budgets/{budget}.yaml: methods.{method}", spending.methods.get(method, {})),
            (
                f"config/budgets/{budget}.yaml: datasets.{dataset}.{method}",
                spending.datasets.get(dataset, {}).get(method, {}),
            ),
            (f"config/methods/{method}.yaml: variants.{variant}.settings", spec.variants[variant].settings),
        ]
        result: dict[str, Any] = {}
        settings = (
            parsed(model, {}, f"config/methods/{method}.yaml: settings") if not any(c for _, c in layers) else None
        )
        for where, content in layers:
            if content:
                result = merged(result, content)
                settings = parsed(model, result, where)
        assert settings is not None  # noqa: S101 - one of the two branches above has set it
        return settings

    def _load(self, model: type[Model], kind: str, name: str) -> Model:
        content = self._read(f"{kind}/{name}.yaml")
        for override in self.overrides:
            path, _, value = override.partition("=")
            keys = path.split(".")
            if not _ or len(keys) < 3:
                message = (
                    f"--set {override}: write it as KIND.NAME.KEY=VALUE, e.g. datasets.ped2.detection.backend=motion"
                )
                raise LightvadError(message)
            if keys[:2] == [kind, name]:
                nested: Any = yaml.safe_load(value)
                for key in reversed(keys[2:]):
                    nested = {key: nested}
                content = merged(content, nested)
        return parsed(model, content, f"config/{kind}/{name}.yaml")

    def _read(self, name: str) -> Any:
        path = self.root / "config" / name
        try:
            return yaml.safe_load(path.read_text()) or {}
        except OSError as error:
            known = sorted(found.stem for found in path.parent.glob("*.yaml"))
            message = f"config/{name}: missing in {self.root}; there are: {', '.join(known) or 'none'}"
            raise LightvadError(message) from error
        except yaml.YAMLError as error:
            message = f"config/{name}: not YAML ({' '.join(str(error).split())[:200]})"
            raise LightvadError(message) from error


def digest(content: Any) -> str:
    """Hex sha256 of JSON-like content (models are dumped), independent of the order of keys."""

    def plain(value: Any) -> Any:
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)

    return hashlib.sha256(json.dumps(content, sort_keys=True, default=plain).encode()).hexdigest()
