rule evaluate:
    input:
        inputs_of("evaluate"),
    output:
        f"{RUN}/metrics.json",
        f"{RUN}/record.json",
        f"{RUN}/records/evaluate.json",
    log:
        f"{LOG}/evaluate.log",
    threads: 1
    resources:
        mem_mb=2000,
    params:
        config=digest_of("evaluate"),
        folder=folder_of,
    shell:
        "{LIGHTVAD} evaluate --run {params.folder} {SET} 2>&1 | tee {log}"
