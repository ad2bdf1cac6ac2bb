"""What stages read, what a change of the detection backend does not touch, and what the plan refuses."""

from pathlib import Path
from typing import Any

import pytest

from lightvad.artifacts.documents import read_json
from lightvad.errors import LightvadError
from lightvad.layout import Run, boxes_path, record_path
from lightvad.plan import Plan
from lightvad.project import Project
from lightvad.reporting.selection import report_runs
from lightvad.resolution import (
    dataset_digest,
    detection_sources,
    measuring_stages,
    pretraining_of,
    run_digest,
    run_inputs,
    run_outputs,
    run_slice,
    shared_settings,
    undeclared_outputs,
    weights_of,
)
from lightvad.stages import fetch

BACKENDS = ("ultralytics", "import", "motion")


def data_inputs(project: Project, stage: str, backend: str | None = None) -> list[str]:
    inputs = Plan(project).dataset_inputs(stage, "ped2", backend)
    return [path for path in inputs if not path.endswith(".py")]


@pytest.mark.parametrize(
    "override",
    [
        "datasets.ped2.detection.backend=motion",
        "datasets.ped2.detection.class_probabilities={source: none, onnx: null}",
    ],
)
def test_a_change_of_detection_neither_fetches_nor_prepares_clips_again(repository: Path, override: str) -> None:
    before, after = Project(repository), Project(repository, (override,))
    for stage in ("fetch", "prepare"):
        assert dataset_digest(before, stage, "ped2") == dataset_digest(after, stage, "ped2")
        assert data_inputs(before, stage) == data_inputs(after, stage)
    assert data_inputs(before, "prepare") == ["data/raw/ped2/fetched.json"]


def test_detection_reads_the_list_of_its_own_backend(repository: Path) -> None:
    project = Project(repository)
    lists = {backend: data_inputs(project, "detect", backend)[0] for backend in BACKENDS}
    assert lists == {backend: f"data/raw/ped2/fetched-{backend}.json" for backend in BACKENDS}
    assert data_inputs(project, "detect") == data_inputs(project, "detect", "import"), "the configured one"


def test_the_files_of_a_backend_are_fetched_again_when_they_change_and_only_then(repository: Path) -> None:
    before = Project(repository)
    after = Project(repository, ("datasets.ped2.detection.imported.train.size=1",))
    changed = {
        b for b in BACKENDS if dataset_digest(before, "fetch", "ped2", b) != dataset_digest(after, "fetch", "ped2", b)
    }
    assert changed == {"import"}
    assert len(detection_sources(before.dataset("ped2"), "import")) == 3
    assert len(detection_sources(before.dataset("ped2"), "motion")) == 1, "the ONNX detector of the class probabilities"


def test_a_target_asks_for_every_output_of_every_stage_behind_it(repository: Path) -> None:
    """What a failed stage has lost is made again, although the table of before is still there."""
    plan = Plan(Project(repository))
    everything = plan.everything(datasets=("plaza",), budget="smoke", seeds=(0, 1))
    assert len(everything) == len(set(everything))
    runs = {Run.parse("/".join(file.split("/")[:7])) for file in everything if file.startswith("results/runs/")}
    assert {run.seed for run in runs} == {0, 1}
    assert {f"{run.method}/{run.variant}" for run in runs} == {
        "fast_aed/default", "fast_aed/no_adversarial", "fast_aed/pasted", "ssmtl/default", "background_agnostic/default"
    }  # fmt: skip
    for run in runs:
        stages = ["train", "score", "evaluate"] + (["maps"] if plan.level(run.method) == "object" else [])
        stages += ["pretrain", "benchmark"] if (run.variant, run.method, run.seed) == ("default", "fast_aed", 0) else []
        for stage in stages:
            undeclared = undeclared_outputs(plan.project, run)
            made = {str(path) for path in run_outputs(plan.project, stage, run) if path not in undeclared}
            assert made | {str(record_path(run.folder, stage))} <= set(everything), f"{stage} of {run}"
    for file in (
        "data/raw/plaza/fetched.json", "data/raw/plaza/records/fetch-ultralytics.json",
        "data/clips/plaza/tracks.parquet", "results/boxes/plaza/records/detect-ultralytics.json",
        "results/tables/plaza/smoke/fast_aed/records/table7.json", "results/report/plaza/smoke/records/index.json",
    ):  # fmt: skip
        assert file in everything


