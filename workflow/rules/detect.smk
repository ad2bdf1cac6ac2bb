rule detect:
    input:
        dataset_inputs_of("detect"),
    output:
        "results/boxes/{dataset}/{backend}.parquet",
        "results/boxes/{dataset}/{backend}.classes.npz",
        "results/boxes/{dataset}/records/detect-{backend}.json",
    log:
        "logs/{dataset}/detect-{backend}.log",
    priority: 1
    threads: 2
    resources:
        mem_mb=4000,
        gpu=GPUS,
    params:
        config=dataset_digest_of("detect"),
    shell:
        "{LIGHTVAD} detect --dataset {wildcards.dataset} --backend {wildcards.backend}"
        " --device {DEVICE} --threads 2 {SET} 2>&1 | tee {log}"
