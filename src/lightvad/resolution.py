"""What a run is made of: its settings, its teachers, its pre-training, and the slice of configuration each stage reads.

A stage is handed its slice and nothing else, and its config digest is the digest of that slice: so a changed smoothing
value re-runs evaluation and no training, and a changed lambda re-runs no teacher.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightvad.config import (
    EPOCH_SCORES_NAME,
    SECTION_OF_BACKEND,
    ClassProbabilities,
    Dataset,
    Detection,
    MethodSettings,
    Source,
)
from lightvad.errors import LightvadError
from lightvad.layout import (
    Run,
    boxes_path,
    checksums_path,
    classes_path,
    clips_folder,
    fetched_for_detection_path,
    fetched_path,
)
from lightvad.project import Project, digest


def settings_model(method: str) -> type[MethodSettings]:
    """The `Settings` class of a method's folder.

    Raises:
        LightvadError: there is no such method.
    """
    name = f"lightvad.methods.{method}.settings"
    try:
        model: type[MethodSettings] = importlib.import_module(name).Settings
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        known = sorted(path.parent.name for path in (Path(__file__).parent / "methods").glob("*/settings.py"))
        message = f"method {method!r}: no folder of this name under src/lightvad/methods; there are: {', '.join(known)}"
        raise LightvadError(message) from error
    return model


def settings_of(project: Project, run: Run) -> MethodSettings:
    """The settings of a run, all layers merged and checked."""
    return project.method_settings(
        settings_model(run.method), method=run.method, variant=run.variant, dataset=run.dataset, budget=run.budget
    )


def teachers_of(project: Project, run: Run) -> list[tuple[Run, float]]:
    """The runs whose maps a run distils, with their weights; empty for methods without teachers.

    Raises:
        LightvadError: a teacher is no object method, or has no such variant.
    """
    found = []
    for teacher in settings_of(project, run).teachers:
        if project.method(teacher.method).level != "object":
            known = [name for name in project.methods() if project.method(name).level == "object"]
            message = (
                f"config/methods/{run.method}.yaml: teacher {teacher.method} is no object method, whose maps could be"
                f" distilled; name one of {', '.join(known)}"
            )
            raise LightvadError(message)
        one = Run(run.dataset, run.budget, teacher.method, teacher.variant, run.seed)
        settings_of(project, one)
        found.append((one, teacher.weight))
    return found


def timed_beside(project: Project, run: Run) -> list[Run]:
    """The runs whose networks are timed in one process with a run's: its teachers, then those its method names.

    The named ones bring their teachers, and nothing that their own methods name. Each comes once, and none is `run`
    itself. They have its dataset, budget and seed.

    Raises:
        LightvadError: `timed_beside` of the method names a method or variant that does not exist; as `teachers_of`.
    """
    found = [teacher for teacher, _ in teachers_of(project, run)]
    for named in project.method(run.method).timed_beside:
        where = f"config/methods/{run.method}.yaml: timed_beside"
        if named.method not in project.methods():
            message = f"{where}: no method {named.method!r}; there are: {', '.join(project.methods())}"
            raise LightvadError(message)
        variants = project.method(named.method).variants
        if named.variant not in variants:
            message = f"{where}: {named.method} has no variant {named.variant!r}; it has {', '.join(sorted(variants))}"
            raise LightvadError(message)
        one = Run(run.dataset, run.budget, named.method, named.variant, run.seed)
        found += [one, *(teacher for teacher, _ in teachers_of(project, one))]
    return [one for one in dict.fromkeys(found) if one != run]


def pretraining_of(project: Project, run: Run) -> Run | None:
    """The run whose pre-training `run` starts from (itself, or the variant it names).

    None without pre-training, and where another variant's trained weights are scored.

    Raises:
        LightvadError: the named variant pre-trains another network than this run would.
    """
    settings = settings_of(project, run)
    if settings.pretrained_variant is None or settings.weights_variant is not None:
        return None
    owner = Run(run.dataset, run.budget, run.method, settings.pretrained_variant, run.seed)
    if settings_of(project, owner).for_stage("pretrain") != settings.for_stage("pretrain"):
        message = (
            f"config/methods/{run.method}.yaml: variants.{run.variant}: pretrained_variant {owner.variant!r} pre-trains"
            f" with other settings; name {run.variant!r} itself"
        )
        raise LightvadError(message)
    return owner


def weights_of(project: Project, run: Run) -> Run | None:
    """The run whose trained weights `run` scores with settings of its own; None: it is trained itself.

    Raises:
        LightvadError: there is no such variant, it takes over weights itself, or is trained with other settings.
    """
    settings = settings_of(project, run)
    if settings.weights_variant is None:
        return None
    owner = replace(run, variant=settings.weights_variant)
    where = f"config/methods/{run.method}.yaml: variants.{run.variant}: weights_variant {owner.variant!r}"
    trained = settings_of(project, owner)
    if trained.weights_variant is not None:
        message = f"{where} takes the weights of {trained.weights_variant!r} itself; name a variant that is trained"
        raise LightvadError(message)
    stages = ("train",) if settings.pretrained_variant is None else ("pretrain", "train")
    pairs = [(dict(_leaves(one.for_stage(stage))) for one in (settings, trained)) for stage in stages]
    other = {key for own, its in pairs for key in {*own, *its} if own.get(key) != its.get(key)}
    if other:
        message = (
            f"{where} is trained with another {', '.join(sorted({key.partition('.')[0] for key in other}))};"
            " give the same settings, or train this variant itself"
        )
        raise LightvadError(message)
    return owner


def shared_settings(project: Project, run: Run) -> dict[str, Any]:
    """What a run's training and its scoring must agree in: dotted key -> value, as JSON.

    It is what both stages read of the settings, whether or not a tensor's shape depends on it; for a frame method also
    the size of a frame and the output maps. Precision may differ, and a file from outside may lie elsewhere: its sha256
    counts.
    """
    settings, dataset = settings_of(project, run), project.dataset(run.dataset)
    trained, scored = settings.for_stage("train"), settings.for_stage("score")
    shared = {key: trained[key] for key in trained if key in scored and key != "precision"}
    if project.method(run.method).level == "frame":
        shared |= _only(dataset, "frame_size", "map_resolutions")
    return {key: value for key, value in _leaves(shared) if key.rpartition(".")[2] not in ("file", "url")}


def _leaves(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def detection_by(dataset: Dataset, backend: str | None) -> Detection:
    """The dataset's section `detection` with `backend` in place of the configured one (None: as configured).

    Where the configured detector gives the class probabilities and a backend that knows no classes is asked for in its
    place, its boxes have none. Whether the backend's own section is there is not checked: whoever runs it does.
    """
    detection = dataset.detection
    if backend is None or backend == detection.backend:
        return detection
    changes: dict[str, Any] = {"backend": backend}
    if detection.class_probabilities.source == "backend" and backend != "ultralytics":
        changes["class_probabilities"] = ClassProbabilities()
    return detection.model_copy(update=changes)


def detection_sources(dataset: Dataset, backend: str) -> list[Source]:
    """The files from outside that the dataset's detection needs with a backend."""
    detection = dataset.detection
    sources: list[Source] = []
    if backend == "import" and detection.imported is not None:
        sources += [detection.imported.train, detection.imported.test]
    if backend == "ultralytics" and detection.ultralytics is not None and detection.ultralytics.weights:
        sources.append(detection.ultralytics.weights)
    if detection.class_probabilities.onnx is not None:
        sources.append(detection.class_probabilities.onnx)
    return sources


