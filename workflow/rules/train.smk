rule train:
    input:
        inputs_of("train"),
    output:
        f"{RUN}/model.safetensors",
        f"{RUN}/training.csv",
        f"{RUN}/records/train.json",
    params:
        config=digest_of("train"),
    log:
        "logs/{dataset}/{budget}/{method}-{variant}-{seed}/train.log",
    threads: 2
    resources:
        mem_mb=6000,
    shell:
        "{LIGHTVAD} train --run " + RUN + " --device {DEVICE} --threads {threads} {SET} 2>&1 | tee {log}"
