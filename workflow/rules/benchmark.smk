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
