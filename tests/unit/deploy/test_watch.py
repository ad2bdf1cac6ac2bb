"""Live streams: the same alarms as of files, and what goes wrong with one leaves the others alone."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from lightvad.deploy.detectors import Detector, read_detector
from lightvad.deploy.live import LiveSmoothing
from lightvad.deploy.sources import Source
from lightvad.deploy.videos import score_video
from lightvad.deploy.watch import Stream
from lightvad.errors import LightvadError
from lightvad.project import Project
from lightvad.stages import watch as stage
from lightvad.stages.machine import Machine
from lightvad.video.decoding import frames_in_order

from .conftest import frames


@pytest.fixture(scope="module")
def detector(export: Path) -> Detector:
    return read_detector(export, engine=None, device="cpu", threads=1)


def run(export: Path, sources: list[Path | str], **options: object) -> list[Stream]:
    given = {
        "engine": None, "threshold": None, "calibrate": 0, "per_hour": 1, "fps": None, "latency": 1.0,
        "seconds": 60.0, "paced": False, "events": None,
    }  # fmt: skip
    return stage.run(
        Project(export.parent), [str(one) for one in sources], Machine("cpu", 1), model=str(export),
        **(given | options),  # type: ignore[arg-type]
    )  # fmt: skip


def told(path: Path, source: Path, kind: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [one for one in lines if one["source"] == str(source) and one["alarm"] == kind]


def test_two_streams_have_the_alarms_of_their_files(
    detector: Detector, export: Path, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 70, 3), np.uint8)
    one, two = write_video("one.mp4", [*frames(60), *noise[:20]]), write_video("two.mp4", [*noise, *frames(30)])
    raw = [detector.smoothed(detector.scores(list(frames_in_order(video)), fps=25), 25) for video in (one, two)]
    threshold = float(np.quantile(np.concatenate(raw), 0.6))
    streams = run(export, [one, two], threshold=threshold, events=tmp_path / "events.jsonl")
    assert [(stream.scored, stream.source.counts.dropped) for stream in streams] == [(80, 0), (70, 0)]
    for video in (one, two):
        score_video(detector, video, tmp_path / "out", threshold=threshold, batch=1, film=False)
        lines = (tmp_path / f"out/{video.stem}.events.jsonl").read_text().splitlines()
        expected = [json.loads(line) for line in lines]
        found = told(tmp_path / "events.jsonl", video, "end")
        assert len(expected) > 0
        for key in ("first_frame", "last_frame", "peak_frame", "box"):
            assert [one[key] for one in found] == [one[key] for one in expected], key
        begun = told(tmp_path / "events.jsonl", video, "begin")
        assert [one["first_frame"] for one in begun] == [one["first_frame"] for one in expected]


def test_a_threshold_is_chosen_on_the_first_seconds(
    export: Path, write_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (stream,) = run(export, [write_video("a.mp4", frames(100))], calibrate=2, events=tmp_path / "events.jsonl")
    assert stream.threshold is not None
    assert stream.threshold >= max(stream.calibration)
    assert 50 <= len(stream.calibration) < 100
    assert "2 s cannot tell 1 an hour" in capsys.readouterr().err


def test_what_waits_too_long_is_dropped_and_counted(detector: Detector, write_video: Callable[..., Path]) -> None:
    source = Source(str(write_video("a.mp4", frames(50))), 25, lambda: detector.windows(25), latency=0.2)
    source.start()
    while not source.ended:
        time.sleep(0.01)
    kept = []
    while (waiting := source.take()) is not None:
        kept.append(waiting)
    *windows, end = kept
    assert end.window is None
    assert source.counts.frames == 50
    assert len(windows) + source.counts.dropped == 50
    assert len(windows) + sum(one.dropped for one in windows) == 50
    assert 1 <= len(windows) <= 5
    assert source.finished


def test_dropped_frames_keep_their_place_in_time(detector: Detector) -> None:
    stream = Stream(Source("a", 25, lambda: detector.windows(25), latency=1), LiveSmoothing(0.1), threshold=0.5)
    found = stream.push(0.0, np.zeros((2, 2)), 0, dropped=0) + stream.push(1.0, np.zeros((2, 2)), 0, dropped=7)
    found += stream.rest()
    assert [(one.kind, one.event.first, one.event.last) for one in found] == [("begin", 8, 8), ("end", 8, 8)]


def test_what_is_too_old_when_it_is_taken_is_dropped_and_counted(
    detector: Detector, write_video: Callable[..., Path]
) -> None:
    source = Source(str(write_video("a.mp4", frames(12), rate=50)), 50, lambda: detector.windows(50), latency=0.5)
    source.start()
    while not source.ended:
        time.sleep(0.01)
    time.sleep(0.6)
    end = source.take()
    assert end is not None
    assert end.window is None
    assert source.counts.dropped == 12


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_is_a_number(export: Path, threshold: float) -> None:
    with pytest.raises(LightvadError, match=r"--threshold .*: write a number"):
        run(export, ["a.mp4"], threshold=threshold)


def test_a_stream_too_short_to_calibrate_on_is_said(
    export: Path, write_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(export, [write_video("a.mp4", frames(30))], calibrate=5, events=tmp_path / "events.jsonl")
    assert "ended after 1.2 s, before the 5 s of --calibrate: nothing of it was watched" in capsys.readouterr().err


def test_what_breaks_our_own_code_is_raised(
    detector: Detector, export: Path, write_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_video("a.mp4", frames(30))

    def broken(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("lightvad.deploy.streams.resized", broken)
    with pytest.raises(MemoryError):
        run(export, [video], threshold=9.0)


def test_an_alarm_ends_with_what_was_read_without_a_break(detector: Detector) -> None:
    stream = Stream(Source("a", 25, lambda: detector.windows(25), latency=1), LiveSmoothing(1), threshold=0.5)
    found = [event for _ in range(10) for event in stream.push(1.0, np.zeros((2, 2)), 0, dropped=0)] + stream.rest()
    assert [(one.kind, one.event.first, one.event.last) for one in found] == [("begin", 0, 0), ("end", 0, 9)]
    found = [event for _ in range(10) for event in stream.push(0.0, np.zeros((2, 2)), 0, dropped=0)]
    found += stream.push(1.0, np.zeros((2, 2)), 0, dropped=0) + stream.rest()
    assert [(one.kind, one.event.first) for one in found] == [("begin", 20), ("end", 20)]
    assert stream.frames == 21


def test_an_alarm_of_a_camera_has_the_time_of_day(detector: Detector) -> None:
    stream = Stream(
        Source("rtsp://gate", 25, lambda: detector.windows(25), latency=1), LiveSmoothing(0.1), threshold=0.5
    )
    first, step = time.monotonic() - 100, 1 / 20  # it says 25 frames a second and sends 20
    scores = [0.0] * 10 + [1.0] * 30 + [0.0] * 50
    begin, end = (
        alarm.times
        for t, score in enumerate(scores)
        for alarm in stream.push(score, np.zeros((2, 2)), first + t * step, dropped=0)
    )
    expected = datetime.now(UTC) - timedelta(seconds=100) + timedelta(seconds=10 * step)
    assert abs((datetime.fromisoformat(begin["start_time"]) - expected).total_seconds()) < 0.5
    assert end["start_time"] == begin["start_time"]
    lasted = datetime.fromisoformat(end["end_time"]) - datetime.fromisoformat(end["start_time"])
    assert lasted.total_seconds() == pytest.approx(30 * step, abs=0.01)


def test_alarms_that_end_and_begin_at_once_keep_their_own_times(detector: Detector) -> None:
    stream = Stream(
        Source("rtsp://gate", 25, lambda: detector.windows(25), latency=1), LiveSmoothing(0.1), threshold=0.5
    )
    found = stream.push(1.0, np.zeros((2, 2)), 100.0, dropped=0)
    found += stream.push(0.0, np.zeros((2, 2)), 100.04, dropped=0)
    found += stream.push(1.0, np.zeros((2, 2)), 110.0, dropped=200) + stream.rest()
    assert [one.kind for one in found] == ["begin", "end", "begin", "end"]
    times = [(one.times["start_time"], one.event.first) for one in found]
    assert times[0] == times[1]
    assert times[2] == times[3]
    apart = datetime.fromisoformat(times[2][0]) - datetime.fromisoformat(times[0][0])
    assert apart.total_seconds() == pytest.approx(10, abs=0.05)


def test_an_alarm_at_a_break_ends_when_its_frames_came_and_not_when_the_source_was_given_up(
    detector: Detector, write_video: Callable[..., Path]
) -> None:
    source = Source(str(write_video("a.mp4", frames(10))), 25, lambda: detector.windows(25), latency=9, paced=True)
    source.start()
    while not source.ended:
        time.sleep(0.01)
    taken = [source.take() for _ in range(11)]
    shown = [one.shown for one in taken if one is not None and one.window is not None]
    np.testing.assert_allclose(np.diff(shown), 0.04, atol=1e-6)


def test_a_service_is_ended_by_sigterm(export: Path, write_video: Callable[..., Path], tmp_path: Path) -> None:
    video, events = write_video("a.mp4", frames(2000)), tmp_path / "events.jsonl"
    command = [
        sys.executable, "-m", "lightvad", "watch", str(video), "--model", str(export), "--threshold", "-9",
        "--events", str(events), "--threads", "1",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        while not told(events, video, "begin"):
            time.sleep(0.05)
            assert service.poll() is None
        service.terminate()
        _, err = service.communicate(timeout=60)
    assert service.returncode == 0
    assert len(told(events, video, "end")) == 1
    assert "dropped, lost 0 times" in err


def test_a_stream_that_breaks_ends_alone(
    export: Path, write_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, broken = write_video("whole.mp4", frames(60)), tmp_path / "broken.mkv"
    content = write_video("b.mkv", np.random.default_rng(0).integers(0, 256, (60, 50, 70, 3), np.uint8)).read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    one, two = run(export, [whole, broken], threshold=9.0, events=tmp_path / "events.jsonl")
    assert one.scored == 60
    assert 10 < two.scored < 60
    assert "whole.mp4: 60 frames, 60 scored, 0 dropped" in capsys.readouterr().err


def test_an_address_that_does_not_answer_is_tried_again_while_others_go_on(
    export: Path, write_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"threshold": 9.0, "events": tmp_path / "events.jsonl", "seconds": 6.0}
    one, two = run(export, [write_video("a.mp4", frames(60)), "tcp://127.0.0.1:9"], **options)
    assert one.scored == 60
    assert two.scored == 0
    assert two.source.counts.lost >= 2
    err = capsys.readouterr().err
    assert "tcp://127.0.0.1:9: is lost" in err
    assert "opened again in 1 s" in err
    assert "opened again in 2 s" in err


def test_a_stream_that_comes_back_goes_on(
    export: Path, write_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = write_video("a.ts", frames(40), codec="mpeg2video").read_bytes()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                connection.sendall(content)
        server.close()

    threading.Thread(target=serve, daemon=True).start()
    address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    (stream,) = run(export, [address], threshold=9.0, fps=25, seconds=6.0, events=tmp_path / "events.jsonl")
    assert stream.source.counts.frames > 45
    assert stream.source.counts.lost >= 1
    assert f"{address}: has ended at frame" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sources", "message"),
    [(["a.mp4", "a.mp4"], "a source is named twice"), (["none.mp4"], "none.mp4: cannot be opened")],
)
def test_what_cannot_be_watched_is_one_line(export: Path, sources: list[str], message: str) -> None:
    with pytest.raises(LightvadError, match=message):
        run(export, sources)
