"""`lightvad benchmark --engines`: every engine beside fp32 eager, without data."""

from pathlib import Path

import pytest

from lightvad.artifacts.documents import read_json
from lightvad.errors import LightvadError
from lightvad.project import Project
from lightvad.stages import engines as stage
from lightvad.stages.machine import Machine

QUICK = ("budgets.smoke.benchmark.iterations=3", "budgets.smoke.benchmark.warmup=1", "budgets.smoke.benchmark.rounds=1")


def run(repository: Path, out: Path, *engines: str) -> None:
    stage.run(
        Project(repository, overrides=QUICK), Machine("cpu", 1), run=None, method="fast_aed", variant="default",
        frame_size=(48, 64), budget="smoke", engines=engines, out=out,
    )  # fmt: skip


def test_a_row_for_every_engine_and_the_reference(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(repository, tmp_path / "engines.json", "openvino/int8", "onnxruntime/32-true")
    content = read_json(tmp_path / "engines.json")
    timed = {(row["engine"], row["precision"], row["scope"], row["scored"]) for row in content["speed"]}
    assert timed == {
        ("eager", "32-true", "model", False),
        ("openvino", "int8", "model", True),
        ("onnxruntime", "32-true", "model", True),
    }
    assert all(row["fps_median"] > 0 for row in content["speed"])
    assert content["limits"]["matrix_rates"].keys() == {"32-true"}
    shares = {one["engine"]: one.get("roofline", {}).get("share") for one in content["engines"]}
    assert shares["openvino"] is None  # no rate of int8 products is measured
    assert shares["eager"] > 0
    assert shares["onnxruntime"] > 0
    assert all(one["usage"]["peak_memory_mb"] > 0 for one in content["engines"])
    told = capsys.readouterr().err
    assert "fast_aed/default, openvino, int8, batch 1" in told
    assert "of the device's" in told


@pytest.mark.parametrize("engine", ["tensorrt/32-true", "openvino", "onnxruntime/int8"])
def test_an_unknown_engine_is_one_line(repository: Path, tmp_path: Path, engine: str) -> None:
    with pytest.raises(LightvadError, match=f"--engines {engine}: unknown; write some of eager/32-true"):
        run(repository, tmp_path / "engines.json", engine)
    assert not (tmp_path / "engines.json").exists()
