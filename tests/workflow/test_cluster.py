"""The workflow on a SLURM cluster: what the jobs ask for, and the same bytes as on one machine."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.workflow.conftest import Checkout, copy_project, tables_of
from tests.workflow.one_node import missing, one_node_slurm

pytestmark = pytest.mark.slow

PROFILE = ("--workflow-profile", "profiles/slurm")
JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", re.MULTILINE)
TIMED = {"benchmark", "benchmark_table"}
ON_THE_GPU = {"detect", "pretrain", "train", "score", "score_frames", *TIMED}
LOCAL = {"fetch", "fetch_detection"}


def asked_for(checkout: Checkout, device: str) -> dict[str, dict[str, str]]:
    """Rule -> the resources that its jobs ask SLURM for, from a dry run."""
    ended = checkout.snakemake("--dry-run", "all", "fast_aed_table8", how=PROFILE, device=device)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    asked = {}
    for rule, job in JOB.findall(ended.stdout + ended.stderr):
        line = re.search(r"^    resources: (.*)$", job, re.MULTILINE)
        asked[rule] = dict(item.split("=", 1) for item in line[1].split(", ")) if line else {}
    return asked


@pytest.fixture(scope="module")
def empty(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which nothing has run."""
    return copy_project(repository, tmp_path_factory.mktemp("empty"))


@pytest.mark.skipif(find_spec("snakemake_executor_plugin_slurm") is None, reason="the plugin is not installed")
def test_jobs_ask_for_memory_and_time_and_with_cuda_for_a_gpu(empty: Checkout) -> None:
    for device in ("cpu", "cuda"):
        asked = asked_for(empty, device)
        assert set(asked) >= ON_THE_GPU | {"prepare", "maps", "evaluate", "table", "figure", "report"}
        for rule, resources in asked.items():
            if rule not in LOCAL | {"all", "fast_aed_table8"}:
                assert int(resources["mem_mb"]) > 0, rule
                assert int(resources["runtime"]) > 0, rule
            wanted = rule in ON_THE_GPU and device == "cuda"
            assert int(resources.get("gpu", "0")) == wanted, (rule, device)
        for rule in TIMED:
            assert asked[rule]["slurm_extra"] == "--exclusive"


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_through_sbatch_the_tables_are_the_same_bytes(
    request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    checkout = copy_project(repository, tmp_path_factory.mktemp("cluster"))
    tables = ("fast_aed_table1", "fast_aed_table7")
    with one_node_slurm() as environment:
        ended = checkout.snakemake(
            *("--slurm-init-seconds-before-status-checks", "3", *tables), how=PROFILE, environment=environment
        )
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-6000:]
    submitted = re.findall(r"SLURM jobid '?(\d+)'?", ended.stdout + ended.stderr)
    assert len(set(submitted)) > 10, (ended.stdout + ended.stderr)[-3000:]
    # Not before: another worker may be making it meanwhile.
    undisturbed: Checkout = request.getfixturevalue("undisturbed")
    assert tables_of(checkout) == tables_of(undisturbed)
