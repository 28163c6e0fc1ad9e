# REQUIRED INPUTS   histories, energies, evaluations, samples and scores of the runs of the energy study
# OUTPUTS           results/<scale>/tables/energy-<name>.{tex,csv,html}, results/<scale>/figures/energy-<name>.{pdf,png}
#
# Every one is a pure function of those files: seconds, no GPU.


localrules:
    table_robustness,
    table_autoattack,
    table_energies,
    table_attack_energies,
    table_generation,
    table_claims,
    figure_phases,
    figure_delta,
    figure_attack_histograms,
    figure_samples,
    figure_weight,


rule table_robustness:
    input:
        evaluations=all_files("energy", "evaluations", "robustness.parquet"),
        published=published_file("energy"),
    output:
        tex="results/{scale}/tables/energy-robustness.tex",
        csv="results/{scale}/tables/energy-robustness.csv",
        html="results/{scale}/tables/energy-robustness.html",
        certificate="results/{scale}/provenance/tables/energy-robustness.json",
    log:
        "results/{scale}/logs/tables/energy-robustness.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_robustness"),
    message:
        "Table: clean and robust accuracy"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --evaluations {input.evaluations:q} --published_file {input.published:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_autoattack:
    input:
        evaluations=all_files("energy", "evaluations", "robustness.parquet"),
    output:
        tex="results/{scale}/tables/energy-autoattack.tex",
        csv="results/{scale}/tables/energy-autoattack.csv",
        html="results/{scale}/tables/energy-autoattack.html",
        certificate="results/{scale}/provenance/tables/energy-autoattack.json",
    log:
        "results/{scale}/logs/tables/energy-autoattack.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_autoattack"),
    message:
        "Table: AutoAttack, component by component"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --evaluations {input.evaluations:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_energies:
    input:
        history=run_files("energy", "runs", "history.parquet"),
        evaluations=all_files("energy", "evaluations", "robustness.parquet"),
    output:
        tex="results/{scale}/tables/energy-energies.tex",
        csv="results/{scale}/tables/energy-energies.csv",
        html="results/{scale}/tables/energy-energies.html",
        certificate="results/{scale}/provenance/tables/energy-energies.json",
    log:
        "results/{scale}/logs/tables/energy-energies.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_energies"),
    message:
        "Table: energies at the last epoch"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --history {input.history:q} --evaluations {input.evaluations:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_attack_energies:
    input:
        evaluations=run_files("energy", "evaluations", "attack-energies.parquet", "attack_energies"),
    output:
        tex="results/{scale}/tables/energy-attack-energies.tex",
        csv="results/{scale}/tables/energy-attack-energies.csv",
        html="results/{scale}/tables/energy-attack-energies.html",
        certificate="results/{scale}/provenance/tables/energy-attack-energies.json",
    log:
        "results/{scale}/logs/tables/energy-attack-energies.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_attack_energies"),
    message:
        "Table: energies before and after eight attacks"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --evaluations {input.evaluations:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_generation:
    input:
        scores=all_files("energy", "generation", "scores.json", "generation"),
        anchors=real_image_scores(),
        published=published_file("energy"),
    output:
        tex="results/{scale}/tables/energy-generation.tex",
        csv="results/{scale}/tables/energy-generation.csv",
        html="results/{scale}/tables/energy-generation.html",
        certificate="results/{scale}/provenance/tables/energy-generation.json",
    log:
        "results/{scale}/logs/tables/energy-generation.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_generation"),
    message:
        "Table: quality of the generated images"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --scores {input.scores:q} --anchors {input.anchors:q} --published_file {input.published:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_claims:
    input:
        robustness=all_files("energy", "evaluations", "robustness.parquet"),
        attack_energies=run_files("energy", "evaluations", "attack-energies.parquet", "attack_energies"),
        history=run_files("energy", "runs", "history.parquet"),
        energies=run_files("energy", "runs", "energies.parquet"),
        scores=all_files("energy", "generation", "scores.json", "generation"),
    output:
        tex="results/{scale}/tables/energy-claims.tex",
        csv="results/{scale}/tables/energy-claims.csv",
        html="results/{scale}/tables/energy-claims.html",
        certificate="results/{scale}/provenance/tables/energy-claims.json",
    log:
        "results/{scale}/logs/tables/energy-claims.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_claims"),
    message:
        "Judge the claims of the paper"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --robustness {input.robustness:q} --attack_energies {input.attack_energies:q} --history {input.history:q}"
        " --energies {input.energies:q} --scores {input.scores:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule figure_phases:
    input:
        history=of_dataset(run_files("energy", "runs", "history.parquet")),
    output:
        pdf="results/{scale}/figures/energy-phases-{dataset}.pdf",
        png=report(
            "results/{scale}/figures/energy-phases-{dataset}.png",
            category="energy",
            subcategory="figures",
            labels={"figure": "phases {dataset}"},
        ),
        certificate="results/{scale}/provenance/figures/energy-phases-{dataset}.json",
    log:
        "results/{scale}/logs/figures/energy-phases-{dataset}.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=figure_spec("energy_phases"),
    message:
        "Figure: the three phases of adversarial training"
    shell:
        'python "$ROBUSTLENS/scripts/make_figure.py" --spec {params.spec:q} --log {log:q}'
        " --history {input.history:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --certificate {output.certificate:q}"


