"""The command line: one sub-command per stage, of the same name as its Snakemake rule and its module."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

import lightvad
from lightvad.errors import LightvadError
from lightvad.layout import Run
from lightvad.progress import say
from lightvad.project import Project

UsageError: Any = cast(type[Exception], typer.BadParameter.__base__)
"""What typer raises for a wrong command line: it has no public name."""

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Fast video anomaly detection, rebuilt from raw video to table.\n\n"
        "The stages, in the order of the data: [bold]fetch[/], [bold]prepare[/], [bold]detect[/] work on a dataset;"
        " [bold]pretrain[/], [bold]train[/], [bold]score[/], [bold]maps[/], [bold]evaluate[/], [bold]benchmark[/]"
        " on a run (results/runs/DATASET/BUDGET/METHOD/VARIANT/seedN);"
        " [bold]table[/], [bold]figure[/], [bold]report[/] on the results.\n\n"
        "[bold]new-dataset[/] makes a dataset of your own camera's videos.\n\n"
        "[bold]show[/] prints the tables, [bold]explain[/] says where a number comes from, [bold]verify[/] compares"
        " every file with its record.\n\n"
        "Snakemake runs them all in order (`make reproduce`); each can be run by hand, from the project's root."
    ),
)

RootOption = Annotated[
    Path,
    typer.Option(
        "--project", "--root", help="The project's root: holds config/, data/ and results/.", show_default="here"
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Override a key under config/, e.g. datasets.ped2.detection.backend=motion. Repeatable."
    ),
]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where networks run.")]
EngineOption = Annotated[
    Literal["eager", "compiled", "onnxruntime", "openvino"] | None,
    typer.Option(help="What runs the network; default: the one for the export's form.", show_default=False),
]
ThreadsOption = Annotated[int, typer.Option(min=0, help="CPU threads; 0: all cores.")]
DevicesOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Processes that divide every batch, with a GPU each if there are any, and their part of the threads.",
    ),
]
DatasetOption = Annotated[str, typer.Option(help="A file under config/datasets, e.g. plaza or ped2.")]
DatasetsOption = Annotated[str, typer.Option(help="Datasets side by side, joined by +, e.g. plaza or ped2+avenue.")]
RunOption = Annotated[
    str, typer.Option("--run", help="The run's folder: results/runs/DATASET/BUDGET/METHOD/VARIANT/seedN.")
]
BudgetOption = Annotated[str, typer.Option(help="A file under config/budgets: smoke, quick or paper.")]
SeedsOption = Annotated[str, typer.Option(help="Seeds that are averaged, joined by commas.")]
PaperOption = Annotated[str, typer.Option(help="A file under config/experiments, e.g. fast_aed.")]


def _version(value: bool) -> None:
    if value:
        typer.echo(f"lightvad {lightvad.__version__}")
        raise typer.Exit


INTERRUPTED = 130
"""Exit status after Ctrl-C; typer returns it, or raises, by its version."""


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version


def _project(root: Path, overrides: list[str] | None) -> Project:
    return Project(root=root.resolve(), overrides=tuple(overrides or ()))


@app.command()
def fetch(
    dataset: DatasetOption,
    mirror: Annotated[str | None, typer.Option(help="Folder or URL that holds the files, e.g. ../shared/data.")] = None,
    only: Annotated[
        Literal["clips", "detection"] | None, typer.Option(help="One part of the files; default: both.")
    ] = None,
    backend: Annotated[
        Literal["ultralytics", "import", "motion"] | None,
        typer.Option(help="Whose files detection needs; default: as configured."),
    ] = None,
    root: RootOption = Path(),
    overrides: SetOption = None,
) -> None:
    """Fetch a dataset's files from its publisher or a mirror; every byte is checked against its sha256.

    Writes data/raw/DATASET/, fetched.json and (for detection) fetched-BACKEND.json: each file, its size and sha256.
    """
    from lightvad.stages import fetch as stage

    stage.run(_project(root, overrides), dataset, mirror=mirror or None, only=only, backend=backend)


@app.command()
def prepare(dataset: DatasetOption, root: RootOption = Path(), overrides: SetOption = None) -> None:
    """Prepare clips, labels, masks and tracks from the fetched files (or generate them: plaza).

    Writes data/clips/DATASET/: index.parquet, SPLIT/CLIP.*, labels.parquet, masks/CLIP.npz, tracks.parquet, and
    checksums.json, the sha256 of each.
    """
    from lightvad.stages import prepare as stage

    stage.run(_project(root, overrides), dataset)


@app.command()
def detect(
    dataset: DatasetOption,
    backend: Annotated[str | None, typer.Option(help="ultralytics, import or motion; default: as configured.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=10**9, help="Seed of a detector that is trained here (plaza).")] = 0,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    root: RootOption = Path(),
    overrides: SetOption = None,
) -> None:
    """Find the objects of every frame: boxes and their class probabilities.

    Writes results/boxes/DATASET/BACKEND.parquet and BACKEND.classes.npz.
    """
    from lightvad.stages import detect as stage
    from lightvad.stages.machine import Machine

    stage.run(_project(root, overrides), dataset, Machine(device, threads), backend=backend, seed=seed)


@app.command()
def pretrain(
    run: RunOption,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    devices: DevicesOption = 1,
    root: RootOption = Path(),
    overrides: SetOption = None,
) -> None:
    """Pre-train a run's network (Fast-AED: as an auto-encoder of the middle frame). Resumes after a kill.

    Writes RUN/pretrained.safetensors and pretraining.csv.
    """
    from lightvad.stages import pretrain as stage
    from lightvad.stages.machine import Machine

    stage.run(_project(root, overrides), Run.parse(run), Machine(device, threads, devices))


@app.command()
def train(
    run: RunOption,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    devices: DevicesOption = 1,
    root: RootOption = Path(),
    overrides: SetOption = None,
) -> None:
    """Train a run: an object method on objects, or a frame method on frames. Resumes after a kill.

    Writes RUN/model.safetensors and training.csv.
    """
    from lightvad.stages import train as stage
    from lightvad.stages.machine import Machine

    stage.run(_project(root, overrides), Run.parse(run), Machine(device, threads, devices))


@app.command()
def score(
    videos: Annotated[
        list[Path] | None, typer.Argument(help="Videos to score with --model: any container and codec of FFmpeg.")
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", help="A stage of the pipeline: score this run's dataset and write into its folder."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="With videos: an export (*.lightvad), a run's folder, or a name under models/.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="With videos: the folder to write into.")] = None,
    engine: EngineOption = None,
    threshold: Annotated[
        float | None, typer.Option(help="With videos: smoothed scores from here on are alarms; default: the model's.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="With videos: windows in one pass.")] = 1,
    film: Annotated[bool, typer.Option(help="With videos: also write an annotated film.")] = True,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    root: RootOption = Path(),
    overrides: SetOption = None,
) -> None:
    """Score videos with a trained model, or (--run) a run's own dataset.

    lightvad score VIDEO... --model MODEL --out DIR writes, for each video: NAME.scores.parquet and .csv (one row per
    decoded frame), NAME.events.jsonl (alarms: start, end, peak, where), NAME.timeline.png and NAME.annotated.mp4.

    With --run: every object of train and test (object methods), or every test frame (frame methods). Writes
    RUN/object_scores.parquet, or RUN/frame_scores.parquet, maps.npz and regions.parquet.
    """
    from lightvad.stages.machine import Machine

    project, machine = _project(root, overrides), Machine(device, threads)
    if run is not None:
        if videos or model or out or engine or threshold is not None or batch != 1 or not film:
            message = (
                "score: --run scores a run's own dataset; what is for videos (--model, --out, ...) does not go with it"
            )
            raise LightvadError(message)
        from lightvad.stages import score as stage

        stage.run(project, Run.parse(run), machine)
        return
    if not videos or model is None or out is None:
        message = "score: give videos, --model and --out DIR, or --run RUN"
        raise LightvadError(message)
    from lightvad.stages import videos as scoring

    scoring.run(
        project,
        videos,
        machine,
        model=model,
        out=out,
        engine=engine,
        threshold=threshold,
        batch=batch,
        film=film,
    )


@app.command()
def watch(
    sources: Annotated[list[str], typer.Argument(help="Files, cameras (/dev/video0) and addresses (rtsp://...).")],
    model: Annotated[str, typer.Option(help="An export (*.lightvad), a run's folder, or a name under models/.")],
    engine: EngineOption = None,
    threshold: Annotated[
        float | None, typer.Option(help="Smoothed scores from here on are alarms; default: the model's.")
    ] = None,
    calibrate: Annotated[
        float,
        typer.Option(min=0, help="Seconds of each stream that are normal: its threshold is chosen on them. 0: not."),
    ] = 0,
    false_alarms: Annotated[
        float, typer.Option(min=1e-6, help="An hour, for which --calibrate chooses the threshold.")
    ] = 1.0,
    fps: Annotated[
        float | None,
        typer.Option(min=0.1, max=240, help="Frames a second of cameras and addresses; default: the model's."),
    ] = None,
    latency: Annotated[
        float, typer.Option(min=0.01, help="Seconds that a frame may wait for the network; older ones are dropped.")
    ] = 1.0,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="End after so long; default: when all have ended.")
    ] = None,
    paced: Annotated[
        bool, typer.Option(help="Read files at their own rate; or as fast as they are scored, nothing dropped.")
    ] = True,
    events: Annotated[
        Path | None, typer.Option(help="File to which alarms are appended; default: standard output.")
    ] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    root: RootOption = Path(),
    overrides: SetOption = None,
) -> None:
    """Watch live video on many streams; an alarm is a line of JSON when it begins and one when it has ended.

    A source that drops is opened again; a network that is late drops frames, and counts them, rather than lag behind.
    """
    from lightvad.stages import watch as stage
    from lightvad.stages.machine import Machine

    stage.run(
        _project(root, overrides),
        sources,
        Machine(device, threads),
        model=model,
        engine=engine,
        threshold=threshold,
        calibrate=calibrate,
        per_hour=false_alarms,
        fps=fps,
        latency=latency,
        seconds=seconds,
        paced=paced,
        events=events,
    )


@app.command()
def export(
    run: RunOption,
    to: Annotated[
        Literal["torch", "onnx", "openvino"], typer.Option(help="torch: CPU and GPU; onnx, openvino: CPU.")
    ] = "openvino",
    precision: Annotated[
        Literal["32-true", "bf16-mixed", "16-mixed", "int8"] | None,
        typer.Option(help="Default: int8 for openvino, else 32-true.", show_default=False),
    ] = None,
    false_alarms: Annotated[
        float, typer.Option(min=1e-6, help="An hour, for which the threshold is chosen on held-out normal clips.")
    ] = 1.0,
    out: Annotated[Path | None, typer.Option(help="Default: RUN/exports/FORM-PRECISION.lightvad.")] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    root: RootOption = Path(),
    overrides: SetOption = None,
) -> None:
    """Export a trained frame method as one file with network, pre-processing, window, smoothing and threshold.

    Its scores are compared with those of fp32 eager on held-out frames; the file says how far they lie apart.
    """
    from lightvad.stages import export as stage
    from lightvad.stages.machine import Machine

    path = stage.run(
        _project(root, overrides),
        Run.parse(run),
        Machine(device, threads),
        to=to,
        precision=precision,
        per_hour=false_alarms,
        out=out,
    )
    typer.echo(path)


@app.command()
def maps(run: RunOption, threads: ThreadsOption = 0, root: RootOption = Path(), overrides: SetOption = None) -> None:
    """Turn a teacher's object scores into anomaly maps, frame scores and regions.

    Writes RUN/maps.npz (train and test, every resolution), frame_scores.parquet and regions.parquet.
    """
    from lightvad.stages import maps as stage
    from lightvad.stages.machine import Machine

    stage.run(_project(root, overrides), Run.parse(run), Machine("cpu", threads))


@app.command()
def evaluate(run: RunOption, root: RootOption = Path(), overrides: SetOption = None) -> None:
    """Evaluate a run: micro and macro AUC under every named protocol with bootstrap intervals, RBDC and TBDC.

    Writes RUN/metrics.json and record.json (digests, checksums, versions, device, seconds of every stage).
    """
    from lightvad.stages import evaluate as stage
    from lightvad.stages.machine import Machine

    stage.run(_project(root, overrides), Run.parse(run), Machine("cpu"))


@app.command()
def benchmark(
    run: Annotated[str | None, typer.Option("--run", help="A trained run; its teachers are timed beside it.")] = None,
    method: Annotated[str | None, typer.Option(help="Time a method without data or weights.")] = None,
    variant: Annotated[str, typer.Option(help="With --method: its variant.")] = "default",
    height: Annotated[int, typer.Option(min=16, help="With --method: frame height in pixels.")] = 360,
    width: Annotated[int, typer.Option(min=16, help="With --method: frame width in pixels.")] = 640,
    video: Annotated[
        Path | None, typer.Option(help="With --method and --engines: a short clip that it is timed on end to end.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="With --method: the JSON file to write.")] = None,
    engines: Annotated[
        str | None,
        typer.Option(
            help="With --run or --method, and --out: one network on these engines beside fp32 eager, joined by commas,"
            " e.g. openvino/int8,openvino/bf16-mixed,onnxruntime/32-true,compiled/bf16-mixed."
        ),
    ] = None,
    table: Annotated[str | None, typer.Option(help="Time the rows of this table of --paper side by side.")] = None,
    dataset: Annotated[str | None, typer.Option(help="With --table: whose frame size and maps.")] = None,
    paper: PaperOption = "fast_aed",
    budget: BudgetOption = "paper",
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    root: RootOption = Path(),
    overrides: SetOption = None,
) -> None:
    """Measure speed and complexity of the path that is scored: model only and, for a run, end to end.

    With --run: writes RUN/speed.json (the run and what is timed beside it, in one process) and complexity.json.
    With --method, --height, --width, --out: needs no data; the network has random weights.
    With --table, --dataset: the networks of a table's rows, with random weights, in turns in one process; writes
    results/speed/DATASET/BUDGET/PAPER/tableN.json.
    """
    from lightvad.stages import benchmark as stage
    from lightvad.stages.machine import Machine

    project, machine = _project(root, overrides), Machine(device, threads)
    if [run, method, table].count(None) != 2:
        message = "benchmark: give one of --run, --method (with --out, --height, --width) and --table (with --dataset)"
        raise LightvadError(message)
    if video is not None and (engines is None or method is None):
        message = "benchmark: --video goes with --method and --engines; a run is timed on a clip of its dataset"
        raise LightvadError(message)
    if engines is not None:
        if out is None or table is not None:
            message = "benchmark: --engines needs --out, and --run or --method"
            raise LightvadError(message)
        from lightvad.stages import engines as timed

        timed.run(
            project,
            machine,
            run=None if run is None else Run.parse(run),
            method=method or "",
            variant=variant,
            frame_size=(height, width),
            video=video,
            budget=budget,
            engines=engines.split(","),
            out=out,
        )
    elif run is not None:
        stage.run(project, Run.parse(run), machine)
    elif table is not None and dataset is not None:
        stage.run_table(
            project, paper=paper, number=table, dataset=dataset, budget=budget, machine=machine, root=root.resolve()
        )
    elif method is not None and out is not None:
        stage.run_without_data(
            project, method=method, variant=variant, height=height, width=width, budget=budget, machine=machine, out=out
        )
    else:
        message = f"benchmark: {'--table needs --dataset' if table else '--method needs --out'}"
        raise LightvadError(message)


@app.command()
def table(
    number: Annotated[str, typer.Option(help="Number of the table in the paper.")],
    datasets: DatasetsOption,
    budget: BudgetOption,
    paper: PaperOption = "fast_aed",
    seeds: SeedsOption = "0",
    root: RootOption = Path(),
    overrides: SetOption = None,
) -> None:
    """Rebuild a table of a paper: reported, measured, delta, seeds, protocol, budget, device.

    Writes results/tables/DATASETS/BUDGET/PAPER/tableN.csv, .md and .tex.
    """
    from lightvad.stages import table as stage

    stage.run(
        _project(root, overrides),
        paper=paper,
        number=number,
        datasets=_names(datasets),
        budget=budget,
        seeds=_seeds(seeds),
        root=root.resolve(),
    )


@app.command()
def figure(
    number: Annotated[str, typer.Option(help="Number of the figure in the paper.")],
    datasets: DatasetsOption,
    budget: BudgetOption,
    paper: PaperOption = "fast_aed",
    seeds: SeedsOption = "0",
    root: RootOption = Path(),
    overrides: SetOption = None,
) -> None:
    """Redraw a figure of a paper from the measured runs.

    Writes results/figures/DATASETS/BUDGET/PAPER/figureN.png and .pdf, and the .csv that it was drawn from.
    """
    from lightvad.stages import figure as stage

    stage.run(
        _project(root, overrides),
        paper=paper,
        number=number,
        datasets=_names(datasets),
        budget=budget,
        seeds=_seeds(seeds),
        root=root.resolve(),
    )


@app.command()
def report(
    datasets: DatasetsOption,
    budget: BudgetOption,
    paper: Annotated[
        str | None, typer.Option(help="A paper, to show all of its tables and figures.", show_default="the main ones")
    ] = None,
    seeds: SeedsOption = "0",
    root: RootOption = Path(),
    overrides: SetOption = None,
) -> None:
    """Put tables and figures on one page: those of the default target, or all of one paper.

    Writes results/report/DATASETS/BUDGET/index.html (or PAPER.html), one file that needs no other.
    """
    from lightvad.stages import report as stage

    stage.run(
        _project(root, overrides),
        datasets=_names(datasets),
        budget=budget,
        seeds=_seeds(seeds),
        root=root.resolve(),
        paper=paper,
    )


@app.command()
def new_dataset(
    name: Annotated[str, typer.Argument(help="Of the new dataset: small letters, digits, _ and -.")],
    normal: Annotated[Path, typer.Option(help="Folder of videos of normal life, two or more, to train on.")],
    test: Annotated[
        Path | None, typer.Option(help="Folder of videos to score. Needed: without any, no student can be trained.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV with the columns clip,first,last: a video of --test without its suffix, and a range of abnormal"
            " frames, counted from 0, last included. Others are normal. Without: everything is scored, no AUC."
        ),
    ] = None,
    root: RootOption = Path(),
) -> None:
    """Make a dataset of one fixed camera's own videos; every video is decoded once and checked.

    Writes config/datasets/NAME.yaml, which `make reproduce DATASET=NAME` needs and nothing else: it says where the
    videos lie (.mp4, .avi, .mkv, .mov, .webm; all of one size and frame rate). It is yours to change and to commit.

    Frame methods see a frame in its own proportions, never enlarged and with at most about as many pixels as 360x640,
    the size at which Fast-AED works; sides are rounded to multiples of 8 (key `frame_size`); AED-MAE sees 320x640,
    whatever the proportions (key `methods.aed_mae.network.input_size`). Objects are
    found by motion: regions of a thousandth of a frame or more that change by 15 gray levels (key `detection`).
    """
    from lightvad.stages import new_dataset as stage

    stage.run(_project(root, None), name, normal=normal, test=test, labels=labels)


@app.command()
def show(
    datasets: DatasetsOption,
    budget: BudgetOption,
    paper: PaperOption = "fast_aed",
    root: RootOption = Path(),
) -> None:
    """Print the tables that are there, and say where the plots and the report lie."""
    from lightvad.layout import figures_folder, report_path, tables_folder
    from lightvad.stages import table as stage

    names = _names(datasets)
    tables = sorted((root / tables_folder(names, budget, paper)).glob("table*.csv"))
    if not tables:
        config = f"datasets=[{','.join(names)}]"
        message = (
            f"{tables_folder(names, budget, paper)}: no tables yet; run"
            f" `make reproduce DATASET={datasets} BUDGET={budget}`"
            f" for the main ones, or `snakemake --cores 2 {paper}_paper --config '{config}' budget={budget}`"
        )
        raise LightvadError(message)
    for path in tables:
        stage.show(path)
    typer.echo(f"tables   {tables_folder(names, budget, paper)}")
    typer.echo(f"figures  {figures_folder(names, budget, paper)}")
    pages = [
        page for page in (report_path(names, budget), report_path(names, budget, paper)) if (root / page).is_file()
    ]
    for page in pages:
        typer.echo(f"report   {page}")


@app.command()
def explain(
    file: Annotated[Path, typer.Argument(help="A table's CSV, or any other file that a stage wrote.")],
    row: Annotated[
        str, typer.Option(help="Of a table only the measured rows whose title contains this text; all: every row.")
    ] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="For machines: full checksums, whole records.")] = False,
    root: RootOption = Path(),
) -> None:
    """Say where a number comes from: the files and stages behind each measured row, down to the raw data.

    Prints sha256, digests, device, precision, seconds and the commands that do it all again. Reads records alone.
    """
    from lightvad.provenance.explanation import explain as explained
    from lightvad.provenance.printing import show as show_explanation

    found = explained(file, root, row=row)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
    else:
        show_explanation(found)


@app.command()
def verify(root: RootOption = Path()) -> None:
    """Hash everything under data/ and results/ again and compare it with the records.

    Prints a line for each file that differs, is missing, was made from something else than what is there now, or is
    in no record (only mentioned). Exit status 0 only if nothing differs, is missing or was made from something else.
    """
    from lightvad.provenance.verification import verify as verified

    found = verified(root.resolve())
    for finding in found.findings:
        typer.echo(str(finding))
    typer.echo(found.summary())
    if not found.holds:
        raise typer.Exit(1)


def _names(joined: str) -> tuple[str, ...]:
    return tuple(joined.split("+"))


def _seeds(joined: str) -> tuple[int, ...]:
    try:
        seeds = tuple(int(seed) for seed in joined.split(","))
    except ValueError as error:
        message = f"--seeds {joined}: write whole numbers joined by commas, e.g. 0,1,2"
        raise LightvadError(message) from error
    if len(set(seeds)) < len(seeds):
        message = f"--seeds {joined}: write each seed once"
        raise LightvadError(message)
    return seeds


def main() -> None:
    """Run the command line. A user's mistake is one line on standard error.

    Exit status: 1 for a mistake in files or configuration, 2 for a command line that cannot be read, 130 when
    interrupted.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        status = app(sys.argv[1:] or ["--help"], prog_name="lightvad", standalone_mode=False)
    except LightvadError as error:
        say(f"lightvad: {error}")
        raise SystemExit(1) from None
    except UsageError as error:
        where = error.ctx.command_path if error.ctx else "lightvad"
        say(f"lightvad: {error.format_message().rstrip('.')}; see `{where} --help`")
        raise SystemExit(2) from None
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    if status == INTERRUPTED:
        say("lightvad: interrupted; run the same command again to go on")
    raise SystemExit(status or 0)


if __name__ == "__main__":
    main()
