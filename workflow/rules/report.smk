rule report:
    input:
        lambda wildcards: PLAN.report_inputs(
            datasets=tuple(wildcards.datasets.split("+")),
            budget=wildcards.budget,
            seeds=CONFIG.seeds,
        ),
    output:
        "results/report/{datasets}/{budget}/index.html",
        "results/report/{datasets}/{budget}/records/report.json",
    log:
        "logs/{datasets}/{budget}/report.log",
    params:
        config=lambda wildcards: digest(
            report_slice(
                PROJECT,
                papers=tuple(PAPERS),
                datasets=tuple(wildcards.datasets.split("+")),
                budget=wildcards.budget,
            )
        ),
    shell:
        "{LIGHTVAD} report --datasets {wildcards.datasets} --budget {wildcards.budget}"
        " --seeds {SEEDS} {SET} 2>&1 | tee {log}"
