"""Trap 2: a DVC stage around Snakemake that keeps its outputs records old results under the hash of new code.

Expected: fresh clone, pull, a change of code alone, `dvc repro`: the number changes. `dvc metrics diff` shows it.
"""

import json
from pathlib import Path

import pytest
import yaml
from tests.workflow.conftest import Checkout

METRICS = "runs/plaza/smoke/ssmtl/default/seed0/metrics.json"


@pytest.mark.slow
def test_changed_code_changes_the_number_in_a_fresh_clone(clone: Checkout) -> None:
    fetched = clone.dvc("pull", "data@plaza", "boxes@plaza", "scores@plaza-smoke", "tables@plaza-smoke")
    assert fetched.returncode == 0, fetched.stderr
    before = json.loads((clone.root / "results" / METRICS).read_text())["rbdc"]
    weights = (clone.root / "results" / METRICS).with_name("model.safetensors")
    trained = weights.stat().st_mtime_ns
    clone.edit("src/lightvad/stages/evaluate.py", '"rbdc": ', '"rbdc": 1.0 + ')
    clone.git("commit", "--quiet", "--all", "--message", "Only code")
    ended = clone.dvc("repro", "tables@plaza-smoke")
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-6000:]
    assert "rule train" not in ended.stdout + ended.stderr
    assert json.loads((clone.root / "results" / METRICS).read_text())["rbdc"] == pytest.approx(before + 1)
    assert weights.stat().st_mtime_ns == trained
    shown = json.loads(clone.dvc("metrics", "show", "--json").stdout)[""]["data"]
    assert shown[f"results/published/{METRICS}"]["data"]["rbdc"] == pytest.approx(before + 1)
    clone.git("commit", "--quiet", "--all", "--message", "Its numbers")
    told = json.loads(clone.dvc("metrics", "diff", "--json", "HEAD~2", "HEAD").stdout)
    assert told[f"results/published/{METRICS}"]["rbdc"]["diff"] == pytest.approx(1)
    plots = clone.dvc("plots", "show", "--json", "results/published/figures/plaza/smoke/fast_aed/figure2.csv")
    assert plots.returncode == 0, plots.stderr
    assert "micro_auc" in plots.stdout


def test_no_stage_keeps_its_outputs(repository: Path) -> None:
    def keys(content: object) -> set[str]:
        if isinstance(content, dict):
            return set(content) | {key for value in content.values() for key in keys(value)}
        return {key for value in content for key in keys(value)} if isinstance(content, list) else set()

    assert "persist" not in keys(yaml.safe_load((repository / "dvc.yaml").read_text()))
