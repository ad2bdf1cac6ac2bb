rule train:
    input:
        inputs_of("train"),
    output:
        f"{RUN}/model.safetensors",
        f"{RUN}/training.csv",
        f"{RUN}/records/train.json",
    log:
        f"{LOG}/train.log",
    priority: 1
    threads: CONFIG.devices
    resources:
        mem_mb=6000 * CONFIG.devices,
        gpu=GPUS * CONFIG.devices,
    params:
        config=digest_of("train"),
        folder=folder_of,
    shell:
        "{LIGHTVAD} train --run {params.folder} --device {DEVICE} {DEVICES} {SET} 2>&1 | tee {log}"
