rule figure:
    input:
        result_inputs_of("figures"),
    output:
        report(
            "results/figures/{datasets}/{budget}/{paper}/figure{number}.png",
            caption="../report/figure.rst",
            category="{paper}",
            labels={
                "figure": "{number}",
                "datasets": "{datasets}",
                "budget": "{budget}",
            },
        ),
        "results/figures/{datasets}/{budget}/{paper}/figure{number}.pdf",
        "results/figures/{datasets}/{budget}/{paper}/figure{number}.csv",
        "results/figures/{datasets}/{budget}/{paper}/records/figure{number}.json",
    log:
        "logs/{datasets}/{budget}/{paper}-figure{number}.log",
    params:
        config=result_digest_of("figures"),
    shell:
        "{LIGHTVAD} figure --number {wildcards.number} --datasets {wildcards.datasets} --budget {wildcards.budget}"
        " --paper {wildcards.paper} --seeds {SEEDS} {SET} 2>&1 | tee {log}"


# Every table and figure of a paper: `snakemake --cores 8 fast_aed_paper`.
for paper in PAPERS:

    rule:
        name:
            f"{paper}_paper"
        input:
            paper_of(paper),


# One target per figure: `snakemake --cores 8 fast_aed_figure4`.
for paper, experiment in PAPERS.items():
    for number in experiment.figures:

        rule:
            name:
                f"{paper}_figure{number}"
            input:
                target_of("figures", paper, number),
