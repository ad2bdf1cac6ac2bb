"""Configuration: layers merge, and a mistake is one line that names file, key and what is allowed."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from lightvad.config import Budget, Config, Dataset, MethodSettings, Settings
from lightvad.errors import LightvadError
from lightvad.project import Project, digest, merged, parsed


class Inner(Settings):
    rate: float = Field(0.1, gt=0)


class Example(MethodSettings):
    inner: Inner = Inner()
    depth: int = Field(3, ge=1, le=9)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    def write(name: str, content: object) -> None:
        path = tmp_path / "config" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))

    variants = {"default": {"title": "as published"}, "deep": {"title": "deeper", "settings": {"depth": 5}}}
    write(
        "methods/m.yaml", {"name": "m", "title": "M", "level": "frame", "settings": {"depth": 4}, "variants": variants}
    )
    for name in ("d", "other"):
        dataset = {
            "name": name, "title": name, "fps": 25, "frame_size": [240, 360], "clips": {}, "frames": {},
            "detection": {"backend": "motion"}, "map_resolutions": [4],
        }  # fmt: skip
        write(f"datasets/{name}.yaml", dataset)
    write("budgets/b.yaml", {"name": "b", "title": "B", "methods": {"m": {"inner": {"rate": 0.5}}}})
    return Project(tmp_path)


def settings(project: Project, variant: str = "default", dataset: str = "d") -> Example:
    return project.method_settings(Example, method="m", variant=variant, dataset=dataset, budget="b")


def test_later_layers_win(project: Project) -> None:
    assert settings(project).depth == 4
    assert settings(project).inner.rate == 0.5
    assert settings(project, "deep").depth == 5


def test_what_a_dataset_asks_for_lies_between_the_method_and_the_budget(project: Project) -> None:
    changed = Project(project.root, ("datasets.d.methods.m={depth: 7, inner: {rate: 0.7}}",))
    assert settings(changed).depth == 7
    assert settings(changed).inner.rate == 0.5
    assert settings(changed, "deep").depth == 5
    assert settings(changed, dataset="other").depth == 4


def test_an_override_reaches_a_nested_key(project: Project) -> None:
    changed = Project(project.root, ("methods.m.settings.inner.rate=2.5", "budgets.b.methods.m={}"))
    assert settings(changed).inner.rate == 2.5, "what is set by hand wins over every file"
    changed = Project(project.root, ("budgets.b.datasets.d.m.inner.rate=2.5",))
    assert settings(changed).inner.rate == 2.5
    assert settings(changed, dataset="other").inner.rate == 0.5


def test_an_override_wins_over_the_variant(project: Project) -> None:
    assert settings(Project(project.root, ("methods.m.settings.depth=7",)), "deep").depth == 7


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("methods.other.settings.depth=3", "there is no config/methods/other.yaml"),
        ("method.m.settings.depth=3", "there is no config/method/m.yaml"),
        ("methods.m.title=[1", "is not a YAML value"),
    ],
)
def test_an_override_of_nothing_is_refused(project: Project, override: str, complaint: str) -> None:
    with pytest.raises(LightvadError, match=complaint) as raised:
        settings(Project(project.root, (override,)))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("override", ["depth=3", "methods.m=3", "methods.m.settings.depth"])
def test_an_override_that_names_no_key_is_refused(project: Project, override: str) -> None:
    with pytest.raises(LightvadError, match=r"KIND\.NAME\.KEY=VALUE"):
        settings(Project(project.root, (override,)))


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        (
            "methods.m.settings.deepth=3",
            r"config/methods/m.yaml: settings: deepth: unknown key; allowed here: depth, inner",
        ),
        ("methods.m.settings.inner.rat=3", r"inner\.rat: unknown key; allowed here: rate"),
        ("methods.m.settings.depth=12", r"depth: Input should be less than or equal to 9 \(got 12\)"),
        ("methods.m.settings.depth=many", r"depth: Input should be a valid integer"),
        ("budgets.b.methods.m.inner.rate=0", r"config/budgets/b.yaml: methods.m: inner.rate: Input should be greater"),
        ("methods.m.level=object-ish", r"config/methods/m.yaml: level: Input should be 'object' or 'frame'"),
    ],
)
def test_a_mistake_is_one_line(project: Project, override: str, complaint: str) -> None:
    changed = Project(project.root, (override,))
    with pytest.raises(LightvadError, match=complaint) as raised:
        changed.method("m")
        settings(changed)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        # Neither the first of them nor the last.
        (
            ("methods.m.title=Mine", "methods.m.settings.depth=12", "datasets.d.fps=30"),
            r"^--set methods\.m\.settings\.depth=12: config/methods/m\.yaml: settings: depth: Input .* \(got 12\)$",
        ),
        (
            ("budgets.b.methods.m={inner: {rate: 0}}",),
            r"^--set budgets\.b\.methods\.m=\{inner: \{rate: 0\}\}: config/budgets/b\.yaml: methods\.m: inner\.rate: ",
        ),
        # Of two that are wrong the one that the line is about.
        (
            ("methods.m.settings.depth=0", "methods.m.settings.inner.rate=-1"),
            r"^--set methods\.m\.settings\.inner\.rate=-1: config/methods/m\.yaml: settings: inner\.rate: ",
        ),
        # What is right by itself, and wrong beside what the file has not.
        (
            ("datasets.d.detection.backend=import", "datasets.d.fps=30"),
            r"^--set datasets\.d\.detection\.backend=import: config/datasets/d\.yaml: detection: .*`imported`",
        ),
    ],
)
def test_a_mistake_of_an_override_begins_with_it(project: Project, overrides: tuple[str, ...], told: str) -> None:
    assert settings(project).depth == 4
    with pytest.raises(LightvadError, match=told):
        settings(Project(project.root, overrides))


def test_a_mistake_of_a_file_is_not_blamed_on_an_override(project: Project) -> None:
    path = project.root / "config/methods/m.yaml"
    path.write_text(path.read_text().replace("depth: 4", "depth: 12"))
    overrides = ("methods.m.settings.inner.rate=2.5", "methods.m.title=Mine")
    with pytest.raises(LightvadError, match=r"^config/methods/m.yaml: settings: depth"):
        settings(Project(project.root, overrides))
    assert settings(Project(project.root, (*overrides, "methods.m.settings.depth=5"))).depth == 5


def test_unknown_names_list_what_there_is(project: Project) -> None:
    with pytest.raises(LightvadError, match="there are: b"):
        project.budget("huge")
    with pytest.raises(LightvadError, match="it has deep, default"):
        settings(project, "wide")


def test_not_yaml(project: Project) -> None:
    (project.root / "config/budgets/b.yaml").write_text("a: [1, 2")
    with pytest.raises(LightvadError, match=r"config/budgets/b.yaml: not YAML"):
        project.budget("b")


@pytest.mark.parametrize("kind", ["datasets", "methods", "budgets", "experiments"])
def test_every_file_of_the_project_is_valid(repository: Path, kind: str) -> None:
    project = Project(repository)
    names = [path.stem for path in (repository / "config" / kind).glob("*.yaml")]
    assert names
    for name in names:
        loaded = getattr(project, kind.removesuffix("s"))(name)
        assert loaded.name == name
    assert project.config().budget in [path.stem for path in (repository / "config/budgets").glob("*.yaml")]


def test_models_are_frozen_and_closed() -> None:
    for model in (Config, Dataset, Budget, Example):
        assert model.model_config["frozen"]
        assert model.model_config["extra"] == "forbid"


nested = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.text(max_size=2), nested, max_size=4)


@given(mappings, mappings)
def test_merging_keeps_the_upper_layer_and_all_keys(below: dict, above: dict) -> None:
    result = merged(below, above)
    assert set(result) == set(below) | set(above)
    assert merged(result, above) == result
    assert merged(below, {}) == below


@given(mappings)
def test_digest_is_blind_to_order_and_sees_every_value(content: dict) -> None:
    assert digest(content) == digest(dict(reversed(list(content.items()))))
    assert digest({**content, "further": 1}) != digest(content)


def test_parsed_names_a_missing_key() -> None:
    with pytest.raises(LightvadError, match=r"somewhere: datasets: is missing"):
        parsed(Config, {"budget": "quick"}, "somewhere")
