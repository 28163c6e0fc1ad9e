# REQUIRED INPUTS   histories, energies, evaluations, samples and scores of the runs of the energy study
# OUTPUTS           results/<scale>/figures/energy-<name>.{pdf,png} and
#                   results/<scale>/figures/energy-plane-<dataset>-<recipe>.gif
#
# Every one is a pure function of those files: seconds, no GPU.


localrules:
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
