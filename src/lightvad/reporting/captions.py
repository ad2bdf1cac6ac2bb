"""The sentences that stand wherever numbers do: what the data are, which protocol, how fast."""

from collections.abc import Sequence

from lightvad.artifacts.tables import INDEX, read_table
from lightvad.config import BEST_ON_TEST, Figure, Table, TableRow
from lightvad.layout import clips_folder
from lightvad.reporting.costs import cost_sentences
from lightvad.reporting.results import document
from lightvad.reporting.selection import Shown, timed_row
from lightvad.reporting.speed_factors import conditions_sentence, factor_sentences, timings

AS_PUBLISHED = "as published"
MOST_SOURCES = 3


def data_note(shown: Shown, dataset: str) -> str:
    """What must be said of a dataset wherever a number of it is printed.

    The note of its configuration (synthetic, subset), then what the clip store says of where the clips came from
    (publisher's pixels, re-encoded video): the same dataset can be prepared from several layouts.
    """
    note = shown.project.dataset(dataset).note.strip().rstrip(".")
    index = read_table(shown.root / clips_folder(dataset) / "index.parquet", INDEX)
    sources = [str(source) for source in dict.fromkeys(index["source"])]
    told = sources if len(sources) <= MOST_SOURCES else [f"clips of {len(sources)} sources"]
    return "; ".join(part for part in (note, *told) if part) or AS_PUBLISHED


def titles_of(shown: Shown) -> dict[str, str]:
    """Dataset -> its title."""
    return {name: shown.project.dataset(name).title for name in shown.datasets}


def data_sentences(shown: Shown) -> list[str]:
    """One sentence for each dataset."""
    return [f"Data {title} ({name}): {data_note(shown, name)}." for name, title in titles_of(shown).items()]


def unlabelled_sentences(shown: Shown, rows: Sequence[TableRow]) -> list[str]:
    """Says of every dataset in which no row has an AUC why there is none, and what there is."""
    sentences = []
    for name, title in titles_of(shown).items():
        runs = [run for row in rows for run in shown.runs(row, name)]
        protocols = [document(shown.root, run, "metrics.json")["protocols"].values() for run in runs]
        if runs and all(measured["micro_auc"] is None for own in protocols for measured in own):
            sentences.append(
                f"{title}: no AUC, because the test clips have no labels, or all their frames the same. The score of "
                "every frame is in frame_scores.parquet of each run; figures of score curves draw those of some clips."
            )
    return sentences


def protocol_sentences(shown: Shown, rows: Sequence[TableRow]) -> list[str]:
    """Which protocol each row's number stands under, and what `plain` is."""
    labels: dict[str, list[str]] = {}
    for row in rows:
        for name in shown.datasets:
            own = f"{row.label} on {name}" if name in row.protocols else row.label
            labels.setdefault(row.protocol_on(name), []).append(own)
    each = "; ".join(f"{protocol}: {', '.join(dict.fromkeys(names))}" for protocol, names in labels.items())
    own = each if len(labels) > 1 else next(iter(labels))
    seconds = ", ".join(
        f"{shown.project.dataset(name).smoothing.plain_seconds:g} s on {name}" for name in shown.datasets
    )
    return [
        f"Measured: under the paper's own protocol ({own}). Beside it always plain, the project's own.",
        f"Plain: centred Gaussian of {seconds}, no sentinels, single-class clips left out of the macro mean; "
        "in brackets the 95% bootstrap interval over clips.",
    ]


def absent_sentences(shown: Shown, what: str) -> list[str]:
    """Says of every dataset that the paper does not have that `what` is left out."""
    return [f"The paper has no {name}: {what} left out." for name in shown.absent()]


def seed_sentence(shown: Shown) -> str:
    """Seeds and budget in words."""
    several = len(shown.seeds) > 1
    mean = "; mean and standard deviation over seeds, the widest of their intervals" if several else ""
    seeds = f"seed{'s' if several else ''} {', '.join(map(str, shown.seeds))}"
    return f"Budget {shown.project.budget(shown.budget).title}; {seeds}{mean}."


