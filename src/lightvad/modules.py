"""Which of lightvad's own modules a stage runs: read off the imports, so that an edit re-runs what depends on it.

Snakemake does not see edits inside an imported package; every rule therefore lists these files as input.
"""

import ast
from functools import cache
from pathlib import Path

import lightvad
from lightvad.artifacts.digests import digest_of_files

PACKAGE = Path(lightvad.__file__).parent


def module_path(name: str) -> Path | None:
    """The file of the module `lightvad...`, or None where `name` is not a module of lightvad (an attribute, say)."""
    relative = Path(*name.split(".")[1:])
    for candidate in (PACKAGE / relative / "__init__.py", (PACKAGE / relative).with_suffix(".py")):
        if relative.parts and candidate.is_file():
            return candidate
    return PACKAGE / "__init__.py" if name == "lightvad" else None


@cache
def direct_imports(name: str) -> frozenset[str]:
    """Modules of lightvad that the module `name` imports, at its top or inside functions, with their packages."""
    path = module_path(name)
    if path is None:
        return frozenset()
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(module for module in found if module.split(".")[0] == "lightvad" and module_path(module))


def modules_of(*names: str) -> list[str]:
    """`names` and every module of lightvad that they import, directly or not, sorted."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += direct_imports(name)
    return sorted(seen)


def files_of(*names: str) -> list[Path]:
    """The files of `modules_of`, sorted."""
    return sorted({path for name in modules_of(*names) if (path := module_path(name))})


@cache
def code_digest(*names: str) -> str:
    """Hex sha256 over the files of `modules_of`: names relative to the package, and contents."""
    return digest_of_files(files_of(*names), PACKAGE)


def stage_modules(stage: str, method: str | None = None, dataset: str | None = None) -> tuple[str, ...]:
    """Where a stage starts: its own module, and what it loads by name: parts of the method, a dataset's reader."""
    parts = {"pretrain": ["training"], "train": ["training"], "score": ["scoring"], "benchmark": ["scoring"]}
    own = [f"lightvad.stages.{stage}"]
    if method is not None:
        own += [f"lightvad.methods.{method}.{part}" for part in parts.get(stage, [])]
    if dataset is not None and stage == "prepare":
        own.append(f"lightvad.datasets.{dataset}")
    return tuple(own)
