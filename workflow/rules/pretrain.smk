rule pretrain:
    input:
        inputs_of("pretrain"),
    output:
        f"{RUN}/pretrained.safetensors",
        f"{RUN}/pretraining.csv",
        f"{RUN}/records/pretrain.json",
    params:
        config=digest_of("pretrain"),
    log:
        "logs/{dataset}/{budget}/{method}-{variant}-{seed}/pretrain.log",
    threads: 2
    resources:
        mem_mb=6000,
    shell:
        f"{{LIGHTVAD}} pretrain --run {RUN} --device {{DEVICE}} --threads {{threads}} {{SET}} 2>&1 | tee {{log}}"
