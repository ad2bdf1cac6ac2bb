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
    shell:
        "{LIGHTVAD} report --datasets {wildcards.datasets} --budget {wildcards.budget}"
        " --seeds {SEEDS} {SET} 2>&1 | tee {log}"
