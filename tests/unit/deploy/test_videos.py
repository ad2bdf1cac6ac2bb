"""Videos through `lightvad score`: what is written, and what is refused."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from lightvad.artifacts.tables import UNKNOWN, VIDEO_SCORES, read_table
from lightvad.deploy.alarms import LARGEST_MAP, kept_map
from lightvad.deploy.detectors import Detector, read_detector
from lightvad.deploy.videos import score_video
from lightvad.errors import LightvadError
from lightvad.methods.fast_aed.deployment import Deployed
from lightvad.project import Project
from lightvad.stages import videos as stage
from lightvad.stages.machine import Machine
from lightvad.video.decoding import frames_in_order
from lightvad.video.windows import resized, window_indices

from .conftest import FRAME_SIZE, frames


@pytest.fixture(scope="module")
def detector(export: Path) -> Detector:
    return read_detector(export, engine=None, device="cpu", threads=1)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_stream_is_scored_as_its_windows_are(detector: Detector, network: Deployed, batch: int) -> None:
    clip = [resized(frame, FRAME_SIZE) for frame in frames(11)]
    windows = [
        np.concatenate([clip[k] for k in window_indices(t, (-3, 0, 3), 11, "current")], axis=-1) for t in range(11)
    ]
    with torch.inference_mode():
        expected = network(torch.from_numpy(np.stack(windows)))[0].numpy()
    np.testing.assert_allclose(detector.scores(clip, fps=25, batch=batch), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "codec"), [("gate.mp4", "libx264"), ("gate.avi", "mpeg4"), ("gate.mkv", "mpeg2video")]
)
def test_what_is_written_of_a_video(
    detector: Detector, write_video: Callable[..., Path], tmp_path: Path, name: str, codec: str
) -> None:
    video, out = write_video(name, frames(30), codec=codec), tmp_path / "out"
    raw = detector.scores(list(frames_in_order(video)), fps=25)
    threshold = float(np.median(detector.smoothed(raw, 25)))
    found = score_video(detector, video, out, threshold=threshold, batch=2, film=True)
    assert sorted(path.name for path in out.iterdir()) == [
        f"gate.{kind}" for kind in ("annotated.mp4", "events.jsonl", "scores.csv", "scores.parquet", "timeline.png")
    ]
    table = read_table(out / "gate.scores.parquet", VIDEO_SCORES)
    assert table["frame"].tolist() == list(range(30))
    np.testing.assert_allclose(table["seconds"], np.arange(30) / 25)
    np.testing.assert_allclose(table["score"], raw, rtol=1e-4, atol=1e-6)
    assert table["abnormal"].tolist() == (table["smoothed"] >= threshold).astype(int).tolist()
    lines = [json.loads(line) for line in (out / "gate.events.jsonl").read_text().splitlines()]
    assert len(lines) == len(found) > 0
    assert table.loc[lines[0]["peak_frame"], "smoothed"] == pytest.approx(lines[0]["peak_score"])
    x1, y1, x2, y2 = lines[0]["box"]
    assert 0 <= x1 < x2 <= 70
    assert 0 <= y1 < y2 <= 50
    with av.open(str(out / "gate.annotated.mp4")) as film:
        assert len(list(film.decode(video=0))) == 30


def test_seconds_are_the_times_at_which_frames_are_shown(detector: Detector, tmp_path: Path) -> None:
    video, out = tmp_path / "uneven.mp4", tmp_path / "out"
    shown = np.cumsum([0.0] + [0.04] * 15 + [0.2] * 14)  # a camera that sends less at night
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 50, 70, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for seconds, image in zip(shown, frames(30), strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(1000 * seconds), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    score_video(detector, video, out, threshold=-9.0, batch=4, film=True)
    table = read_table(out / "uneven.scores.parquet", VIDEO_SCORES)
    np.testing.assert_allclose(table["seconds"], shown, atol=0.002)
    (event,) = [json.loads(line) for line in (out / "uneven.events.jsonl").read_text().splitlines()]
    assert event["end_seconds"] == pytest.approx(shown[-1] + shown[-1] / 29, abs=0.02)
    with av.open(str(out / "uneven.annotated.mp4")) as film:
        times = [frame.time for frame in film.decode(video=0)]
    np.testing.assert_allclose(np.array(times) - times[0], shown, atol=0.002)


def test_without_a_threshold_there_are_no_alarms(
    detector: Detector, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "gate.events.jsonl").write_text("of an earlier call\n")
    assert score_video(detector, write_video("gate.mp4", frames(9)), out, threshold=None, batch=1, film=False) == []
    assert set(read_table(out / "gate.scores.parquet", VIDEO_SCORES)["abnormal"]) == {UNKNOWN}
    assert not (out / "gate.events.jsonl").exists()
    assert not (out / "gate.annotated.mp4").exists()


def test_a_video_with_one_frame(detector: Detector, write_video: Callable[..., Path], tmp_path: Path) -> None:
    score_video(detector, write_video("one.mp4", frames(1)), tmp_path / "out", threshold=0.1, batch=8, film=True)
    assert len(read_table(tmp_path / "out/one.scores.parquet", VIDEO_SCORES)) == 1


def test_a_fine_map_is_kept_as_maxima() -> None:
    anomaly_map = np.zeros((100, 150), np.float32)
    anomaly_map[40, 149] = 3
    kept = kept_map(anomaly_map)
    assert max(kept.shape) <= LARGEST_MAP
    assert kept.max() == 3
    assert np.argwhere(kept == 3).tolist() == [[40 // 3, 149 // 3]]


def run(videos: list[Path], out: Path, model: str, **options: object) -> None:
    given = {"engine": None, "threshold": None, "batch": 1, "film": False} | options
    stage.run(Project(out.parent), videos, Machine("cpu", 1), model=model, out=out, **given)  # type: ignore[arg-type]


def test_another_frame_rate_is_said_and_windows_reach_as_far(
    export: Path, write_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run([write_video("fast.mp4", frames(20), rate=50)], tmp_path / "out", str(export))
    told = capsys.readouterr().err
    assert "50 frames a second, the model was trained on 25: windows are made of the frames at -6, 0, 6" in told


def test_a_model_is_found_by_its_name(export: Path, write_video: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "models/gate"
    folder.mkdir(parents=True)
    (folder / "any.lightvad").write_bytes(export.read_bytes())
    run([write_video("a.mp4", frames(5))], tmp_path / "out", "gate")
    assert (tmp_path / "out/a.scores.csv").is_file()
    with pytest.raises(LightvadError, match=r"--model gait: there is none; .* names here: gate"):
        run([tmp_path / "a.mp4"], tmp_path / "out", "gait")
    (folder / "other.lightvad").write_bytes(export.read_bytes())
    with pytest.raises(LightvadError, match="models/gate holds 2: name one of its files"):
        run([tmp_path / "a.mp4"], tmp_path / "out", "gate")


def test_a_video_that_is_cut_off_is_scored_as_far_as_it_goes_and_said(
    export: Path, write_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 50, 70, 3), np.uint8)
    content = write_video("whole.mkv", noise, rate=10).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    run([tmp_path / "cut.mkv"], tmp_path / "out", str(export))
    count = len(read_table(tmp_path / "out/cut.scores.parquet", VIDEO_SCORES))
    assert 10 < count < 50
    assert f"cut.mkv: ends after {count / 10:.1f} s, but its header promises 6.0 s" in capsys.readouterr().err


def test_bad_videos_are_one_line_and_leave_nothing(
    export: Path, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    whole, other = write_video("whole.mkv", frames(60)), tmp_path / "text.mp4"
    other.write_text("no video")
    for video, message in [
        (tmp_path / "none.mp4", "none.mp4: cannot be opened"),
        (other, "text.mp4: cannot be opened"),
        (tmp_path / "a/whole.mkv", "two videos of this name"),
    ]:
        with pytest.raises(LightvadError, match=message):
            run([whole, video], tmp_path / "out", str(export))
        assert not (tmp_path / "out").exists()
