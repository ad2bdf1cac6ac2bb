"""What `snakemake --lint` finds, and why each kind of it stands."""

import re
from pathlib import Path

import pytest

from tests.workflow.conftest import copy_project

pytestmark = pytest.mark.slow

UNDECIDING = "decides no result; in `params` it would run everything again on another machine (workflow/rules/plan.smk)"
BY_DIGEST = "the digest in `params` holds what it changes, and only for the rules that it changes"
ACCEPTED = {
    "Specify a conda environment or container for each rule.": "one for all rules, from a hashed lock (envs/)",
    "Shell command directly uses variable LIGHTVAD from outside of the rule": UNDECIDING,
    "Shell command directly uses variable DEVICE from outside of the rule": UNDECIDING,
    "Shell command directly uses variable DEVICES from outside of the rule": UNDECIDING,
    "Shell command directly uses variable MIRROR from outside of the rule": UNDECIDING,
    "Shell command directly uses variable SET from outside of the rule": BY_DIGEST,
    "Shell command directly uses variable SEEDS from outside of the rule": BY_DIGEST,
}


def test_the_linter_finds_only_what_has_a_reason(repository: Path, tmp_path: Path) -> None:
    ended = copy_project(repository, tmp_path).snakemake("--lint")
    found = set(re.findall(r"^    \* (.*):$", ended.stdout + ended.stderr, re.MULTILINE))
    assert found == set(ACCEPTED), ended.stderr
