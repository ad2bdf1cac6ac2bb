# Two rules, one stage: the dataset's own files, and those of a detection backend. What is prepared from the first does
# not depend on the second, so another backend prepares no clip again. Never sent to a node of a cluster: those seldom
# reach the network.
rule fetch:
    input:
        dataset_inputs_of("fetch"),
    output:
        "data/raw/{dataset}/fetched.json",
        "data/raw/{dataset}/records/fetch.json",
    log:
        "logs/{dataset}/fetch.log",
    retries: 1
    localrule: True
    params:
        config=dataset_digest_of("fetch"),
        found=found_files,
    shell:
        "{LIGHTVAD} fetch --dataset {wildcards.dataset} --only clips {MIRROR} {SET} 2>&1 | tee {log}"


rule fetch_detection:
    input:
        dataset_inputs_of("fetch"),
    output:
        "data/raw/{dataset}/fetched-{backend}.json",
        "data/raw/{dataset}/records/fetch-{backend}.json",
    log:
        "logs/{dataset}/fetch-{backend}.log",
    retries: 1
    localrule: True
    params:
        config=dataset_digest_of("fetch"),
    shell:
        "{LIGHTVAD} fetch --dataset {wildcards.dataset} --only detection --backend {wildcards.backend}"
        " {MIRROR} {SET} 2>&1 | tee {log}"
