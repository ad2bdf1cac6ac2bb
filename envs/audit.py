"""Look for known vulnerabilities in what a hashed lock installs here: `python envs/audit.py envs/dev.lock`.

One line of outcome, and a line for each vulnerability. Exit status 0: every package was looked up and none has any;
1: some have; 2: not every package was looked up. pip-audit by itself skips what its service does not know, says that
nothing was found and exits with 0, also where the service answers with nothing at all.
"""

import json
import subprocess
import sys
from typing import Any


def audited(lock: str) -> list[dict[str, Any]] | str:
    """What pip-audit says of every package of a lock, or why it says nothing (its last line)."""
    options = ["--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"]
    command = [sys.executable, "-m", "pip_audit", *options, "--requirement", lock]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words and a path
    try:
        packages: list[dict[str, Any]] = json.loads(ended.stdout)["dependencies"]
    except json.JSONDecodeError:
        return (ended.stderr.strip().splitlines() or ["it printed nothing"])[-1]
    return packages


def verdict(packages: list[dict[str, Any]] | str) -> tuple[int, list[str]]:
    """Exit status and the lines to print."""
    if isinstance(packages, str):
        return 2, [f"audit: not audited, pip-audit ended with: {packages}"]
    if not packages:
        return 2, ["audit: not audited, the lock names no package for this Python and platform"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        return 2, [
            f"audit: not audited, the vulnerability service knew none of {len(packages)} packages:"
            " it cannot be reached from here; run `make audit` where it can"
        ]
    lines = [
        f"{package['name']} {package['version']}: {found['id']},"
        f" mended in {', '.join(found['fix_versions']) or 'no version'}"
        for package in packages
        for found in package.get("vulns", [])
    ]
    status = 1 if lines else 2 if skipped else 0
    told = f"audit: {len(packages) - len(skipped)} packages looked up, {len(lines)} known vulnerabilities"
    return status, [*lines, told + (f"; not looked up: {', '.join(skipped)}" if skipped else "")]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python envs/audit.py LOCK")
    status, lines = verdict(audited(sys.argv[1]))
    print("\n".join(lines))
    sys.exit(status)