def test_the_target_of_a_single_table_asks_for_its_own_runs_alone(repository: Path) -> None:
    plan = Plan(Project(repository))
    files = plan.target("tables", paper="fast_aed", number="7", datasets=("plaza",), budget="smoke", seeds=(0,))
    runs = "results/runs/plaza/smoke"
    assert f"{runs}/fast_aed/pasted/seed0/metrics.json" in files
    assert f"{runs}/ssmtl/default/seed0/maps.npz" in files
    assert f"{runs}/ssmtl/default/seed0/metrics.json" not in files, "the table shows the students alone"


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ({}, {"fetched.json", "fetched-ultralytics.json"}),
        ({"only": "clips"}, {"fetched.json"}),
        ({"only": "detection", "backend": "motion"}, {"fetched-motion.json"}),
    ],
)
def test_fetch_writes_the_lists_that_were_asked_for(
    repository: Path, tmp_path: Path, options: dict[str, str], written: set[str]
) -> None:
    (tmp_path / "config").symlink_to(repository / "config")
    fetch.run(Project(tmp_path), "plaza", mirror=None, **options)
    folder = tmp_path / "data" / "raw" / "plaza"
    lists = [path for path in folder.glob("[!.]*") if path.is_file()]
    assert {path.name for path in lists} == written
    assert all(read_json(path)["files"] == [] for path in lists)
    records = {path.stem.replace("fetched", "fetch") for path in lists}
    assert {path.stem for path in (folder / "records").iterdir()} == records


ONNX = "{file: a.onnx, size: 1, sha256: '" + "0" * 64 + "'}"


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("motion.threshold=11", {"motion"}),
        ("ultralytics.confidence=0.4", {"ultralytics"}),
        ("imported.test.size=1", {"import"}),
        ("backend=motion", set()),
        ("class_probabilities.tiles=3", {"ultralytics", "import", "motion"}),
        ("class_probabilities={source: none, onnx: null}", {"ultralytics", "import", "motion"}),
    ],
)
def test_a_key_of_detection_detects_again_with_the_backends_that_read_it_and_with_no_other(
    repository: Path, override: str, changed: set[str]
) -> None:
    yolo = f"datasets.ped2.detection.ultralytics={{weights: {ONNX}}}"
    before = Project(repository, (yolo,))
    after = Project(repository, (yolo, f"datasets.ped2.detection.{override}"))
    found = {
        b for b in BACKENDS if dataset_digest(before, "detect", "ped2", b) != dataset_digest(after, "detect", "ped2", b)
    }
    assert found == changed
    configured = dataset_digest(after, "detect", "ped2")
    assert configured == dataset_digest(after, "detect", "ped2", after.dataset("ped2").detection.backend)


def test_tiles_are_read_by_an_onnx_source_alone(repository: Path) -> None:
    before = Project(repository)
    after = Project(repository, ("datasets.plaza.detection.class_probabilities.tiles=3",))
    assert dataset_digest(before, "detect", "plaza") == dataset_digest(after, "detect", "plaza")


@pytest.mark.parametrize(("backend", "reads"), [("ultralytics", True), ("motion", False), (None, True)])
def test_the_detectors_architecture_is_an_input_of_its_own_backend(
    repository: Path, backend: str | None, reads: bool
) -> None:
    inputs = Plan(Project(repository)).dataset_inputs("detect", "plaza", backend)
    assert ("config/detectors/yolo_plaza.yaml" in inputs) == reads


