"""Typed models of everything under `config/`; `project` reads the files."""

from pathlib import PurePath
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lightvad.errors import LightvadError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Resolution = Annotated[int, Field(ge=1, le=1024)] | Literal["full"]
Pixels = Annotated[int, Field(ge=16)]
Count = Annotated[int, Field(ge=0)]
Protocol = Literal["plain", "fast_aed", "aed_mae_avenue", "aed_mae_shanghai", "ssmtl"]
Cost = Literal["gflops", "params_millions", "fps"]
"""What a method costs: a metric of tables that a benchmark measures."""
Metric = Literal["micro_auc", "macro_auc", "rbdc", "tbdc", Cost]
"""What a table reports of its rows."""


class Settings(BaseModel):
    """A frozen model that refuses unknown keys, NaN and infinity; every configuration class derives from it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(Settings):
    """A file from outside: where it lies in a mirror (and under data/raw/DATASET), its URL if it has one, its bytes."""

    file: str
    url: str | None = None
    size: int | None = Field(None, gt=0, description="bytes; none: nobody has published it, the sha256 alone decides")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Found(Settings):
    """Files of which no publisher gives a checksum: taken as they lie below a mirror, and recorded as found."""

    files: tuple[str, ...] = Field(min_length=1, description="patterns below the mirror; each must find a file")
    optional: tuple[str, ...] = Field((), description="patterns that may find none")
    place: str = Field(description="for people: what to put where")
    # As a mirror, it is about the machine: it stands in no digest.
    at: dict[str, str] = Field(
        {},
        exclude=True,
        description="first part of every pattern -> the whole path of its folder or file; taken before any mirror",
    )

    @model_validator(mode="after")
    def _places_are_those_of_patterns(self) -> "Found":
        needed, known = ({pattern.partition("/")[0] for pattern in some} for some in (self.files, self.every))
        if self.at and not needed <= set(self.at) <= known:
            message = f"`at` names {', '.join(self.at)}; the patterns begin with {', '.join(sorted(known))}"
            raise ValueError(message)
        if relative := [place for place in self.at.values() if not PurePath(place).is_absolute()]:
            message = f"`at` has {relative[0]!r}; write the whole path, from / on"
            raise ValueError(message)
        return self

    @property
    def every(self) -> tuple[str, ...]:
        """All patterns, those that must find a file first."""
        return (*self.files, *self.optional)


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


SECTION_OF_BACKEND = {"ultralytics": "ultralytics", "import": "imported", "motion": "motion"}
"""The key of `detection` that each backend reads (`import` is no name for an attribute)."""


class Detection(Settings):
    """Where the boxes of a dataset come from."""

    backend: Literal["ultralytics", "import", "motion"]
    ultralytics: UltralyticsDetector | None = None
    imported: ImportedBoxes | None = None
    motion: MotionRegions = MotionRegions()
    class_probabilities: ClassProbabilities = ClassProbabilities()

    @model_validator(mode="after")
    def _backend_is_configured(self) -> "Detection":
        name = SECTION_OF_BACKEND[self.backend]
        if getattr(self, name) is None:
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
    protocols: tuple[Protocol, ...] = ("plain", "fast_aed", "ssmtl", "aed_mae_avenue")


class ObjectMaps(Settings):
    """How object scores become an anomaly map and a frame score (teacher_ssmtl sheet, section 6)."""

    block_scale: int = Field(
        1, ge=1, description="pixels per cell of the map that is mean-filtered for the frame score"
    )
    filter_size: int | None = Field(None, ge=3, description="side of the 3D mean filter over (x, y, time); none: off")
    quantiles: tuple[float, float] = (0.001, 0.999)

    @model_validator(mode="after")
    def _quantiles_ascend(self) -> "ObjectMaps":
        if not 0 <= self.quantiles[0] < self.quantiles[1] <= 1:
            message = f"`quantiles` {list(self.quantiles)} must ascend within 0 and 1"
            raise ValueError(message)
        return self


class Dataset(Settings):
    """One file under config/datasets."""

    name: Name
    title: str
    fps: float = Field(gt=0)
    frame_size: tuple[Pixels, Pixels] = Field(description="height and width at which frame methods see a frame, pixels")
    clips: dict[Literal["train", "test", "detector", "abnormal"], Count]
    frames: dict[Literal["train", "test", "detector", "abnormal"], Count]
    reader: Name | None = Field(
        None, description="module of lightvad.datasets that prepares it; none: that of its name"
    )
    layouts: dict[str, tuple[Source, ...]] = Field({}, description="ways in which the raw data come, preferred first")
    found: Found | None = Field(None, description="a last way: files without known checksums, as the layout `found`")
    generator: dict[str, Any] | None = Field(None, description="parameters of a generated dataset")
    detection: Detection
    map_resolutions: tuple[Resolution, ...] = Field(description="the paper's output heads on this dataset")
    extra_map_resolutions: tuple[Resolution, ...] = Field((), description="further resolutions stored for ablations")
    heldout_fraction: float = Field(0.15, ge=0, lt=1, description="share of the training clips kept for validation")
    object_maps: ObjectMaps = ObjectMaps()
    smoothing: Smoothing = Smoothing()
    methods: dict[str, dict[str, Any]] = Field({}, description="METHOD -> settings without which it cannot be run here")
    note: str = Field("", description="what every table must say of this data: synthetic, subset, re-encoded")

    @property
    def prepared_by(self) -> str:
        """The module below lightvad.datasets that prepares it."""
        return self.reader or self.name


class Variant(Settings):
    """One configuration of a method: what differs from the method's own settings."""

    title: str
    settings: dict[str, Any] = {}


