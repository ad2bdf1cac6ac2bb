"""Imports run downwards only, and methods do not know each other (architecture section 1)."""

import ast
from pathlib import Path

import pytest

import lightvad

PACKAGE = Path(lightvad.__file__).parent

# Lower number = lower layer. A module may import its own layer and what lies below.
LAYERS = {
    "errors": 0,
    "prefetch": 1,
    "progress": 1,
    "config": 1,
    "project": 1,
    "layout": 1,
    "smoothing": 1,
    "artifacts": 1,
    "compute": 1,
    "modules": 1,
    "video": 2,
    "resolution": 2,
    "objects": 3,
    "maps": 3,
    "detection": 3,
    "training_loop": 3,
    "shares": 1,
    "datasets": 4,
    "evaluation": 4,
    "methods": 4,
    "reporting": 4,
    "provenance": 4,
    "deploy": 5,
    "plan": 6,
    "stages": 6,
    "cli": 7,
    "__main__": 8,
}
SIDE_BY_SIDE = {"datasets", "evaluation", "methods", "reporting", "provenance", "objects", "detection"}
"""Packages of one layer that do not import each other either. (`evaluation.speed` reads the protocol of methods.)"""
ALLOWED = {("evaluation", "methods.protocol")}


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("lightvad.") for name in names if name.startswith("lightvad.")}


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_downwards(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts
    for name in imports_of(path):
        part = name.split(".")[0]
        if part in ("__version__",):
            continue
        assert part in LAYERS, f"{part} has no place in the house: add it to LAYERS and to docs/architecture.md"
        assert LAYERS[part] <= LAYERS[own[0]], f"{path.name} imports {name}, which lies above it"
        beside = part in SIDE_BY_SIDE and own[0] in SIDE_BY_SIDE and part != own[0] and LAYERS[part] == LAYERS[own[0]]
        allowed = any(own[0] == who and name.startswith(what) for who, what in ALLOWED)
        assert not beside or allowed, f"{path.name} imports {name}, which stands beside it"


@pytest.mark.parametrize("path", [p for p in MODULES if "methods" in p.parts], ids=lambda p: p.name)
def test_methods_do_not_know_each_other(path: Path) -> None:
    own = path.relative_to(PACKAGE / "methods").parts
    others = {folder.name for folder in (PACKAGE / "methods").iterdir() if folder.is_dir()} - {own[0]}
    for name in imports_of(path):
        parts = name.split(".")
        assert not (parts[0] == "methods" and parts[1] in others), f"{path} imports {name}"


@pytest.mark.parametrize("library", ["snakemake", "dvc", "ultralytics"])
def test_only_detection_knows_ultralytics_and_nobody_the_workflow(library: str) -> None:
    users = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == library for name in names):
                users.add(path.relative_to(PACKAGE).parts[0])
    assert users <= ({"detection"} if library == "ultralytics" else set())
