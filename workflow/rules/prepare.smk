rule prepare:
    input:
        dataset_inputs_of("prepare"),
    output:
        "data/clips/{dataset}/index.parquet",
        "data/clips/{dataset}/labels.parquet",
        "data/clips/{dataset}/tracks.parquet",
        "data/clips/{dataset}/checksums.json",
        "data/clips/{dataset}/records/prepare.json",
    log:
        "logs/{dataset}/prepare.log",
    resources:
        mem_mb=2000,
    params:
        config=dataset_digest_of("prepare"),
    shell:
        "{LIGHTVAD} prepare --dataset {wildcards.dataset} {SET} 2>&1 | tee {log}"