class NamedRun(Settings):
    """A configuration of a method: with a dataset, a budget and a seed it is a run."""

    method: Name
    variant: Name = "default"


class Method(Settings):
    """One file under config/methods; `settings` is checked by the method's own `settings.Settings`."""

    name: Name
    title: str
    level: Literal["object", "frame"]
    settings: dict[str, Any] = {}
    variants: dict[str, Variant]
    timed_beside: tuple[NamedRun, ...] = Field(
        (), description="whose networks are timed in one process with this method's, besides its teachers; theirs too"
    )


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


class ObjectChanges(Settings):
    """What makes an object of a training clip abnormal, when it is pasted into another (sheet fast_aed, section 8)."""

    anomalies: tuple[Literal["stretched", "moved", "turned"], ...] = Field(
        ("stretched", "moved", "turned"), min_length=1, description="what makes an object abnormal, equally often"
    )
    widening: tuple[float, float] = Field((1.6, 3.0), description="of `stretched`: factors of the width")
    speed: tuple[float, float] = Field(
        (0.1, 0.3), description="of `moved`: movement in addition to its own, object heights a frame, to any side"
    )

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        if not 1 < self.widening[0] <= self.widening[1]:
            message = f"`widening` {list(self.widening)} must ascend and start above 1"
            raise ValueError(message)
        if not 0 < self.speed[0] <= self.speed[1]:
            message = f"`speed` {list(self.speed)} must ascend and start above 0"
            raise ValueError(message)
        return self


BEST_ON_TEST = "best_on_test"
"""The papers' choice of a checkpoint: in `metrics.json` and in tables beside the result, never in its place."""
EPOCH_SCORES_NAME = "epoch_scores.parquet"
"""In a run's folder: the scores of the test frames by the weights of the epochs that were kept."""

RECONSTRUCTIONS_NAME = "reconstructions.npz"
"""In a run's folder: some test frames as the method draws them, for figures."""
PASTED_NAME = "pasted.npz"
"""In a run's folder: some training frames before and after synthetic anomalies were pasted, for figures."""


