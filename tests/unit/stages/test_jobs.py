"""From a run's name to what a method is handed."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.datasets.published import UBNORMAL_OBJECTS, annotated_ubnormal
from tests.unit.drawn_clips import write_clips

from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.documents import write_json
from lightvad.errors import LightvadError
from lightvad.layout import Run, checksums_path, clips_folder
from lightvad.project import Project
from lightvad.resolution import pretraining_of, run_digest, run_slice, settings_of, teachers_of
from lightvad.stages.devices import _job_of
from lightvad.stages.jobs import held_out, job_of
from lightvad.stages.machine import Machine
from lightvad.video.clips import Clip

RUN = Run("ped2", "quick", "fast_aed", "default", 0)


def clips(count: int) -> list[Clip]:
    return [Clip(f"Train{k:03d}", "train", 10, 4, 4, 10.0, "") for k in range(count)]


@given(st.integers(2, 400), st.floats(0.01, 0.6))
def test_held_out_clips_are_as_many_as_asked_and_spread(count: int, fraction: float) -> None:
    names = held_out(clips(count), fraction)
    assert len(names) == max(1, round(fraction * count)) < count + 1
    places = sorted(int(name[5:]) for name in names)
    gaps = [b - a for a, b in pairwise(places)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_nothing_is_held_out_of_nothing() -> None:
    assert held_out(clips(16), 0) == held_out(clips(1), 0.5) == frozenset()
    assert len(held_out(clips(16), 0.15)) == 2


def test_the_student_has_two_teachers_and_shares_its_pretraining(repository: Path) -> None:
    project = Project(repository)
    assert [(teacher.method, weight) for teacher, weight in teachers_of(project, RUN)] == [
        ("background_agnostic", 1.0),
        ("ssmtl", 1.0),
    ]
    other = Run("ped2", "quick", "fast_aed", "no_adversarial", 0)
    assert pretraining_of(project, other) == pretraining_of(project, RUN) == RUN
    assert settings_of(project, RUN) != settings_of(project, other)


def test_a_variant_that_would_pretrain_another_network_must_do_so_itself(repository: Path) -> None:
    deeper = Project(repository, ("methods.fast_aed.variants.no_adversarial.settings.network.blocks=6",))
    with pytest.raises(LightvadError, match="pre-trains with other settings; name 'no_adversarial' itself"):
        pretraining_of(deeper, Run("ped2", "quick", "fast_aed", "no_adversarial", 0))


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("datasets.ped2.smoothing.plain_seconds=0.7", {"evaluate"}),
        ("methods.fast_aed.settings.adversarial.weight=0.3", {"train"}),
        ("datasets.ped2.frame_size=[120, 180]", {"pretrain", "train", "score", "benchmark"}),
        ("budgets.quick.bootstrap=10", {"evaluate"}),
        ("budgets.quick.benchmark.warmup=1", {"benchmark"}),
        ("budgets.quick.methods.fast_aed.pretraining.epochs=1", {"pretrain"}),
        ("methods.ssmtl.settings.training.epochs=1", set()),
    ],
)
def test_a_key_changes_the_digest_of_the_stages_that_read_it_and_of_no_other(
    repository: Path, override: str, changed: set[str]
) -> None:
    stages = ("pretrain", "train", "score", "evaluate", "benchmark")
    before, after = Project(repository), Project(repository, (override,))
    found = {stage for stage in stages if run_digest(before, stage, RUN) != run_digest(after, stage, RUN)}
    assert found == changed


def test_a_slice_holds_no_path_and_no_machine(repository: Path) -> None:
    text = str(run_slice(Project(repository), "train", RUN))
    assert str(repository) not in text
    assert "threads" not in text


def test_a_job_holds_the_clips_of_the_other_dataset_that_it_reads(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "config").symlink_to(repository / "config")
    write_clips(tmp_path / clips_folder("ped2"))
    annotated_ubnormal(tmp_path).root.rename(tmp_path / clips_folder("ubnormal"))
    for dataset in ("ped2", "ubnormal"):
        files = (tmp_path / clips_folder(dataset)).rglob("*.*")
        found = {file.relative_to(tmp_path / clips_folder(dataset)).as_posix(): sha256_of(file) for file in files}
        write_json(tmp_path / checksums_path(dataset), found)
    jobs = {
        variant: job_of(Project(tmp_path), Run("ped2", "quick", "aed_mae", variant, 0), "pretrain", Machine("cpu", 1))
        for variant in ("ubnormal", "blobs")
    }
    assert not jobs["blobs"].other_clips
    assert jobs["ubnormal"].digest != jobs["blobs"].digest
    assert jobs["ubnormal"].boxes.empty
    for job in (jobs["ubnormal"], _job_of(jobs["ubnormal"], 1, tmp_path / "1")):
        assert [clip.name for clip in job.other_clips["ubnormal"].clips("abnormal")] == list(UBNORMAL_OBJECTS)
