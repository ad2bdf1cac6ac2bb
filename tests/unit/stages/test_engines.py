"""`lightvad benchmark --engines`: every engine beside fp32 eager, without data."""

from pathlib import Path

import av
import numpy as np
import pytest

from lightvad.artifacts.documents import read_json
from lightvad.errors import LightvadError
from lightvad.project import Project
from lightvad.stages import engines as stage
from lightvad.stages.machine import Machine

QUICK = ("budgets.smoke.benchmark.iterations=3", "budgets.smoke.benchmark.warmup=1", "budgets.smoke.benchmark.rounds=1")


def run(repository: Path, out: Path, *engines: str, video: Path | None = None) -> None:
    stage.run(
        Project(repository, overrides=QUICK), Machine("cpu", 1), run=None, method="fast_aed", variant="default",
        frame_size=(48, 64), video=video, budget="smoke", engines=engines, out=out,
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


def test_a_video_is_timed_end_to_end(repository: Path, tmp_path: Path) -> None:
    video = tmp_path / "yard.mkv"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for image in np.random.default_rng(0).integers(0, 256, (12, 96, 128, 3), np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    run(repository, tmp_path / "engines.json", "openvino/32-true", video=video)
    content = read_json(tmp_path / "engines.json")
    ends = [row for row in content["speed"] if row["scope"] == "end_to_end"]
    assert [row["engine"] for row in ends] == ["eager", "openvino"]
    assert ends[1]["compared_frames"] == 12
    assert ends[1]["max_abs_score_diff"] < 1e-4
    assert all("streams" in one for one in content["engines"])
    assert content["subject"] == {"weights": "random", "clip": "yard", "int8_ranges": "the timed clip itself"}


def test_a_video_that_is_none_is_one_line(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "yard.mp4").write_bytes(b"no video")
    with pytest.raises(LightvadError, match=r"yard\.mp4: cannot be opened .*give another"):
        run(repository, tmp_path / "engines.json", "openvino/32-true", video=tmp_path / "yard.mp4")


def test_a_container_that_datasets_do_not_have_is_one_line(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "yard.wmv").write_bytes(b"")
    with pytest.raises(LightvadError, match=r"yard\.wmv: not one of \.mp4, .*; convert it"):
        run(repository, tmp_path / "engines.json", "openvino/32-true", video=tmp_path / "yard.wmv")
