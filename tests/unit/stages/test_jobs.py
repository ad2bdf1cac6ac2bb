"""From a run's name to what a method is handed."""

import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from lightvad.artifacts.atomic import write_text
from lightvad.artifacts.documents import read_json
from lightvad.cli import app
from lightvad.errors import LightvadError
from lightvad.layout import Run
from lightvad.project import Project
from lightvad.resolution import pretraining_of, run_digest, run_slice, settings_of, teachers_of
from lightvad.stages.jobs import Machine, command_of, held_out, recorded
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


OVERRIDES = (
    "datasets.ped2.object_maps={block_scale: 2, filter_size: 5}",
    "datasets.ped2.note=a 'quoted' $word",
    "budgets.quick.bootstrap=10",
)


@pytest.mark.parametrize("stage", ["pretrain", "train", "score", "maps", "evaluate"])
def test_the_recorded_command_is_one_that_the_command_line_takes_and_says_all_that_was_given(
    repository: Path, stage: str
) -> None:
    machine = Machine("cpu", 3)
    name, sub, *words = shlex.split(command_of(Project(repository, OVERRIDES), RUN, stage, machine))
    assert (name, sub) == ("lightvad", stage)
    given = typer.main.get_command(app).commands[stage].make_context(stage, words).params
    assert given["run"] == RUN.folder.as_posix()
    assert tuple(given["overrides"]) == OVERRIDES
    assert {key: given[key] for key in ("device", "threads") if key in given} == {
        "pretrain": {"device": "cpu", "threads": 3},
        "train": {"device": "cpu", "threads": 3},
        "score": {"device": "cpu", "threads": 3},
        "maps": {"threads": 3},
        "evaluate": {},
    }[stage]


def test_a_record_holds_the_command_with_its_overrides(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "config").symlink_to(repository / "config")
    write_text(tmp_path / "input.txt", "x")
    project = Project(tmp_path, OVERRIDES)
    with recorded(project, RUN, "train", machine=Machine("cpu", 2), inputs=[Path("input.txt")]):
        pass
    command = read_json(tmp_path / RUN.folder / "records" / "train.json")["command"]
    assert command == command_of(project, RUN, "train", Machine("cpu", 2))
    assert command.startswith(f"lightvad train --run {RUN.folder} --device cpu --threads 2 --set ")
    assert [word for word in shlex.split(command) if word in OVERRIDES] == list(OVERRIDES)