def _dump(model: Any) -> Any:
    return model.model_dump(mode="json")


def _fetch(dataset: Dataset, backend: str | None) -> dict[str, Any]:
    """Of the dataset's own files, or, with a backend, of those that detection needs."""
    if backend is not None:
        return {"detection": [_dump(source) for source in detection_sources(dataset, backend)]}
    return _only(dataset, "layouts", "found")


def _prepare(dataset: Dataset, _: str | None) -> dict[str, Any]:
    return {**_only(dataset, "reader", "layouts", "found", "generator", "clips", "frames", "fps")}


def _detect(dataset: Dataset, backend: str | None) -> dict[str, Any]:
    """The section of the backend and what the source of the class probabilities reads: no other backend's keys."""
    detection = detection_by(dataset, backend)
    classes = detection.class_probabilities
    return {
        "backend": detection.backend,
        "section": detection.model_dump(mode="json")[SECTION_OF_BACKEND[detection.backend]],
        "class_probabilities": _dump(classes) if classes.source == "onnx" else classes.source,
    }


def _only(dataset: Dataset, *keys: str) -> dict[str, Any]:
    return dataset.model_dump(mode="json", include=set(keys))


DATASET_STAGES: dict[str, Callable[[Dataset, str | None], dict[str, Any]]] = {
    "fetch": _fetch,
    "prepare": _prepare,
    "detect": _detect,
}

RUN_STAGES: dict[str, tuple[str, ...]] = {
    "pretrain": ("frame_size", "heldout_fraction"),
    "train": ("frame_size", "heldout_fraction", "map_resolutions"),
    "score": ("frame_size", "map_resolutions"),
    "maps": ("object_maps", "map_resolutions", "extra_map_resolutions"),
    "evaluate": ("smoothing", "fps"),
    "benchmark": ("frame_size", "map_resolutions", "detection"),
}
"""The keys of the dataset's file that each stage of a run reads."""

