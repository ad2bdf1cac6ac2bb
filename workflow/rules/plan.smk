# What is run (config/), and the graph of the stages (lightvad.plan). Rules take their inputs and digests from here.
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from lightvad.artifacts.locks import alive
from lightvad.config import Config
from lightvad.project import Project, digest, parsed
from lightvad.errors import LightvadError
from lightvad.layout import INDEX_PAGE, Run
from lightvad.plan import Plan
from lightvad.resolution import (
    dataset_digest,
    report_slice,
    run_digest,
    speeds_slice,
    table_slice,
)

try:
    # As long as this process lives, workflow/alone.sh takes no lock of Snakemake away.
    ALIVE = alive(Path(".snakemake/alive"))
    CONFIG = parsed(Config, {**config}, "config/config.yaml or --config")
    PROJECT = Project(Path.cwd(), CONFIG.set)
    PLAN = Plan(PROJECT)
    DATASETS, BUDGET = CONFIG.datasets, CONFIG.budget
    PAPERS = PLAN.papers()
    # Every file that the default target needs is read here, so that a mistake in it is one line.
    PLAN.check(datasets=DATASETS, budget=BUDGET, seeds=CONFIG.seeds)
    OBJECT_METHODS, FRAME_METHODS = PLAN.methods("object"), PLAN.methods("frame")
except LightvadError as error:
    raise WorkflowError(str(error)) from None

# None of these decides a result, so none stands in a rule's params: a change of machine or mirror re-runs nothing (see
# found_files for files without known checksums). The number of threads decides the last bits of a sum: commands
# give it as a number, and not as {threads}, which is smaller on fewer cores. Only a benchmark, which is about the
# machine, takes what it gets.
LIGHTVAD = f"{shlex.quote(sys.executable)} -m lightvad"
SET = " ".join(f"--set {shlex.quote(item)}" for item in CONFIG.set)
DEVICE = CONFIG.device
GPUS = 1 if DEVICE == "cuda" else 0
# Of a training: one thread for each process. Their number decides a little more than the last bits (which objects are
# pasted, which frames skipped: docs/architecture.md, Training); the record's command names it.
DEVICES = f"--threads {CONFIG.devices}" + (
    f" --devices {CONFIG.devices}" if CONFIG.devices > 1 else ""
)
MIRROR = f"--mirror {shlex.quote(CONFIG.mirror)}" if CONFIG.mirror else ""
SEEDS = ",".join(str(seed) for seed in CONFIG.seeds)

RUN = "results/runs/{dataset}/{budget}/{method}/{variant}/seed{seed}"
LOG = "logs/{dataset}/{budget}/{method}-{variant}-seed{seed}"


wildcard_constraints:
    dataset=r"[a-z0-9_.-]+",
    budget=r"[a-z0-9_.-]+",
    method=r"[a-z0-9_]+",
    variant=r"[a-z0-9_.-]+",
    seed=r"\d+",
    datasets=r"[a-z0-9_.+-]+",
    paper=r"[a-z0-9_]+",
    number=r"\d+",
    page=r"[a-z0-9_]+",
    backend=r"ultralytics|import|motion",


def run_of(wildcards):
    return Run(
        wildcards.dataset,
        wildcards.budget,
        wildcards.method,
        wildcards.variant,
        int(wildcards.seed),
    )


def folder_of(wildcards):
    return run_of(wildcards).folder.as_posix()


def inputs_of(stage):
    return lambda wildcards: PLAN.stage_inputs(stage, run_of(wildcards))


def digest_of(stage):
    return lambda wildcards: run_digest(PROJECT, stage, run_of(wildcards))


def dataset_inputs_of(stage):
    return lambda wildcards: PLAN.dataset_inputs(
        stage, wildcards.dataset, wildcards.get("backend")
    )


def dataset_digest_of(stage):
    return lambda wildcards: dataset_digest(
        PROJECT, stage, wildcards.dataset, wildcards.get("backend")
    )


def result_inputs_of(kind):
    return lambda wildcards: PLAN.result_inputs(
        kind,
        paper=wildcards.paper,
        number=wildcards.number,
        datasets=tuple(wildcards.datasets.split("+")),
        budget=wildcards.budget,
        seeds=CONFIG.seeds,
    )


# Files without known checksums are known by what lies in the mirror, or where `found.at` says: where that changes, they
# are fetched again. The import brings all readers with it: only where it is asked for.
def found_files(wildcards):
    dataset = PROJECT.dataset(wildcards.dataset)
    if dataset.found is None or not (dataset.found.at or CONFIG.mirror):
        return ""
    from lightvad.datasets.fetching import found_listing

    try:
        return digest(found_listing(dataset, CONFIG.mirror))
    except LightvadError as error:
        raise WorkflowError(str(error)) from None


# Of the targets only the one that is asked for is worked out: there are dozens.
def target_of(kind, paper, number):
    return lambda wildcards: PLAN.target(
        kind,
        paper=paper,
        number=number,
        datasets=DATASETS,
        budget=BUDGET,
        seeds=CONFIG.seeds,
    )


def paper_of(paper):
    return lambda wildcards: PLAN.paper(
        paper, datasets=DATASETS, budget=BUDGET, seeds=CONFIG.seeds
    )


# A page of the report: `index` shows the main tables and figures of every paper, a paper's name all of its own.
def paper_shown(wildcards):
    return None if wildcards.page == INDEX_PAGE else wildcards.page


def result_digest_of(kind):
    return lambda wildcards: digest(
        table_slice(
            PROJECT,
            paper=wildcards.paper,
            kind=kind,
            number=wildcards.number,
            datasets=tuple(wildcards.datasets.split("+")),
            budget=wildcards.budget,
            seeds=CONFIG.seeds,
        )
    )