class MethodSettings(Settings):
    """Base of every method's `Settings`."""

    teachers: tuple[Teacher, ...] = Field((), description="whose anomaly maps are distilled; empty: no distillation")
    pretrained_variant: str | None = Field(
        None, description="variant whose pre-training this one starts from; none: the method has no pre-training phase"
    )
    # Which stage reads it is a matter of `resolution`: it stands in no method's own dump, and so in no other digest.
    weights_variant: str | None = Field(
        None, exclude=True, description="variant whose trained weights are scored; none: this one is trained itself"
    )

    @model_validator(mode="after")
    def _weights_of_one_epoch(self) -> Self:
        if self.weights_variant is not None and self.kept_epochs:
            message = "`weights_variant` takes over the last epoch's weights alone; keep no other epochs to be scored"
            raise ValueError(message)
        return self

    def input_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """Height and width at which a frame method's network sees a frame, on a dataset with this `frame_size`."""
        return frame_size

    @property
    def chosen_checkpoint(self) -> str:
        """Which epoch's weights are kept: `last`, or `best_validation` on the held-out training clips."""
        return "last"

    @property
    def stages_on_boxes(self) -> tuple[str, ...]:
        """The stages of a frame method (pretrain, train) that read boxes; an object method's always do."""
        return ()

    def datasets_read(self, stage: str) -> tuple[str, ...]:
        """The datasets whose prepared clips a stage (pretrain, train) reads beside those of its own dataset."""
        del stage
        return ()

    @property
    def pretraining_documents(self) -> tuple[str, ...]:
        """What the pre-training writes beside its weights and `pretraining.csv`: names in the run's folder."""
        return ()

    @property
    def training_documents(self) -> tuple[str, ...]:
        """What the training writes beside `model.safetensors` and `training.csv`: names in the run's folder."""
        return ()

    @property
    def kept_epochs(self) -> tuple[int, ...]:
        """Epochs, counted from 1 and without the last, whose weights are kept to be scored as well (`best_on_test`)."""
        return ()

    @property
    def training_epochs(self) -> int:
        """The last epoch; a method that keeps others says its own."""
        return 0

    @property
    def epoch_weights(self) -> tuple[str, ...]:
        """The weights of `kept_epochs`: names in the run's folder."""
        return tuple(f"epochs/{epoch:03}.safetensors" for epoch in self.kept_epochs)

    @property
    def scoring_documents(self) -> tuple[str, ...]:
        """What scoring writes beside scores and maps: names in the run's folder."""
        return (EPOCH_SCORES_NAME,) if self.kept_epochs else ()

    def for_stage(self, stage: str) -> dict[str, Any]:
        """The settings that `stage` (pretrain, train, score) reads; a change of any other key does not re-run it."""
        del stage
        return self.model_dump(mode="json")

    def scored_in(self, precision: str) -> Self:
        """The same settings with scores made in `precision`: key `score_precision`, or `precision` if there is none."""
        key = "score_precision" if "score_precision" in type(self).model_fields else "precision"
        return self.model_copy(update={key: precision})


