rule table:
    input:
        result_inputs_of("tables"),
    output:
        "results/tables/{datasets}/{budget}/{paper}/table{number}.csv",
        "results/tables/{datasets}/{budget}/{paper}/table{number}.md",
        "results/tables/{datasets}/{budget}/{paper}/table{number}.tex",
        "results/tables/{datasets}/{budget}/{paper}/records/table{number}.json",
    log:
        "logs/{datasets}/{budget}/{paper}-table{number}.log",
    params:
        config=result_digest_of("tables"),
    shell:
        "{LIGHTVAD} table --number {wildcards.number} --datasets {wildcards.datasets} --budget {wildcards.budget}"
        " --paper {wildcards.paper} --seeds {SEEDS} {SET} 2>&1 | tee {log}"


# One target per table: `snakemake --cores 8 fast_aed_table7`.
for paper, experiment in PAPERS.items():
    for number in experiment.tables:

        rule:
            name:
                f"{paper}_table{number}"
            input:
                target_of("tables", paper, number),