def test_a_row_is_not_timed_as_a_variant_of_another_network(repository: Path) -> None:
    choice: dict[str, Any] = {"datasets": ("plaza",), "budget": "quick", "seeds": (0,)}
    Plan(Project(repository)).check(**choice)
    other = Project(repository, ("methods.fast_aed.variants.pasted.settings.network={blocks: 2}",))
    with pytest.raises(LightvadError, match=r"fast_aed/pasted is `timed_as` default, which scores with other settings"):
        Plan(other).check(**choice)


def test_only_a_student_with_pasted_objects_is_trained_on_boxes(repository: Path) -> None:
    project = Project(repository)
    read = {
        variant: boxes_path("ped2", "import")
        in run_inputs(project, "train", Run("ped2", "quick", "fast_aed", variant, 0))
        for variant in ("default", "no_adversarial", "pasted")
    }
    assert read == {"default": False, "no_adversarial": False, "pasted": True}


def test_ubnormals_objects_are_an_input_of_the_trainings_that_paste_them(repository: Path) -> None:
    project = Project(repository)
    wanted = {"data/clips/ubnormal/checksums.json", "data/clips/ubnormal/index.parquet"}
    boxes = str(boxes_path("ped2", "import"))
    for variant, stages, read in (
        ("ubnormal", ("pretrain", "train"), True), ("ubnormal", ("score",), False),
        ("blobs", ("pretrain", "train"), False), ("default", ("pretrain", "train"), False),
    ):  # fmt: skip
        for stage in stages:
            run = Run("ped2", "quick", "aed_mae", variant, 0)
            inputs = [str(path) for path in run_inputs(project, stage, run)]
            assert wanted & set(inputs) == (wanted if read else set()), f"{stage} of {variant}"
            assert (boxes in inputs) == (variant == "default")
            assert len(inputs) == len(set(inputs))
    own = Run("ubnormal", "quick", "aed_mae", "ubnormal", 0)
    assert len(run_inputs(project, "pretrain", own)) == 2
    behind = Plan(project).behind([Run("ped2", "quick", "aed_mae", "ubnormal", 0).folder / "model.safetensors"])
    assert {"data/clips/ubnormal/records/prepare.json", "data/raw/ubnormal/fetched.json"} <= set(behind)


def test_all_tables_and_figures_train_each_configuration_once(repository: Path) -> None:
    """39 students, two teachers and two pre-trainings behind eight tables and ten figures of Fast-AED."""
    project = Project(repository)
    chosen: dict[str, Any] = {"datasets": ("plaza",), "budget": "smoke", "seeds": (0,)}
    runs = report_runs([project.experiment("fast_aed")], **chosen)
    assert len(runs) == 41
    trained = [run_digest(project, "train", run) + run.method for run in runs]
    assert len(set(trained)) == len(runs)
    pretrained = {pretraining_of(project, run) for run in runs} - {None}
    assert {run.variant for run in pretrained} == {"default", "fully_connected"}
    files = Plan(project).paper("fast_aed", **chosen)
    weights = [file for file in files if file.endswith("/model.safetensors")]
    assert sorted(weights) == sorted(str(run.folder / "model.safetensors") for run in runs)
    tables = {Path(file).stem for file in files if "/tables/" in file and file.endswith(".csv")}
    figures = {Path(file).stem for file in files if "/figures/" in file and file.endswith(".png")}
    assert tables == {f"table{number}" for number in range(1, 9)}
    assert figures == {f"figure{number}" for number in (2, 4, 5, 6, 7, 8, 9, 10, 11, 12)}


def test_the_target_of_a_paper_asks_for_what_those_of_its_tables_and_figures_do(repository: Path) -> None:
    plan = Plan(Project(repository))
    chosen: dict[str, Any] = {"datasets": ("plaza",), "budget": "smoke", "seeds": (0,)}
    experiment = plan.project.experiment("aed_mae")
    files = plan.paper("aed_mae", **chosen)
    assert len(files) == len(set(files))
    for kind, numbers in (("tables", experiment.tables), ("figures", experiment.figures)):
        for number in numbers:
            assert set(plan.target(kind, paper="aed_mae", number=number, **chosen)) <= set(files)