WEIGHTS_TAKEN = "weights_variant"
"""In the slice of a training that trains nothing: the variant whose weights are taken over."""


def dataset_slice(project: Project, stage: str, dataset: str, backend: str | None = None) -> dict[str, Any]:
    """The configuration that a stage of a dataset (fetch, prepare, detect) reads; `backend`: of detection."""
    return DATASET_STAGES[stage](project.dataset(dataset), backend)


def run_slice(project: Project, stage: str, run: Run) -> dict[str, Any]:
    """The configuration that a stage of a run (pretrain, train, score, maps, evaluate, benchmark) reads."""
    if stage == "train" and (owner := weights_of(project, run)) is not None:
        return {WEIGHTS_TAKEN: owner.variant, "settings": shared_settings(project, run)}
    content: dict[str, Any] = {"dataset": _only(project.dataset(run.dataset), *RUN_STAGES[stage])}
    budget = project.budget(run.budget)
    if stage in ("pretrain", "train", "score", "benchmark"):
        content["settings"] = settings_of(project, run).for_stage("score" if stage == "benchmark" else stage)
    if stage in ("score", "evaluate"):
        settings = settings_of(project, run)
        content["epochs"] = [*settings.kept_epochs, settings.training_epochs] if settings.kept_epochs else []
    if stage == "evaluate":
        content["bootstrap"] = budget.bootstrap
    if stage == "benchmark":
        content["benchmark"] = _dump(budget.benchmark)
        # They are timed side by side with the run.
        teachers = [teacher for teacher, _ in teachers_of(project, run)]
        content["teachers"] = [settings_of(project, teacher).for_stage("score") for teacher in teachers]
        others = [one for one in timed_beside(project, run) if one not in teachers]
        if others:
            content["beside"] = {
                f"{one.method}/{one.variant}": settings_of(project, one).for_stage("score") for one in others
            }
    return content


def dataset_digest(project: Project, stage: str, dataset: str, backend: str | None = None) -> str:
    """Digest of `dataset_slice`."""
    return digest(dataset_slice(project, stage, dataset, backend))


def run_digest(project: Project, stage: str, run: Run) -> str:
    """Digest of `run_slice`."""
    return digest(run_slice(project, stage, run))


def speeds_slice(project: Project, *, paper: str, number: str, dataset: str, budget: str) -> dict[str, Any]:
    """What the benchmark of a table's rows reads from the configuration."""
    rows = project.experiment(paper).table(number).rows
    runs = dict.fromkeys(Run(dataset, budget, row.method, row.variant, 0) for row in rows)
    return {
        "rows": {f"{run.method}/{run.variant}": settings_of(project, run).for_stage("score") for run in runs},
        "dataset": _only(project.dataset(dataset), "frame_size", "map_resolutions"),
        "benchmark": _dump(project.budget(budget).benchmark),
    }


def table_slice(
    project: Project,
    *,
    paper: str,
    kind: str,
    number: str,
    datasets: tuple[str, ...],
    budget: str,
    seeds: tuple[int, ...],
) -> dict[str, Any]:
    """What a table or figure (`kind` tables or figures) reads from the configuration."""
    experiment = project.experiment(paper)
    entry = (experiment.tables if kind == "tables" else experiment.figures)[number]
    shown = [_only(project.dataset(name), "title", "note", "fps", "smoothing") for name in datasets]
    reported = experiment.reported_datasets
    spent = project.budget(budget).title
    return {"entry": _dump(entry), "datasets": shown, "budget": spent, "seeds": seeds, "reported": reported}


def report_slice(
    project: Project, *, papers: tuple[str, ...], datasets: tuple[str, ...], budget: str
) -> dict[str, Any]:
    """What the report's page reads from the configuration besides its tables and figures."""
    titles = [project.experiment(paper).title for paper in papers] + [project.budget(budget).title]
    return {"titles": titles, "datasets": [_only(project.dataset(name), "title", "note") for name in datasets]}


def dataset_inputs(project: Project, stage: str, dataset: str, backend: str | None = None) -> list[Path]:
    """Files that a stage of a dataset reads, relative to the project's root; `backend`: of detection, or as configured.

    The lists of fetched files and of checksums stand for the files that they name.
    """
    if stage == "fetch":
        return []
    if stage == "prepare":
        return [fetched_path(dataset)]
    detection = project.dataset(dataset).detection
    name, yolo = backend or detection.backend, detection.ultralytics
    inputs = [
        fetched_for_detection_path(dataset, name), clips_folder(dataset) / "index.parquet", checksums_path(dataset)
    ]  # fmt: skip
    if name == "ultralytics" and yolo is not None and yolo.architecture is not None:
        inputs.append(Path(yolo.architecture))
    return inputs


