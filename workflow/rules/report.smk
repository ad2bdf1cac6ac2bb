rule report:
    input:
        lambda wildcards: PLAN.report_inputs(
            datasets=tuple(wildcards.datasets.split("+")),
            budget=wildcards.budget,
            seeds=CONFIG.seeds,
        ),
    output:
        "results/report/{datasets}/{budget}/index.html",
    log:
        "logs/{datasets}/{budget}/report.log",
    params:
        config=lambda wildcards: report_digest(
            PROJECT,
            papers=tuple(PAPERS),
            datasets=tuple(wildcards.datasets.split("+")),
            budget=wildcards.budget,
        ),
    shell:
        "{LIGHTVAD} report --datasets {wildcards.datasets} --budget {wildcards.budget}"
        " --seeds {SEEDS} {SET} 2>&1 | tee {log}"
