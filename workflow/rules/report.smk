rule report:
    input:
        lambda wildcards: PLAN.report_inputs(
            datasets=tuple(wildcards.datasets.split("+")),
            budget=wildcards.budget,
            seeds=CONFIG.seeds,
            paper=paper_shown(wildcards),
        ),
    output:
        "results/report/{datasets}/{budget}/{page}.html",
        "results/report/{datasets}/{budget}/records/{page}.json",
    log:
        "logs/{datasets}/{budget}/report-{page}.log",
    params:
        config=lambda wildcards: digest(
            report_slice(
                PROJECT,
                papers=PLAN.papers_shown(paper_shown(wildcards)),
                datasets=tuple(wildcards.datasets.split("+")),
                budget=wildcards.budget,
            )
        ),
        paper=lambda wildcards: (
            "" if wildcards.page == INDEX_PAGE else f"--paper {wildcards.page}"
        ),
    shell:
        "{LIGHTVAD} report --datasets {wildcards.datasets} --budget {wildcards.budget}"
        " --seeds {SEEDS} {params.paper} {SET} 2>&1 | tee {log}"