def run_inputs(project: Project, stage: str, run: Run) -> list[Path]:
    """Files that a stage of a run reads, relative to the project's root; `checksums.json` stands for the pixels."""
    index = clips_folder(run.dataset) / "index.parquet"
    clips = [index, checksums_path(run.dataset)]
    backend = project.dataset(run.dataset).detection.backend
    boxes = [boxes_path(run.dataset, backend), classes_path(run.dataset, backend)]
    is_object = project.method(run.method).level == "object"
    model = [run.folder / "model.safetensors"]
    if stage in ("pretrain", "train"):
        settings = settings_of(project, run)
        if not is_object:  # a frame method never looks at class probabilities
            boxes = boxes[:1] if stage in settings.stages_on_boxes else []
        others = [
            (clips_folder(name) / "index.parquet", checksums_path(name)) for name in settings.datasets_read(stage)
        ]
        clips = list(dict.fromkeys([*clips, *(path for pair in others for path in pair)]))
    if stage == "pretrain":
        return clips + boxes
    if stage == "train":
        if (trained := weights_of(project, run)) is not None:
            return [trained.folder / "model.safetensors"]
        owner = pretraining_of(project, run)
        maps = [teacher.folder / "maps.npz" for teacher, _ in teachers_of(project, run)]
        start = [owner.folder / "pretrained.safetensors"] if owner else []
        return clips + maps + boxes + start
    if stage == "score":
        labels = [clips_folder(run.dataset) / "labels.parquet"]
        return clips + model + (boxes if is_object else labels)
    if stage == "maps":
        return [index, clips_folder(run.dataset) / "labels.parquet", run.folder / "object_scores.parquet"]
    if stage == "evaluate":
        tracks = clips_folder(run.dataset) / "tracks.parquet"
        return [index, tracks, run.folder / "frame_scores.parquet", run.folder / "regions.parquet"]
    if stage == "benchmark":
        beside = timed_beside(project, run)
        weights = model + [one.folder / "model.safetensors" for one in beside]
        labels = [clips_folder(run.dataset) / "labels.parquet"]
        with_objects = is_object or any(project.method(one.method).level == "object" for one in beside)
        return clips + labels + weights + (boxes if with_objects else [])
    message = f"no stage {stage!r} of a run"
    raise ValueError(message)


def measuring_stages(project: Project, run: Run) -> list[str]:
    """The stages that a run does itself before `evaluate`, which gathers their records; another's pre-training is none.

    A benchmark may come before or after them: its record stands alone.
    """
    pretrain = ["pretrain"] if pretraining_of(project, run) == run else []
    maps = ["maps"] if project.method(run.method).level == "object" else []
    return [*pretrain, "train", "score", *maps]


def undeclared_outputs(project: Project, run: Run) -> list[Path]:
    """Those of a run's outputs that depend on its settings: the rules do not name them, the records do."""
    settings = settings_of(project, run)
    trained = settings.pretraining_documents + settings.training_documents + settings.epoch_weights
    return [run.folder / name for name in trained + settings.scoring_documents]


def undeclared_inputs(project: Project, stage: str, run: Run) -> list[Path]:
    """What a stage of a run reads of `undeclared_outputs`: it comes with the declared inputs, by the same stages."""
    settings = settings_of(project, run)
    scores = (EPOCH_SCORES_NAME,) if settings.kept_epochs else ()
    names = {"score": settings.epoch_weights, "evaluate": scores}.get(stage, ())
    return [run.folder / name for name in names]


def run_outputs(project: Project, stage: str, run: Run) -> list[Path]:
    """Files that a stage of a run writes, relative to the project's root, without its record."""
    settings = settings_of(project, run)
    scored = ["maps.npz", "frame_scores.parquet", "regions.parquet"]
    is_object = project.method(run.method).level == "object"
    trained = (*settings.training_documents, *settings.epoch_weights) if settings.weights_variant is None else ()
    names = {
        "pretrain": ["pretrained.safetensors", "pretraining.csv", *settings.pretraining_documents],
        "train": ["model.safetensors", "training.csv", *trained],
        "score": [*(["object_scores.parquet"] if is_object else scored), *settings.scoring_documents],
        "maps": scored,
        "evaluate": ["metrics.json"],
        "benchmark": ["speed.json", "complexity.json"],
    }[stage]
    return [run.folder / name for name in names]
