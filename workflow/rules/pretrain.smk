# One thread, and after everything else: it fills the core that the scoring of a teacher leaves idle.
rule pretrain:
    input:
        inputs_of("pretrain"),
    output:
        f"{RUN}/pretrained.safetensors",
        f"{RUN}/pretraining.csv",
        f"{RUN}/records/pretrain.json",
    log:
        f"{LOG}/pretrain.log",
    threads: CONFIG.devices
    resources:
        mem_mb=6000 * CONFIG.devices,
        gpu=GPUS * CONFIG.devices,
    params:
        config=digest_of("pretrain"),
        folder=folder_of,
    shell:
        "{LIGHTVAD} pretrain --run {params.folder} --device {DEVICE} {DEVICES} {SET} 2>&1 | tee {log}"