rule figure_delta:
    input:
        history=of_dataset(run_files("energy", "runs", "history.parquet")),
    output:
        pdf="results/{scale}/figures/energy-delta-{dataset}.pdf",
        png=report(
            "results/{scale}/figures/energy-delta-{dataset}.png",
            category="energy",
            subcategory="figures",
            labels={"figure": "delta {dataset}"},
        ),
        certificate="results/{scale}/provenance/figures/energy-delta-{dataset}.json",
    log:
        "results/{scale}/logs/figures/energy-delta-{dataset}.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=figure_spec("energy_delta"),
    message:
        "Figure: energy gap against epoch"
    shell:
        'python "$ROBUSTLENS/scripts/make_figure.py" --spec {params.spec:q} --log {log:q}'
        " --history {input.history:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --certificate {output.certificate:q}"


rule figure_attack_histograms:
    input:
        evaluations=of_dataset(run_files("energy", "evaluations", "attack-energies.parquet", "attack_energies")),
    output:
        pdf="results/{scale}/figures/energy-attack-histograms-{dataset}-{recipe}.pdf",
        png=report(
            "results/{scale}/figures/energy-attack-histograms-{dataset}-{recipe}.png",
            category="energy",
            subcategory="figures",
            labels={"figure": "attack-histograms {dataset} {recipe}"},
        ),
        certificate="results/{scale}/provenance/figures/energy-attack-histograms-{dataset}-{recipe}.json",
    log:
        "results/{scale}/logs/figures/energy-attack-histograms-{dataset}-{recipe}.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=figure_spec("energy_attack_histograms"),
    message:
        "Figure: energies of {wildcards.recipe} under eight attacks"
    shell:
        'python "$ROBUSTLENS/scripts/make_figure.py" --spec {params.spec:q} --log {log:q}'
        " --evaluations {input.evaluations:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --certificate {output.certificate:q}"


rule figure_samples:
    input:
        samples=one_seed_samples,
    output:
        pdf="results/{scale}/figures/energy-samples-{dataset}.pdf",
        png=report(
            "results/{scale}/figures/energy-samples-{dataset}.png",
            category="energy",
            subcategory="figures",
            labels={"figure": "samples {dataset}"},
        ),
        certificate="results/{scale}/provenance/figures/energy-samples-{dataset}.json",
    log:
        "results/{scale}/logs/figures/energy-samples-{dataset}.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=figure_spec("energy_samples"),
    message:
        "Figure: generated images"
    shell:
        'python "$ROBUSTLENS/scripts/make_figure.py" --spec {params.spec:q} --log {log:q}'
        " --samples {input.samples:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --certificate {output.certificate:q}"


rule figure_weight:
    input:
        energies=recipe_energies,
    output:
        pdf="results/{scale}/figures/energy-weight-{dataset}-{recipe}.pdf",
        png=report(
            "results/{scale}/figures/energy-weight-{dataset}-{recipe}.png",
            category="energy",
            subcategory="figures",
            labels={"figure": "weight {dataset} {recipe}"},
        ),
        certificate="results/{scale}/provenance/figures/energy-weight-{dataset}-{recipe}.json",
    log:
        "results/{scale}/logs/figures/energy-weight-{dataset}-{recipe}.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=figure_spec("energy_weight"),
    message:
        "Figure: the weights of {wildcards.recipe} against energy"
    shell:
        'python "$ROBUSTLENS/scripts/make_figure.py" --spec {params.spec:q} --log {log:q}'
        " --energies {input.energies:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --certificate {output.certificate:q}"
