import atexit
import time

from snakemake.utils import min_version

from lightvad.progress import say

min_version("9.20")

BEGAN = time.time()


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/plan.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/detect.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/maps.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/benchmark.smk"
include: "workflow/rules/table.smk"
include: "workflow/rules/figure.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/dvc.smk"


rule all:
    default_target: True
    input:
        PLAN.everything(datasets=DATASETS, budget=BUDGET, seeds=CONFIG.seeds),


# Last of all, when Snakemake has said its own: the line in which a stage told why it failed, from the logs that this
# call has written; those of earlier calls lie beside them.
onerror:
    written = {path: path.stat().st_mtime for path in Path("logs").rglob("*.log")}
    logs = sorted(
        (path for path in written if written[path] > BEGAN), key=written.get
    )
    read = "\n".join(path.read_text(errors="replace") for path in logs)
    told = [line for line in read.splitlines() if line.startswith("lightvad: ")]
    for line in told[-1:]:
        atexit.register(say, line)