def speed_sentences(shown: Shown, rows: Sequence[TableRow]) -> list[str]:
    """The timed method's factor over every other one, on each dataset."""
    student = timed_row(rows)
    if student is None:
        return []
    # Variants of the timed method itself share its network, and so do rows that are timed as another: they are not
    # compared for speed.
    compared = [row for row in rows if row is student or (row.method != student.method and row.timed_as is None)]
    sentences = []
    for dataset in shown.datasets:
        found = timings(shown.root, compared, dataset=dataset, budget=shown.budget, seed=shown.seeds[0])
        prefix = f"Speed on {dataset}: " if len(shown.datasets) > 1 else "Speed: "
        own = factor_sentences(found, student.label)
        sentences += [f"{prefix}{own[0]}", *own[1:]] if own else []
    return sentences


def beyond_sentences(rows: Sequence[TableRow]) -> list[str]:
    """What must be said of rows that are not the paper's, and of speeds that are another row's."""
    sentences = []
    for row in rows:
        if row.beyond_paper:
            sentences.append(f"{row.label}: beyond the paper; {row.beyond_paper}.")
        if row.timed_as:
            sentences.append(
                f"{row.label} was not timed itself: its speed is that of {row.method}/{row.timed_as}, the same network."
            )
    return sentences


def best_sentence(shown: Shown, rows: Sequence[TableRow]) -> list[str]:
    """What `best on test` is, where a run has it."""
    runs = [run for row in rows for dataset in shown.datasets for run in shown.runs(row, dataset)]
    if not any(document(shown.root, run, "metrics.json").get(BEST_ON_TEST) for run in runs):
        return []
    return [
        "Best on test: of a few epochs, the last among them, the one with the largest micro AUC on the test clips, as "
        "the papers chose their checkpoints; no result of this project, which keeps the last epoch."
    ]


def table_caption(shown: Shown, table: Table) -> list[str]:
    """The sentences below a table."""
    return [
        *data_sentences(shown),
        *unlabelled_sentences(shown, table.rows),
        seed_sentence(shown),
        *protocol_sentences(shown, table.rows),
        *(absent_sentences(shown, "the literature's rows are") if table.literature and table.of_datasets else []),
        *best_sentence(shown, table.rows),
        *([table.note.strip()] if table.note else []),
        *beyond_sentences(table.rows),
        *speed_sentences(shown, table.rows),
        *(conditions_sentence(shown, table, name) for name in shown.datasets if table.speeds),
        *(sentence for name in shown.datasets if table.costs for sentence in cost_sentences(shown, table, name)),
    ]


def figure_caption(shown: Shown, figure: Figure) -> list[str]:
    """The sentences below a figure."""
    data = [*data_sentences(shown), f"Budget {shown.project.budget(shown.budget).title}; seed {shown.seeds[0]}."]
    if figure.kind == "score_curves":
        return [
            "Frame scores smoothed by the plain protocol, each curve stretched to [0, 1] for display; "
            "shaded: abnormal by the ground truth, where it is known; AUC: of this clip under plain.",
            *data,
        ]
    if figure.kind == "anomaly_maps":
        return [
            "From top to bottom: the frame with the ground truth's outline, where it is known, then each method's "
            "anomaly map (brightest: the method's largest value in these clips).",
            *data,
        ]
    if figure.kind == "reconstructions":
        return [
            "From top to bottom: the frame with the ground truth's outline, where it is known, then what the network "
            "draws of it and the terms of its anomaly map (brightest: the term's largest value in these frames).",
            *data,
            *([figure.note.strip()] if figure.note else []),
        ]
    if figure.kind == "pasted_objects":
        return [
            "Training frames before and after abnormal objects were pasted into them, these with a contour.",
            *data,
            *([figure.note.strip()] if figure.note else []),
        ]
    if figure.kind == "sweep":
        several = any(row.line for row in figure.rows)
        marks = "and, dashed, under plain." if several else "and under plain; dotted: the first value."
        return [
            f"Micro AUC under {figure.protocol} (the paper's protocol) {marks}",
            *data_sentences(shown),
            seed_sentence(shown),
            *([figure.note.strip()] if figure.note else []),
        ]
    reported = figure.reported is not None and len(shown.absent()) < len(shown.datasets)
    hollow = f"Hollow: reported by the papers, on an {figure.reported.device}." if figure.reported else ""
    return [
        *([hollow] if reported else []),
        "Filled: measured here in one process; circles model only, squares end to end (file to score).",
        "They stand at the micro AUC of their paper's protocol; the bar is plain with its 95% bootstrap interval.",
        *absent_sentences(shown, "reported points are"),
        *data_sentences(shown),
        seed_sentence(shown),
        *([figure.note.strip()] if figure.note and reported else []),
        *beyond_sentences(figure.rows),
        *speed_sentences(shown, figure.rows),
    ]