class TableRow(Settings):
    """One measured row: the run it needs and the columns of the reported table that it answers to."""

    method: str
    variant: str = "default"
    label: str
    match: dict[str, str] = Field({}, description="reported column -> value of the row of the same method")
    protocol: Protocol = Field("plain", description="the paper's own protocol; `plain` is always shown beside it")
    protocols: dict[str, Protocol] = Field({}, description="dataset -> the paper's own there, where it has another")
    beyond_paper: str = Field(
        "",
        description="what it does that the paper does not; beside the row it matches, without `match` below the others",
    )
    timed: bool = Field(False, description="its speed.json times this method and the other rows in one process")
    line: str = Field("", description="of a sweep with several lines: which of them the row is a point of")
    timed_as: Name | None = Field(None, description="variant with the same network, whose time is this row's as well")

    def protocol_on(self, dataset: str) -> Protocol:
        """The paper's own protocol on a dataset."""
        return self.protocols.get(dataset, self.protocol)


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
    metrics: tuple[Metric, ...] = Field(
        ("micro_auc", "macro_auc"),
        min_length=1,
        description="whose reported numbers are printed beside the measured ones; AUCs are always measured",
    )
    literature: bool = Field(False, description="also show the reported rows that nothing here rebuilds")
    reported_dataset: str | None = Field(
        None,
        description="the dataset of a CSV that has a column per metric and none for the dataset; `all`: of no one",
    )
    main: bool = Field(True, description="built by the default target; false: a target of its own")
    reference: Name | None = Field(None, description="variant that the other rows are compared with, clip by clip")
    speeds: bool = Field(
        False, description="show frames per second: the rows' networks with random weights, timed in one process"
    )
    note: str = Field("", description="what a reader must know of the paper's table")
    rows: tuple[TableRow, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _reference_is_a_row(self) -> "Table":
        variants = [row.variant for row in self.rows]
        if self.reference is not None and self.reference not in variants:
            message = f"`reference` {self.reference!r} is no row's variant; the rows have {', '.join(variants)}"
            raise ValueError(message)
        if self.speeds and (self.reference is None or self.main):
            message = "`speeds` needs a `reference`, whose speed is 1, and `main: false`: DVC does not keep them"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _costs_are_of_a_timed_row(self) -> "Table":
        if self.costs and not any(row.timed for row in self.rows):
            message = f"`metrics` {', '.join(self.costs)} are measured by the benchmark of a row with `timed: true`"
            raise ValueError(message)
        if self.speeds and "fps" in self.costs:
            message = "`speeds` times rows with random weights, `fps` among `metrics` is a benchmark's; choose one"
            raise ValueError(message)
        return self

    @property
    def costs(self) -> tuple[Cost, ...]:
        """Those of `metrics` that say what a method costs."""
        return tuple(cost for cost in get_args(Cost) if cost in self.metrics)

    @property
    def of_datasets(self) -> bool:
        """Whether the paper reports any number of it for a dataset; costs are of no one."""
        return set(self.metrics) > set(self.costs)


class ReportedSpeed(Settings):
    """A reported FPS that stands in a table of its own: the paper's own method."""

    table: str
    match: dict[str, str]


class ReportedPoints(Settings):
    """The papers' points of a speed-accuracy figure: AUC from one table, FPS from another, joined by citation."""

    accuracy: str = Field(description="config/reported/NAME.csv with citation_key, dataset, metric, value")
    speed: str = Field(description="config/reported/NAME.csv with citation_key and the metric fps")
    own_speed: ReportedSpeed | None = Field(
        None, description="FPS of the row `ours`, where `speed` is another paper's and cannot have it"
    )
    keys: tuple[str, ...] = Field(description="citation keys of the points, as in `accuracy`")
    labels: dict[str, str] = Field({}, description="citation key -> label, where the method's name is too long")
    device: str = Field(description="what the papers timed on")

    @model_validator(mode="after")
    def _own_speed_is_somewhere(self) -> "ReportedPoints":
        if "ours" in self.keys and self.own_speed is None and not self.of_one_paper:
            message = f"`own_speed` is missing: `ours` of {self.accuracy} stands in no table of {self.speed}'s paper"
            raise ValueError(message)
        return self

    @property
    def of_one_paper(self) -> bool:
        """Whether both tables number their references alike."""
        return self.accuracy.rpartition("_table")[0] == self.speed.rpartition("_table")[0]


class Figure(Settings):
    """A figure of a paper: its kind and what it shows on each dataset."""

    title: str
    kind: Literal["speed_accuracy", "score_curves", "anomaly_maps", "sweep", "reconstructions", "pasted_objects"]
    main: bool = Field(True, description="built by the default target; false: a target of its own")
    axis: str = Field("", description="of a sweep: what its rows' labels are numbers of")
    protocol: Protocol = Field("plain", description="of a sweep: the paper's own; `plain` is drawn beside it")
    parts: tuple[str, ...] = Field(
        (), description="of reconstructions: the pictures and maps of `reconstructions.npz` shown, from top to bottom"
    )
    clips: dict[str, tuple[str, ...]] = Field({}, description="dataset -> clips shown; others: a test clip by position")
    rows: tuple[TableRow, ...] = Field(min_length=1)
    reported: ReportedPoints | None = None
    note: str = ""

    @property
    def shows_pictures(self) -> bool:
        """Whether it shows pictures of one model: the first seed's."""
        return self.kind in ("anomaly_maps", "reconstructions", "pasted_objects")

    @model_validator(mode="after")
    def _parts_are_of_reconstructions(self) -> Self:
        if bool(self.parts) != (self.kind == "reconstructions"):
            message = "`parts` names the pictures and maps of `kind: reconstructions`, and of no other kind"
            raise ValueError(message)
        if self.kind in ("reconstructions", "pasted_objects") and len(self.rows) > 1:
            message = f"`kind: {self.kind}` shows one model: give one row"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _lines_are_of_sweeps(self) -> Self:
        named = [bool(row.line) for row in self.rows]
        if any(named) and (self.kind != "sweep" or not all(named)):
            message = "`line` names the lines of a sweep: every row of it has one, or none"
            raise ValueError(message)
        return self


class Experiment(Settings):
    """One file under config/experiments: the tables and figures of one paper."""

    name: Name
    title: str
    reported_datasets: dict[str, str] = Field({}, description="dataset here -> its name in the reported tables")
    tables: dict[str, Table]
    figures: dict[str, Figure]

    def table(self, number: str) -> Table:
        """The table of this number.

        Raises:
            LightvadError: the experiment file has none.
        """
        if number not in self.tables:
            message = f"config/experiments/{self.name}.yaml: no table {number}; it has {', '.join(self.tables)}"
            raise LightvadError(message)
        return self.tables[number]

    @property
    def main_part(self) -> "Experiment":
        """The tables and figures that the default target builds."""
        tables = {number: table for number, table in self.tables.items() if table.main}
        figures = {number: figure for number, figure in self.figures.items() if figure.main}
        return self.model_copy(update={"tables": tables, "figures": figures})


class Config(Settings):
    """config/config.yaml: what is run."""

    datasets: tuple[str, ...]
    budget: str
    seeds: tuple[int, ...] = (0,)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(1, ge=1, description="processes of a training, with a GPU each")
    mirror: str | None = None
    set: tuple[str, ...] = Field((), description="overrides, e.g. datasets.ped2.detection.backend=motion")
