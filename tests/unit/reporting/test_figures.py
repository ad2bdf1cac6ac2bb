"""Figures: drawn from what the runs hold, readable, and the same bytes every time."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lightvad.artifacts.arrays import Maps
from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.documents import read_csv, read_json, write_json
from lightvad.artifacts.pictures import ShownFrame
from lightvad.config import Figure
from lightvad.errors import LightvadError
from lightvad.layout import Run, clips_folder, figures_folder
from lightvad.project import Project
from lightvad.reporting import speed_accuracy, sweep
from lightvad.reporting.drawn_frames import frames_chosen
from lightvad.reporting.label_placement import Label, place_labels
from lightvad.reporting.score_curves import draw
from lightvad.reporting.selection import Shown
from lightvad.reporting.shown_frames import FrameStrip, clips_shown, frame_strip, outlined
from lightvad.reporting.style import styled
from lightvad.reporting.sweep import SweepPoint
from lightvad.resolution import settings_of, weights_of
from lightvad.smoothing import smooth_plain
from lightvad.stages import figure as stage
from lightvad.video.clips import ClipStore, prepared_files

from .conftest import BUDGET, CLIPS, FPS


def drawn(project: Project, number: str, datasets: tuple[str, ...], seeds: tuple[int, ...] = (0,)) -> Path:
    stage.run(
        project, paper="fast_aed", number=number, datasets=datasets, budget=BUDGET, seeds=seeds, root=project.root
    )
    return project.root / figures_folder(datasets, BUDGET, "fast_aed") / f"figure{number}.csv"


@pytest.mark.parametrize("number", ["2", "4", "8", "9", "10"])
def test_every_figure_is_drawn_and_its_bytes_repeat(made_up: Project, number: str) -> None:
    path = drawn(made_up, number, ("plaza",))
    files = [path, path.with_suffix(".png"), path.with_suffix(".pdf")]
    first = [file.read_bytes() for file in files]
    image = cv2.imread(str(files[1]))
    assert min(image.shape[:2]) > 500
    assert image.std() > 10
    drawn(made_up, number, ("plaza",))
    assert [file.read_bytes() for file in files] == first


@pytest.mark.parametrize("number", ["2", "4", "8", "10"])
def test_pictures_name_their_budget(made_up: Project, number: str) -> None:
    path = drawn(made_up, number, ("plaza",))
    numbers, picture = path.read_bytes(), path.with_suffix(".png").read_bytes()
    record = path.parent / "records" / f"figure{number}.json"
    digest = read_json(record)["config_digest"]
    drawn(Project(made_up.root, (*made_up.overrides, f"budgets.{BUDGET}.title=another")), number, ("plaza",))
    assert path.read_bytes() == numbers
    assert path.with_suffix(".png").read_bytes() != picture
    assert read_json(record)["config_digest"] != digest


def test_speed_points_are_those_of_the_runs_and_of_the_papers(made_up: Project) -> None:
    lines = read_csv(drawn(made_up, "2", ("plaza", "ped2")))
    measured = [line for line in lines if line["source"] == "measured"]
    assert len(measured) == 2 * 4 * 2
    student = {line["scope"]: float(line["fps"]) for line in measured if line["label"] == "Fast-AED (student)"}
    assert student == FPS["fast_aed"]
    assert {(line["device"], line["batch"]) for line in measured} == {("Synthetic CPU (2 cores)", "1")}
    precisions = {(line["label"].startswith("Fast-AED"), line["precision"]) for line in measured}
    assert precisions == {(True, "bf16-mixed"), (False, "32-true")}, "as scored: no fp32 reference is drawn"
    one = next(line for line in measured if line["label"] == "SSMTL (T2)" and line["dataset"] == "plaza")
    assert float(one["micro_auc"]) == pytest.approx(91.7)
    assert [float(one[key]) for key in ("ci95_low", "plain", "ci95_high")] == pytest.approx([87, 91, 94])
    reported = [line for line in lines if line["source"] == "reported"]
    assert {line["dataset"] for line in reported} == {"ped2"}
    assert {line["device"] for line in reported} == {"RTX 3090"}


def test_a_variant_with_the_same_network_has_the_time_of_the_one_that_was_timed(made_up: Project) -> None:
    lines = [line for line in read_csv(drawn(made_up, "2", ("plaza",))) if line["label"] == "Fast-AED + pasted"]
    assert {line["scope"]: float(line["fps"]) for line in lines} == FPS["fast_aed"]


def test_method_that_was_not_timed_is_named(own_project: Project) -> None:
    path = own_project.root / Run("plaza", BUDGET, "fast_aed", "default", 0).folder / "speed.json"
    path.write_text(path.read_text().replace('"ssmtl"', '"another"'))
    with pytest.raises(LightvadError, match=r"speed.json: no row of ssmtl/default, model, batch 1; run `lightv"):
        drawn(own_project, "2", ("plaza",))


def test_curves_are_the_plain_smoothing_of_the_scores(made_up: Project) -> None:
    table = pd.read_csv(drawn(made_up, "4", ("ped2",)))
    assert set(table["clip"]) == {"Test002"}
    own = table[table["method"] == "SSMTL (T2)"]
    run = Run("ped2", BUDGET, "ssmtl", "default", 0)
    scores = pd.read_parquet(made_up.root / run.folder / "frame_scores.parquet")
    raw = scores[scores["clip"] == "Test002"]["score"].to_numpy()
    np.testing.assert_allclose(own["score"], raw, rtol=1e-9)
    np.testing.assert_allclose(own["smoothed"], smooth_plain(raw, sigma=5.0), rtol=1e-9)
    assert own["drawn"].min() == 0
    assert own["drawn"].max() == 1
    assert roc_auc_score(own["label"], own["drawn"]) == roc_auc_score(own["label"], own["smoothed"])


def test_map_values_are_those_of_the_runs_on_abnormal_frames(made_up: Project) -> None:
    table = pd.read_csv(drawn(made_up, "10", ("plaza",)))
    assert len(table) == 4 * 5 * 16 * 16
    assert list(dict.fromkeys(table["clip"])) == CLIPS["plaza"]
    assert table["frame"].between(20, 39).all()
    frame = table["frame"].iloc[0]
    own = table[(table["method"] == "Background-Agnostic (T1)") & (table["clip"] == "test_03")]
    run = Run("plaza", BUDGET, "background_agnostic", "default", 0)
    with Maps(made_up.root / run.folder / "maps.npz") as maps:
        np.testing.assert_allclose(own["value"].to_numpy().reshape(16, 16), maps.read("test_03", 16)[frame], rtol=1e-6)


def test_datasets_without_configured_clips_show_test_clips_by_position(made_up: Project) -> None:
    experiment = made_up.experiment("fast_aed")
    shown = Shown(made_up, experiment, ("plaza",), BUDGET, (0,), made_up.root)
    store = ClipStore(made_up.root / clips_folder("plaza"))
    bare = {n: figure.model_copy(update={"clips": {}}) for n, figure in experiment.figures.items()}
    chosen = [clips_shown(shown, bare[number], number, "plaza", store) for number in ("4", "5", "6")]
    assert chosen == [["test_01"], ["test_02"], ["test_03"]]
    assert clips_shown(shown, bare["10"], "10", "plaza", store) == CLIPS["plaza"]


def test_clip_that_is_not_there_is_one_line(made_up: Project) -> None:
    experiment = made_up.experiment("fast_aed")
    shown = Shown(made_up, experiment, ("plaza",), BUDGET, (0,), made_up.root)
    figure = experiment.figures["4"].model_copy(update={"clips": {"plaza": ("test_99",)}})
    with pytest.raises(LightvadError, match="no clip 'test_99'"):
        clips_shown(shown, figure, "4", "plaza", ClipStore(made_up.root / clips_folder("plaza")))


def test_outline_surrounds_the_mask_and_leaves_the_rest() -> None:
    image, mask = np.full((120, 160, 3), 90, np.uint8), np.zeros((120, 160), bool)
    mask[40:60, 50:80] = True
    shown = outlined(image, mask)
    assert shown.shape == (240, 320, 3)
    changed = (shown != 90).any(2)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), columns.min()) == pytest.approx((80, 100), abs=2)
    assert (rows.max(), columns.max()) == pytest.approx((119, 159), abs=2)
    assert not changed[90:110, 110:150].any()


def test_labels_cover_neither_points_nor_each_other() -> None:
    from matplotlib.figure import Figure as Canvas
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    rng = np.random.default_rng(1)
    with styled():
        axes = Canvas(figsize=(4.8, 3.6)).subplots()
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        places = [Label(float(x), float(y), f"Name {k}", "black") for k, (x, y) in enumerate(rng.random((12, 2)))]
        boxes = place_labels(axes, places, [])
        axes.figure.draw_without_rendering()
        drawn_at = [Text.get_window_extent(child) for child in axes.texts]
    # The boxes that were planned are those that are drawn.
    np.testing.assert_allclose([box.extents for box in boxes], [box.extents for box in drawn_at], atol=1.5)
    assert not any(Bbox.intersection(a, b) for i, a in enumerate(boxes) for b in boxes[:i])
    points = axes.transData.transform([(label.x, label.y) for label in places])
    assert not any(box.contains(*point) for box in boxes for point in points)


def test_a_lost_mask_is_an_error_and_no_frame_without_ground_truth(own_project: Project) -> None:
    store = ClipStore(own_project.root / clips_folder("plaza"))
    assert frame_strip(store, "test_01", [0]).frames == [0]
    prepared = prepared_files(store.root)
    write_json(store.root / "checksums.json", {file.as_posix(): sha256_of(store.root / file) for file in prepared})
    (store.root / "masks" / "test_01.npz").unlink()
    with pytest.raises(LightvadError, match=r"masks/test_01\.npz: missing or unreadable"):
        frame_strip(ClipStore(store.root), "test_01", [0])


def test_a_sweep_has_a_point_for_every_row_under_both_protocols(made_up: Project) -> None:
    lines = read_csv(drawn(made_up, "8", ("plaza", "ped2")))
    values = [f"{k / 20:g}" for k in range(11)]
    for dataset in ("plaza", "ped2"):
        for protocol in ("fast_aed", "plain"):
            own = [line for line in lines if (line["dataset"], line["protocol"]) == (dataset, protocol)]
            assert [line["value"] for line in own] == values
            for line in own:
                run = Run(dataset, BUDGET, *line["rebuilt_as"].split("/"), 0)
                metrics = read_json(made_up.root / run.folder / "metrics.json")
                assert float(line["micro_auc"]) == pytest.approx(100 * metrics["protocols"][protocol]["micro_auc"])


@pytest.mark.parametrize("number", ["2", "4", "8", "10"])
def test_without_labels_figures_are_drawn_and_no_auc_is_shown(unlabelled: Project, number: str) -> None:
    path = drawn(unlabelled, number, ("plaza",))
    assert min(cv2.imread(str(path.with_suffix(".png"))).shape[:2]) > 400
    if number in ("2", "8"):
        assert read_csv(path) == []


def test_a_speed_plot_without_points_has_no_legend_of_them() -> None:
    canvas = speed_accuracy.draw([], {"own": "Own"}, {"own": ""})
    assert not canvas.legends
    texts = [text.get_text() for text in [*canvas.texts, *canvas.axes[0].texts]]
    assert any("no AUC" in text for text in texts)
    assert not any("measured on" in text for text in texts)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 0, 1, 1], ["A, AUC 100.0", "B, AUC 0.0", "abnormal (ground truth)"]),
        ([0, 0, 0, 0], ["A, no AUC", "B, no AUC", "abnormal (ground truth)"]),
        ([-1, -1, -1, -1], ["A", "B"]),
    ],
)
def test_a_legend_of_curves_names_the_truth_where_it_is_known(labels: list[int], expected: list[str]) -> None:
    scores = {"A": [0.0, 0.1, 0.9, 1.0], "B": [1.0, 0.9, 0.1, 0.0]}
    curves = pd.concat(
        pd.DataFrame(
            {"dataset": "own", "method": name, "frame": range(4), "label": labels, "smoothed": own, "drawn": own}
        )
        for name, own in scores.items()
    )
    strip = FrameStrip("one", [1], [np.zeros((6, 9, 3), np.uint8)], [False])
    canvas = draw(curves, {"own": strip}, {"own": "Own"}, {"own": ""})
    (legend,) = [axes.get_legend() for axes in canvas.axes if axes.get_legend() is not None]
    assert [text.get_text() for text in legend.get_texts()] == expected
    (axes,) = [axes for axes in canvas.axes if axes.get_legend() is not None]
    assert all(tick == round(tick) for tick in axes.get_xticks()), "there is no frame 2.5"


def lines_of_a_sweep(project: Project) -> list[SweepPoint]:
    figure = project.experiment("aed_mae").figures["12"]
    return [
        SweepPoint("plaza", f"{row.method}/{row.variant}", row.line, float(row.label), protocol, 90.0, 90.0, 90.0, "0")
        for row in figure.rows
        for protocol in (figure.protocol, "plain")
    ]


def test_a_sweep_of_several_lines_has_each_in_its_colour_and_plain_dashed(repository: Path) -> None:
    project = Project(repository)
    points = lines_of_a_sweep(project)
    with styled():
        canvas = sweep.draw(points, project.experiment("aed_mae").figures["12"], {"plaza": "Plaza"}, {"plaza": ""})
    drawn = canvas.axes[0].lines
    assert len(drawn) == 6
    assert all(list(line.get_xdata()) == [k / 10 for k in range(11)] for line in drawn)
    assert [line.get_linestyle() for line in drawn] == ["-", "--"] * 3
    assert len({line.get_color() for line in drawn}) == 3
    legend = canvas.axes[0].get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["alpha", "alpha, plain", "beta", "beta, plain", "gamma", "gamma, plain"]
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= canvas.bbox.x1, "the legend is on the page"


def test_the_runs_of_a_sweep_differ_in_what_their_labels_say(repository: Path) -> None:
    """31 scorings of one model: the point that the three lines share is one run."""
    project = Project(repository)
    weight = {"alpha": "teacher_error", "beta": "discrepancy", "gamma": "class_probability"}
    figure = project.experiment("aed_mae").figures["12"]
    runs = set()
    for row in figure.rows:
        run = Run("plaza", "smoke", row.method, row.variant, 0)
        scoring = settings_of(project, run).for_stage("score")["scoring"]
        assert {key: scoring[key] for key in weight.values()} == {
            key: float(row.label) if key == weight[row.line] else 0.5 for key in weight.values()
        }
        assert weights_of(project, run) == Run("plaza", "smoke", "aed_mae", "default", 0)
        runs.add(run)
    assert len(figure.rows) == 33
    assert len(runs) == 31


@pytest.mark.parametrize("change", [{"kind": "score_curves"}, {"rows": [{"line": ""}]}])
def test_lines_are_of_sweeps_alone_and_of_all_rows(repository: Path, change: dict[str, Any]) -> None:
    content = Project(repository).experiment("aed_mae").figures["12"].model_dump()
    for row, other in zip(content["rows"], change.pop("rows", []), strict=False):
        row |= other
    with pytest.raises(ValueError, match="every row of it has one, or none"):
        Figure.model_validate(content | change)


def kept(*places: tuple[str, int]) -> list[ShownFrame]:
    return [ShownFrame(clip, t, {}, {}) for clip, t in places]


def test_frames_as_they_are_drawn_are_four_abnormal_ones_and_a_normal_one() -> None:
    frames = kept(*((clip, t) for clip in "abcde" for t in (1, 2)))
    abnormal = {(clip, 2) for clip in "abcde"}
    chosen = [(one.clip, one.frame) for one in frames_chosen(frames, abnormal, list("abcde"))]
    assert chosen == [("a", 2), ("b", 2), ("c", 2), ("d", 2), ("e", 1)]
    two = [(one.clip, one.frame) for one in frames_chosen(frames, abnormal, ["b", "a"])]
    assert two == [("b", 2), ("a", 2), ("b", 1), ("a", 1)], "as many as there are, normal ones last"
    nowhere = [(one.clip, one.frame) for one in frames_chosen(frames, set(), list("abcde"))]
    assert nowhere == [(clip, 1) for clip in "abcde"]
    everywhere = [
        (one.clip, one.frame)
        for one in frames_chosen(
            kept(*((c, t) for c in "ab" for t in range(4))), {(c, t) for c in "ab" for t in range(4)}, list("ab")
        )
    ]
    assert everywhere == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]


@pytest.mark.parametrize(
    ("number", "change", "told"),
    [
        ("5", {"parts": []}, "`parts` names the pictures and maps"),
        ("3", {"parts": ["teacher"]}, "`parts` names the pictures and maps"),
        ("5", {"rows": [{"method": "aed_mae", "label": "one"}] * 2}, "shows one model: give one row"),
    ],
)
def test_a_figure_of_drawn_frames_has_parts_and_one_row(
    repository: Path, number: str, change: dict[str, Any], told: str
) -> None:
    content = Project(repository).experiment("aed_mae").figures[number].model_dump()
    with pytest.raises(ValueError, match=told):
        Figure.model_validate(content | change)
