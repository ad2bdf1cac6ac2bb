# All cores: nothing else may run while time is taken.
rule benchmark:
    input:
        inputs_of("benchmark"),
    output:
        f"{RUN}/speed.json",
        f"{RUN}/complexity.json",
        f"{RUN}/records/benchmark.json",
    log:
        f"{LOG}/benchmark.log",
    threads: workflow.cores
    resources:
        mem_mb=6000,
        gpu=GPUS,
    params:
        config=digest_of("benchmark"),
        folder=folder_of,
    shell:
        "{LIGHTVAD} benchmark --run {params.folder} --device {DEVICE} --threads {threads} {SET} 2>&1 | tee {log}"


# The networks of a table's rows, side by side.
rule benchmark_table:
    input:
        lambda wildcards: PLAN.speeds_inputs(wildcards.paper, wildcards.number),
    output:
        "results/speed/{dataset}/{budget}/{paper}/table{number}.json",
        "results/speed/{dataset}/{budget}/{paper}/records/table{number}.json",
    log:
        "logs/{dataset}/{budget}/{paper}-speeds{number}.log",
    threads: workflow.cores
    resources:
        mem_mb=6000,
        gpu=GPUS,
    params:
        config=lambda wildcards: digest(
            speeds_slice(
                PROJECT,
                paper=wildcards.paper,
                number=wildcards.number,
                dataset=wildcards.dataset,
                budget=wildcards.budget,
            )
        ),
    shell:
        "{LIGHTVAD} benchmark --table {wildcards.number} --dataset {wildcards.dataset} --budget {wildcards.budget}"
        " --paper {wildcards.paper} --device {DEVICE} --threads {threads} {SET} 2>&1 | tee {log}"
