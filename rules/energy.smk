# REQUIRED INPUTS   histories, energies, evaluations, samples and scores of the runs of the energy study
# OUTPUTS           results/<scale>/tables/energy-<name>.{tex,csv,html}, results/<scale>/figures/energy-<name>.{pdf,png}
#                   and results/<scale>/figures/energy-plane-<dataset>-<recipe>.gif
#
# Every one is a pure function of those files: seconds, no GPU.


localrules:
    table_robustness,
    table_differences,
    table_autoattack,
    table_phases,
    table_energies,
    table_attack_energies,
    table_generation,
    table_subsets,
    table_generation_grid,
    table_claims,
    figure_phases,
    figure_plane,
    animation_plane,
    figure_delta,
    figure_attack_histograms,
    figure_correlation,
    figure_violins,
    figure_subsets,
    figure_class_distances,
    figure_grid,
    figure_samples,
    figure_weight,


rule table_robustness:
    input:
        evaluations=evaluation_files("energy", "further"),
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


rule table_differences:
    input:
        evaluations=evaluation_files("energy", "further"),
        published=published_file("energy"),
    output:
        tex="results/{scale}/tables/energy-differences.tex",
        csv="results/{scale}/tables/energy-differences.csv",
        html="results/{scale}/tables/energy-differences.html",
        certificate="results/{scale}/provenance/tables/energy-differences.json",
    log:
        "results/{scale}/logs/tables/energy-differences.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_differences"),
    message:
        "Table: differences to TRADES"
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


