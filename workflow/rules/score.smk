# The same stage for both levels: an object method scores boxes, a frame method scores frames.
rule score:
    input:
        inputs_of("score"),
    output:
        f"{RUN}/object_scores.parquet",
        f"{RUN}/records/score.json",
    log:
        f"{LOG}/score.log",
    wildcard_constraints:
        method="|".join(OBJECT_METHODS),
    priority: 1
    threads: 1
    resources:
        mem_mb=4000,
        gpu=GPUS,
    params:
        config=digest_of("score"),
        folder=folder_of,
    shell:
        "{LIGHTVAD} score --run {params.folder} --device {DEVICE} --threads 1 {SET} 2>&1 | tee {log}"


rule score_frames:
    input:
        inputs_of("score"),
    output:
        f"{RUN}/frame_scores.parquet",
        f"{RUN}/maps.npz",
        f"{RUN}/regions.parquet",
        f"{RUN}/records/score.json",
    log:
        f"{LOG}/score.log",
    wildcard_constraints:
        method="|".join(FRAME_METHODS),
    threads: 1
    resources:
        mem_mb=4000,
        gpu=GPUS,
    params:
        config=digest_of("score"),
        folder=folder_of,
    shell:
        "{LIGHTVAD} score --run {params.folder} --device {DEVICE} --threads 1 {SET} 2>&1 | tee {log}"
