"""The reader of `config/`: merges the layers, and turns a mistake into one line with file, key and what is allowed.

A run's settings are merged in this order, later wins: the method's file, the dataset's entry for the method, the
budget's, the budget's for the method on this dataset, the variant, `--set` on the command line.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError

from lightvad.config import Budget, Config, Dataset, Experiment, Method
from lightvad.errors import LightvadError

Model = TypeVar("Model", bound=BaseModel)
KINDS = ("datasets", "methods", "budgets", "experiments")
"""The folders under `config/` whose files are read by name and can be overridden."""
BY_HAND = "--set "
"""How a line begins that is about overrides."""


class _UniqueKeys(yaml.SafeLoader):
    """YAML as data, in which a key that comes twice is an error and does not win silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                problem = f"the key {key.value!r} comes twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen |= {key.value} if isinstance(key, yaml.ScalarNode) else set()
        return super().construct_mapping(node, deep)


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

    def methods(self) -> list[str]:
        """The names of all methods, sorted."""
        return self._known("methods")

    def budget(self, name: str) -> Budget:
        """config/budgets/NAME.yaml."""
        return self._load(Budget, "budgets", name)

    def experiment(self, name: str) -> Experiment:
        """config/experiments/NAME.yaml."""
        return self._load(Experiment, "experiments", name)

    def method_settings(
        self, model: type[Model], *, method: str, variant: str, dataset: str | None, budget: str
    ) -> Model:
        """The settings of one run: method, dataset (None: without data), budget, variant, overrides; checked.

        Raises:
            LightvadError: no such variant, an unknown key or an impossible value in any layer.
        """
        return self._told(
            lambda project: project._settings(model, method=method, variant=variant, dataset=dataset, budget=budget)
        )

    def _settings(self, model: type[Model], *, method: str, variant: str, dataset: str | None, budget: str) -> Model:
        spec, spending = self.method(method), self.budget(budget)
        if variant not in spec.variants:
            message = f"config/methods/{method}.yaml: no variant {variant!r}; it has {', '.join(sorted(spec.variants))}"
            raise LightvadError(message)
        of_dataset = {} if dataset is None else self.dataset(dataset).methods
        on_dataset = {} if dataset is None else spending.datasets.get(dataset, {})
        layers = [
            (f"config/methods/{method}.yaml: settings", spec.settings),
            (f"config/datasets/{dataset}.yaml: methods.{method}", of_dataset.get(method, {})),
            (f"config/budgets/{budget}.yaml: methods.{method}", spending.methods.get(method, {})),
            (f"config/budgets/{budget}.yaml: datasets.{dataset}.{method}", on_dataset.get(method, {})),
            (f"config/methods/{method}.yaml: variants.{variant}.settings", spec.variants[variant].settings),
            (
                f"config/methods/{method}.yaml: settings with --set",
                self.overrides_of("methods", method).get("settings", {}),
            ),
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
        where = f"config/{kind}/{name}.yaml"
        if "/" in name or not name:
            message = f"{where}: {name!r} cannot be a name; there are: {', '.join(self._known(kind)) or 'none'}"
            raise LightvadError(message)
        text = self._text(f"{kind}/{name}.yaml")
        return cast(Model, self._told(lambda project: _loaded(project, model, kind, name, text)))

    def _told(self, read: Callable[["Project"], Model]) -> Model:
        """What `read` gives; where it fails because of overrides, the line begins with them, not with a file.

        To blame are those without each of which it would not fail, or else would fail otherwise.
        """
        try:
            return read(self)
        except LightvadError as error:
            message = str(error)
            if message.startswith(BY_HAND):
                raise
            others = {left: self.overrides[:at] + self.overrides[at + 1 :] for at, left in enumerate(self.overrides)}
            failures = {left: _failure(read, Project(self.root, kept)) for left, kept in others.items()}
            blamed = [left for left, failure in failures.items() if failure is None]
            blamed = blamed or [left for left, failure in failures.items() if failure != message]
            if not blamed:
                raise
            message = f"{' '.join(BY_HAND + override for override in blamed)}: {message}"
            raise LightvadError(message) from error

    def _known(self, kind: str) -> list[str]:
        return sorted(found.stem for found in (self.root / "config" / kind).glob("*.yaml"))

    def overrides_of(self, kind: str, name: str) -> dict[str, Any]:
        """What `--set` says about one file; every override is checked, whatever file it is about."""
        content: dict[str, Any] = {}
        for (of_kind, of_name, *keys), nested in _parsed_overrides(self):
            if (of_kind, of_name) == (kind, name):
                for key in reversed(keys):
                    nested = {key: nested}
                content = merged(content, nested)
        return content

    def _read(self, name: str) -> Any:
        return _content(name, self._text(name))

    def _text(self, name: str) -> str:
        path = self.root / "config" / name
        try:
            return path.read_text("utf-8")
        except OSError as error:
            known = sorted(found.stem for found in path.parent.glob("*.yaml"))
            message = f"config/{name}: missing in {self.root}; there are: {', '.join(known) or 'none'}"
            raise LightvadError(message) from error
        except UnicodeDecodeError as error:
            message = f"config/{name}: not YAML ({' '.join(str(error).split())[:200]})"
            raise LightvadError(message) from error


def _failure(read: Callable[[Project], object], project: Project) -> str | None:
    """The line with which `read` fails; None: it does not."""
    try:
        read(project)
    except LightvadError as error:
        return str(error)
    return None


@lru_cache(maxsize=256)
def _parsed_overrides(project: Project) -> tuple[tuple[list[str], Any], ...]:
    """Of every `--set` its keys, from the kind on, and its value; a plan asks for the same thousands of times."""
    found = []
    for override in project.overrides:
        path, sign, value = override.partition("=")
        keys = path.split(".")
        if not sign or len(keys) < 3:
            message = f"--set {override}: write it as KIND.NAME.KEY=VALUE, e.g. datasets.ped2.detection.backend=motion"
            raise LightvadError(message)
        if keys[0] not in KINDS or keys[1] not in project._known(keys[0]):
            message = (
                f"--set {override}: there is no config/{keys[0]}/{keys[1]}.yaml to override; KIND is one of"
                f" {', '.join(KINDS)}"
            )
            raise LightvadError(message)
        try:
            found.append((keys, yaml.safe_load(value)))
        except yaml.YAMLError as error:
            message = f"--set {override}: {value!r} is not a YAML value ({' '.join(str(error).split())[:100]})"
            raise LightvadError(message) from error
    return tuple(found)


@lru_cache(maxsize=256)
def _loaded(project: Project, model: type[BaseModel], kind: str, name: str, text: str) -> BaseModel:
    """The model of one file with what `--set` says about it; a plan asks for the same few thousands of times."""
    where = f"config/{kind}/{name}.yaml"
    content = merged(_content(f"{kind}/{name}.yaml", text), project.overrides_of(kind, name))
    if isinstance(content.get("name"), str) and content["name"] != name:
        message = f"{where}: name: {content['name']!r} is not the file's; write {name!r}"
        raise LightvadError(message)
    return parsed(model, content, where)


def _content(name: str, text: str) -> Any:
    """What a file under config/ says."""
    try:
        content = yaml.load(text, _UniqueKeys)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        message = f"config/{name}: not YAML ({' '.join(str(error).split())[:200]})"
        raise LightvadError(message) from error
    if not isinstance(content or {}, Mapping):
        message = f"config/{name}: holds a {type(content).__name__}, not keys with values; write `name: ...` and so on"
        raise LightvadError(message)
    return content or {}


def digest(content: Any) -> str:
    """Hex sha256 of JSON-like content (models are dumped), independent of the order of keys."""

    def plain(value: Any) -> Any:
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)

    return hashlib.sha256(json.dumps(content, sort_keys=True, default=plain).encode()).hexdigest()
