rule maps:
    input:
        inputs_of("maps"),
    output:
        f"{RUN}/frame_scores.parquet",
        f"{RUN}/maps.npz",
        f"{RUN}/regions.parquet",
        f"{RUN}/records/maps.json",
    log:
        f"{LOG}/maps.log",
    wildcard_constraints:
        method="|".join(OBJECT_METHODS),
    threads: 1
    resources:
        mem_mb=4000,
    params:
        config=digest_of("maps"),
        folder=folder_of,
    shell:
        "{LIGHTVAD} maps --run {params.folder} --threads 1 {SET} 2>&1 | tee {log}"
