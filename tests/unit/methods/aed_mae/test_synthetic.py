"""Sources of anomalies: what lies in the window, the map and the target, and trainings with each of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.datasets.published import annotated_ubnormal
from tests.unit.drawn_clips import HEIGHT, WIDTH

from lightvad.artifacts.tables import BOXES
from lightvad.methods.aed_mae.synthetic import Anomalies, anomalies_of
from lightvad.methods.aed_mae.training import pretrain, train
from lightvad.methods.protocol import Job
from lightvad.video.clips import ClipStore
from lightvad.video.readers import WindowReader, places_of

OFFSETS = (-3, -1, 0, 3)
NO_BOXES = pd.DataFrame(columns=list(BOXES))
Make = Callable[..., Job]


@pytest.fixture(scope="module")
def ubnormal(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return annotated_ubnormal(tmp_path_factory.mktemp("ubnormal"))


@pytest.fixture
def source(make_job: Make, ubnormal: ClipStore) -> Callable[..., tuple[Job, Anomalies]]:
    def make(name: str, **synthetic: Any) -> tuple[Job, Anomalies]:
        limits = {"smallest": 50, "largest": 0.1}
        own = {"source": name, "share": 0.5, "ubnormal": limits, "blobs": {"height": [0.3, 0.5]}}
        settings = {"synthetic": {**own, **synthetic}}
        others = {"other_clips": {"ubnormal": ubnormal}} if name == "ubnormal" else {}
        boxes = {} if name == "clips" or synthetic.get("normal_share") else {"boxes": NO_BOXES}
        job = make_job(name, settings, **others, **boxes)
        reader = WindowReader(job.clips, offsets=OFFSETS, frame_size=(HEIGHT, WIDTH))
        found = anomalies_of(job, reader, heldout=False)
        assert found is not None
        return job, found

    return make


@pytest.mark.parametrize("name", ["ubnormal", "blobs"])
def test_the_clean_window_is_as_it_was_and_the_map_is_where_pixels_changed(source: Any, name: str) -> None:
    job, anomalies = source(name)
    reader = WindowReader(job.clips, offsets=OFFSETS, frame_size=(HEIGHT, WIDTH))
    abnormal = 0
    for number, place in enumerate(places_of(job.clips.clips("train"))):
        original = reader.read(place)
        window = original.copy()
        clean, covered = anomalies.paste(window, place[0], np.random.default_rng(number))
        np.testing.assert_array_equal(clean, original)
        changed = (window != original)[..., 6:9].any(2)
        abnormal += covered.any()
        assert covered.any() == changed.any()
        if name == "ubnormal":
            assert not (changed & ~covered).any()
        assert (changed & covered).sum() >= 0.85 * covered.sum()
        assert covered.sum() >= 0.6 * changed.sum(), "blobs fade over a pixel"
    assert 5 < abnormal < 22


@pytest.mark.parametrize("name", ["clips", "ubnormal", "blobs"])
def test_every_source_trains(source: Any, name: str) -> None:
    job, _ = source(name)
    pretrain(job)
    train(job)
    told = pd.read_csv(job.folder / "pretraining.csv")
    assert np.isfinite(told["class"]).all()
    assert (job.folder / "model.safetensors").is_file()


def test_unchanged_objects_go_with_every_source(source: Any) -> None:
    job, anomalies = source("blobs", share=1e-9, normal_share=1.0)
    reader = WindowReader(job.clips, offsets=OFFSETS, frame_size=(HEIGHT, WIDTH))
    window = reader.read(("train_01", 4)).copy()
    clean, covered = anomalies.paste(window, "train_01", np.random.default_rng(0))
    assert clean is window
    assert not covered.any()
    assert (window != reader.read(("train_01", 4))).any()


def test_held_out_windows_have_objects_of_their_own(source: Any, ubnormal: ClipStore) -> None:
    job, own = source("ubnormal")
    reader = WindowReader(job.clips, offsets=OFFSETS, frame_size=(HEIGHT, WIDTH))
    other = anomalies_of(job, reader, heldout=True)
    seen = [set(one.source.paster.clips) for one in (own, other)]
    assert seen[0] | seen[1] == {clip.name for clip in ubnormal.clips("abnormal")}
    assert not seen[0] & seen[1]
    assert len(seen[1]) == 1
