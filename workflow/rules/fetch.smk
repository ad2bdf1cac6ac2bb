rule fetch:
    input:
        dataset_inputs_of("fetch"),
    output:
        "data/raw/{dataset}/fetched.json",
    log:
        "logs/{dataset}/fetch.log",
    retries: 1
    params:
        config=dataset_digest_of("fetch"),
    shell:
        "{LIGHTVAD} fetch --dataset {wildcards.dataset} {MIRROR} {SET} 2>&1 | tee {log}"
