# One target for each stage of dvc.yaml: `snakemake --cores 2 scores`.
rule data:
    input:
        PLAN.prepared(DATASETS),


rule boxes:
    input:
        PLAN.boxes(DATASETS),


rule scores:
    input:
        PLAN.scored(datasets=DATASETS, budget=BUDGET, seeds=CONFIG.seeds),


rule tables:
    input:
        PLAN.results(datasets=DATASETS, budget=BUDGET),
        PLAN.report(datasets=DATASETS, budget=BUDGET),
