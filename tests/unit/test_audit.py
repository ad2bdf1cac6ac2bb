"""`make audit` says what pip-audit does not: that a package which was not looked up is not free of vulnerabilities."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

LOOKED_UP: dict[str, Any] = {"name": "six", "version": "1.17.0", "vulns": []}
SKIPPED: dict[str, Any] = {
    "name": "av",
    "skip_reason": "Dependency not found on PyPI: av (14)",
}
VULNERABLE: dict[str, Any] = {
    "name": "jinja2",
    "version": "3.1.2",
    "vulns": [{"id": "CVE-2024-22195", "fix_versions": ["3.1.3"], "aliases": [], "description": ""}],
}


@pytest.mark.parametrize(
    ("packages", "status", "told"),
    [
        ([LOOKED_UP], 0, "1 packages looked up, 0 known"),
        ([LOOKED_UP, SKIPPED], 2, "not looked up: av"),
        ([SKIPPED, SKIPPED], 2, "cannot be reached"),
        ([], 2, "names no package"),
        ("ERROR: no such file", 2, "no such file"),
        ([LOOKED_UP, SKIPPED, VULNERABLE], 1, "1 known vulnerabilities; not looked up: av"),
    ],
)
def test_only_a_whole_and_clean_audit_is_a_success(
    repository: Path, packages: list[dict[str, Any]] | str, status: int, told: str
) -> None:
    spec = importlib.util.spec_from_file_location("audit", repository / "envs" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    audit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(audit)
    found, lines = audit.verdict(packages)
    assert found == status
    assert told in lines[-1]
    assert any("CVE-2024-22195" in line for line in lines) == (status == 1)
