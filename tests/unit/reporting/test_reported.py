"""The papers' numbers: joined across the papers' numbering, and never written."""

from pathlib import Path

import pytest

from lightvad.errors import LightvadError
from lightvad.project import Project
from lightvad.reporting.reported import reported_points, reported_table


def test_fps_are_joined_over_both_papers_numbers(made_up: Project) -> None:
    points = made_up.experiment("fast_aed").figures["7"].reported
    assert points is not None
    found = {point.key: (point.fps, point.micro_auc) for point in reported_points(made_up.root, points, "Avenue")}
    # [4], [5] here are [26], [27] there; 20+5 is 69+27.
    assert found["4"] == (51, 91.5)
    assert found["5"] == (24, 92.3)
    assert found["20+5"] == (31, 92.9)
    assert found["57"] == (195, 85.3)
    # The paper's own FPS, not the 1655 of the paper whose table the others come from.
    assert found["ours"] == (1480, 88.2)


def test_points_without_a_value_are_left_out(made_up: Project) -> None:
    points = made_up.experiment("fast_aed").figures["2"].reported
    assert points is not None
    keys = {point.key for point in reported_points(made_up.root, points, "UCSD Ped2")}
    assert "20+5" not in keys
    assert "ours" in keys
    assert reported_points(made_up.root, points, None) == []


def test_table_keeps_the_papers_order_and_values(made_up: Project) -> None:
    table = reported_table(made_up.root, made_up.experiment("fast_aed").tables["1"])
    assert len(table.identities) == 41
    assert table.identities[-1] == ("Frame-level", "Ours")
    assert table.matches[0] == ("Object-centric", "Georgescu et al. [4]")
    assert table.values[(table.matches[0], "UCSD Ped2", "macro_auc")] == 99.8


def test_match_without_a_row_is_one_line(made_up: Project) -> None:
    table = made_up.experiment("fast_aed").tables["7"]
    row = table.rows[0].model_copy(update={"match": {"adversarial_distillation": "2"}})
    with pytest.raises(LightvadError, match=r"fast_aed_table7\.csv: no row with adversarial_distillation=2") as error:
        reported_table(made_up.root, table.model_copy(update={"rows": (row,)}))
    assert "\n" not in str(error.value)


def test_every_row_of_the_ablations_is_rebuilt_by_one_run(repository: Path) -> None:
    experiment = Project(repository).experiment("fast_aed")
    for number in ("2", "3", "4", "5", "6", "8"):
        table = experiment.tables[number]
        reported = reported_table(repository, table)
        assert sorted(reported.matches) == sorted(reported.identities), number
        assert len({row.variant for row in table.rows}) == len(table.rows), number


def test_tables_with_a_column_for_each_metric_are_of_one_dataset(repository: Path) -> None:
    table = Project(repository).experiment("fast_aed").tables["5"]
    values = reported_table(repository, table).values
    assert len(values) == 14
    assert values[("1", "1", "0"), "Avenue", "micro_auc"] == 85.0
    assert values[("1", "0", "0"), "Avenue", "macro_auc"] == 73.2
