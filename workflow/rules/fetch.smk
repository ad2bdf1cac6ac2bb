rule fetch:
    input:
        dataset_inputs_of("fetch"),
    output:
        "data/raw/{dataset}/fetched.json",
    params:
        config=dataset_digest_of("fetch"),
    log:
        "logs/{dataset}/fetch.log",
    retries: 1
    shell:
        "{LIGHTVAD} fetch --dataset {wildcards.dataset} {MIRROR} {SET} 2>&1 | tee {log}"