def test_the_default_target_leaves_ablations_out(repository: Path) -> None:
    everything = Plan(Project(repository)).everything(datasets=("plaza",), budget="smoke", seeds=(0,))
    variants = {Path(file).parts[5] for file in everything if file.startswith("results/runs/plaza/smoke/fast_aed/")}
    assert variants == {"default", "no_adversarial", "pasted"}


def test_every_variant_of_the_student_is_shown_somewhere(repository: Path) -> None:
    project = Project(repository)
    runs = report_runs([project.experiment("fast_aed")], datasets=("plaza",), budget="smoke", seeds=(0,))
    assert {run.variant for run in runs if run.method == "fast_aed"} == set(project.method("fast_aed").variants)


TAKEN = Run("plaza", "smoke", "aed_mae", "distilled_errors", 0)
OWNER = Run("plaza", "smoke", "aed_mae", "self_distillation", 0)


def test_a_run_that_takes_over_weights_reads_them_alone_and_trains_nothing(repository: Path) -> None:
    project = Project(repository)
    assert weights_of(project, TAKEN) == OWNER
    assert weights_of(project, OWNER) is None
    assert run_inputs(project, "train", TAKEN) == [OWNER.folder / "model.safetensors"]
    assert run_outputs(project, "train", TAKEN) == [TAKEN.folder / f for f in ("model.safetensors", "training.csv")]
    assert measuring_stages(project, TAKEN) == ["train", "score"]
    other = Project(repository, ("methods.aed_mae.settings.student_training.lr=0.5",))
    assert run_digest(project, "train", OWNER) != run_digest(other, "train", OWNER)
    assert run_digest(project, "train", TAKEN) == run_digest(other, "train", TAKEN), "it reads no learning rate"
    assert run_slice(project, "train", TAKEN)["settings"] == shared_settings(project, OWNER)


def test_the_table_of_sums_trains_one_model(repository: Path) -> None:
    plan = Plan(Project(repository))
    files = plan.target("tables", paper="aed_mae", number="3", datasets=("plaza",), budget="smoke", seeds=(0,))
    pretrained = [file for file in files if file.endswith("/pretrained.safetensors")]
    assert pretrained == ["results/runs/plaza/smoke/aed_mae/motion_weights/seed0/pretrained.safetensors"]
    scored = {Run.parse(Path(file).parent).variant for file in files if file.endswith("/metrics.json")}
    assert scored == {"self_distillation", "distilled_teacher", "distilled_errors", "distilled_errors_difference"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("weights_variant=nothing", r"no variant 'nothing'; it has"),
        ("weights_variant=distilled_teacher", r"takes the weights of 'self_distillation' itself"),
        ("weights_variant=distilled_errors", r"takes the weights of 'distilled_errors' itself"),
        ("weights_variant=default", r"is trained with another channels, class_head, pretrained_variant, synthetic;"),
        ("network={patch: 4}", r"weights_variant 'self_distillation' is trained with another network;"),
    ],
)
def test_weights_that_cannot_be_a_variants_own_are_told_in_one_line(repository: Path, settings: str, told: str) -> None:
    project = Project(repository, (f"methods.aed_mae.variants.distilled_errors.settings.{settings}",))
    with pytest.raises(LightvadError, match=told) as raised:
        Plan(project).check(datasets=("plaza",), budget="smoke", seeds=(0,))
    assert "\n" not in str(raised.value)


def test_weights_are_not_taken_over_by_a_variant_that_keeps_other_epochs(repository: Path) -> None:
    overrides = (
        "methods.fast_aed.variants.pasted.settings.weights_variant=default",
        "methods.fast_aed.settings.checkpoints_on_test=2",
    )
    with pytest.raises(LightvadError, match="takes over the last epoch's weights alone"):
        weights_of(Project(repository, overrides), Run("plaza", "quick", "fast_aed", "pasted", 0))