rule table_phases:
    input:
        history=training_files("energy", "history.parquet"),
        evaluations=evaluation_files("energy", "further"),
    output:
        tex="results/{scale}/tables/energy-phases.tex",
        csv="results/{scale}/tables/energy-phases.csv",
        html="results/{scale}/tables/energy-phases.html",
        certificate="results/{scale}/provenance/tables/energy-phases.json",
    log:
        "results/{scale}/logs/tables/energy-phases.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_phases"),
    message:
        "Table: phases and overfitting"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --history {input.history:q} --evaluations {input.evaluations:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_energies:
    input:
        history=training_files("energy", "history.parquet"),
        evaluations=evaluation_files("energy", "further"),
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
        evaluations=all_files("energy", "evaluations", "attack-energies.parquet", "attack_energies"),
    output:
        tex="results/{scale}/tables/energy-attack-energies.tex",
        csv="results/{scale}/tables/energy-attack-energies.csv",
        html="results/{scale}/tables/energy-attack-energies.html",
        certificate="results/{scale}/provenance/tables/energy-attack-energies.json",
    log:
        "results/{scale}/logs/tables/energy-attack-energies.log",
    priority: 1  # the first table to look at
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


rule table_subsets:
    input:
        evaluations=[
            path
            for path in evaluation_files("energy", "subsets")
            if Path(path).parts[-3] in [*changed_recipes(), *CONFIG["studies"]["energy"]["subsets"]["recipes"]]
        ],
        history=[
            path
            for path in run_files("energy", "runs", "history.parquet")
            + run_files("energy", "runs", "history.parquet", "subsets")
            if Path(path).parts[-3] in [*changed_recipes(), *CONFIG["studies"]["energy"]["subsets"]["recipes"]]
        ],
    output:
        tex="results/{scale}/tables/energy-subsets.tex",
        csv="results/{scale}/tables/energy-subsets.csv",
        html="results/{scale}/tables/energy-subsets.html",
        certificate="results/{scale}/provenance/tables/energy-subsets.json",
    log:
        "results/{scale}/logs/tables/energy-subsets.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_subsets"),
    message:
        "Table: training without some of the images"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --evaluations {input.evaluations:q} --history {input.history:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_generation_grid:
    input:
        grid=run_files("energy", "generation", "grid.parquet", "generation_grid"),
    output:
        tex="results/{scale}/tables/energy-generation-grid.tex",
        csv="results/{scale}/tables/energy-generation-grid.csv",
        html="results/{scale}/tables/energy-generation-grid.html",
        certificate="results/{scale}/provenance/tables/energy-generation-grid.json",
    log:
        "results/{scale}/logs/tables/energy-generation-grid.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_generation_grid"),
    message:
        "Table: settings of the sampler"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --grid {input.grid:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_claims:
    input:
        robustness=evaluation_files("energy", "further", "subsets"),
        attack_energies=all_files("energy", "evaluations", "attack-energies.parquet", "attack_energies"),
        history=training_files("energy", "history.parquet") + run_files("energy", "runs", "history.parquet", "subsets"),
        energies=training_files("energy", "energies.parquet"),
        scores=all_files("energy", "generation", "scores.json", "generation"),
        grid=run_files("energy", "generation", "grid.parquet", "generation_grid"),
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
        " --energies {input.energies:q} --scores {input.scores:q} --grid {input.grid:q}"
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


rule figure_plane:
    input:
        energies=of_run(run_files("energy", "runs", "energies.parquet")),
        history=of_run(run_files("energy", "runs", "history.parquet")),
    output:
        pdf="results/{scale}/figures/energy-plane-{dataset}-{recipe}.pdf",
        png=report(
            "results/{scale}/figures/energy-plane-{dataset}-{recipe}.png",
            category="energy",
            subcategory="figures",
            labels={"figure": "plane {dataset} {recipe}"},
        ),
        certificate="results/{scale}/provenance/figures/energy-plane-{dataset}-{recipe}.json",
    log:
        "results/{scale}/logs/figures/energy-plane-{dataset}-{recipe}.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=figure_spec("energy_plane"),
    message:
        "Figure: joint and marginal energies of {wildcards.recipe}, phase by phase"
    shell:
        'python "$ROBUSTLENS/scripts/make_figure.py" --spec {params.spec:q} --log {log:q}'
        " --energies {input.energies:q} --history {input.history:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --certificate {output.certificate:q}"


rule animation_plane:
    input:
        energies=of_run(run_files("energy", "runs", "energies.parquet")),
    output:
        gif=report(
            "results/{scale}/figures/energy-plane-{dataset}-{recipe}.gif",
            category="energy",
            subcategory="figures",
            labels={"figure": "animation {dataset} {recipe}"},
        ),
        certificate="results/{scale}/provenance/figures/energy-plane-{dataset}-{recipe}-gif.json",
    log:
        "results/{scale}/logs/figures/energy-plane-{dataset}-{recipe}-gif.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=figure_spec("energy_plane", "make_animation"),
    message:
        "Animation: joint and marginal energies of {wildcards.recipe} over the epochs"
    shell:
        'python "$ROBUSTLENS/scripts/make_animation.py" --spec {params.spec:q} --log {log:q}'
        " --energies {input.energies:q} --gif {output.gif:q} --certificate {output.certificate:q}"


rule figure_delta:
    input:
        history=of_dataset(training_files("energy", "history.parquet")),
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
        evaluations=of_run(all_files("energy", "evaluations", "attack-energies.parquet", "attack_energies")),
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


rule figure_correlation:
    input:
        history=of_dataset(training_files("energy", "history.parquet")),
    output:
        pdf="results/{scale}/figures/energy-correlation-{dataset}.pdf",
        png=report(
            "results/{scale}/figures/energy-correlation-{dataset}.png",
            category="energy",
            subcategory="figures",
            labels={"figure": "correlation {dataset}"},
        ),
        certificate="results/{scale}/provenance/figures/energy-correlation-{dataset}.json",
    log:
        "results/{scale}/logs/figures/energy-correlation-{dataset}.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=figure_spec("energy_correlation"),
    message:
        "Figure: energy gap against overfitting"
    shell:
        'python "$ROBUSTLENS/scripts/make_figure.py" --spec {params.spec:q} --log {log:q}'
        " --history {input.history:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --certificate {output.certificate:q}"


rule figure_violins:
    input:
        evaluations=of_dataset(evaluation_files("energy", "further")),
    output:
        pdf="results/{scale}/figures/energy-violins-{dataset}.pdf",
        png=report(
            "results/{scale}/figures/energy-violins-{dataset}.png",
            category="energy",
            subcategory="figures",
            labels={"figure": "violins {dataset}"},
        ),
        certificate="results/{scale}/provenance/figures/energy-violins-{dataset}.json",
    log:
        "results/{scale}/logs/figures/energy-violins-{dataset}.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=figure_spec("energy_violins"),
    message:
        "Figure: energy gaps of all classifiers"
    shell:
        'python "$ROBUSTLENS/scripts/make_figure.py" --spec {params.spec:q} --log {log:q}'
        " --evaluations {input.evaluations:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --certificate {output.certificate:q}"


rule figure_subsets:
    input:
        energies=of_dataset(measuring_files()),
        evaluations=of_dataset(rules.table_subsets.input.evaluations),
    output:
        pdf="results/{scale}/figures/energy-subsets-{dataset}.pdf",
        png=report(
            "results/{scale}/figures/energy-subsets-{dataset}.png",
            category="energy",
            subcategory="figures",
            labels={"figure": "subsets {dataset}"},
        ),
        certificate="results/{scale}/provenance/figures/energy-subsets-{dataset}.json",
    log:
        "results/{scale}/logs/figures/energy-subsets-{dataset}.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=figure_spec("energy_subsets"),
    message:
        "Figure: training without some of the images"
    shell:
        'python "$ROBUSTLENS/scripts/make_figure.py" --spec {params.spec:q} --log {log:q}'
        " --energies {input.energies:q} --evaluations {input.evaluations:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --certificate {output.certificate:q}"


rule figure_class_distances:
    input:
        scores=of_dataset(all_files("energy", "generation", "scores.json", "generation")),
    output:
        pdf="results/{scale}/figures/energy-class-distances-{dataset}.pdf",
        png=report(
            "results/{scale}/figures/energy-class-distances-{dataset}.png",
            category="energy",
            subcategory="figures",
            labels={"figure": "class distances {dataset}"},
        ),
        certificate="results/{scale}/provenance/figures/energy-class-distances-{dataset}.json",
    log:
        "results/{scale}/logs/figures/energy-class-distances-{dataset}.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=figure_spec("energy_class_distances"),
    message:
        "Figure: quality of the generated images, class by class"
    shell:
        'python "$ROBUSTLENS/scripts/make_figure.py" --spec {params.spec:q} --log {log:q}'
        " --scores {input.scores:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --certificate {output.certificate:q}"


rule figure_grid:
    input:
        grid=of_run(run_files("energy", "generation", "grid.parquet", "generation_grid")),
        chains=of_run(run_files("energy", "generation", "grid-chains.parquet", "generation_grid")),
        samples=of_run(run_files("energy", "generation", "grid.npz", "generation_grid")),
    output:
        pdf="results/{scale}/figures/energy-grid-{dataset}-{recipe}.pdf",
        png=report(
            "results/{scale}/figures/energy-grid-{dataset}-{recipe}.png",
            category="energy",
            subcategory="figures",
            labels={"figure": "grid {dataset} {recipe}"},
        ),
        certificate="results/{scale}/provenance/figures/energy-grid-{dataset}-{recipe}.json",
    log:
        "results/{scale}/logs/figures/energy-grid-{dataset}-{recipe}.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=figure_spec("energy_grid"),
    message:
        "Figure: settings of the sampler on {wildcards.recipe}"
    shell:
        'python "$ROBUSTLENS/scripts/make_figure.py" --spec {params.spec:q} --log {log:q}'
        " --grid {input.grid:q} --chains {input.chains:q} --samples {input.samples:q}"
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
        energies=of_run(run_files("energy", "runs", "energies.parquet")),
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
