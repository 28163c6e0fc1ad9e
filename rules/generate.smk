# REQUIRED INPUTS   the weights of a run, the prepared dataset, and the weights of the feature network: a classifier that
#                   is trained like any other run, or results/downloads/inception/, which is fetched
# OUTPUTS           results/<scale>/generation/<dataset>/<recipe>/seed<k>/samples.npz and scores.json
#                   results/<scale>/generation/<dataset>/<recipe>/seed<k>/grid.{parquet,npz} and grid-chains.parquet
#                   results/<scale>/generation/<dataset>/reference.npz, and real-images.json: the scores of real images

FILES["samples"] = Kind("generation/{dataset}/{recipe}/seed{seed}/samples.npz", models=True)
FILES["scores"] = Kind("generation/{dataset}/{recipe}/seed{seed}/scores.json", models=True)
FILES["real-image-scores"] = Kind("generation/{dataset}/real-images.json")
FILES["grid"] = Kind("generation/{dataset}/{recipe}/seed{seed}/grid.parquet")
FILES["grid-chains"] = Kind("generation/{dataset}/{recipe}/seed{seed}/grid-chains.parquet")
FILES["grid-images"] = Kind("generation/{dataset}/{recipe}/seed{seed}/grid.npz")
PLANNED["generate_samples"] = "robustlens.planning.stages.generate_samples"
PLANNED["generate_grid"] = "robustlens.planning.stages.generate_grid"
PLANNED["reference_features"] = "robustlens.planning.stages.reference_features"
PLANNED["score_samples"] = "robustlens.planning.stages.score_samples"
PLANNED["score_real_images"] = "robustlens.planning.stages.score_real_images"


rule generate_samples:
    input:
        sheet=dataset_sheet,
        weights=sampled_weights,
        features=inception_receipt,
    output:
        samples="results/{scale}/generation/{dataset}/{recipe}/seed{seed}/samples.npz",
        certificate="results/{scale}/provenance/generation/{dataset}/{recipe}/seed{seed}/samples.json",
    log:
        "results/{scale}/logs/generate/{dataset}/{recipe}/seed{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/generate/{dataset}/{recipe}/seed{seed}.tsv"
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
        gpu=gpus(),
    params:
        spec=network_spec("generate_samples", specs.sampled),
        data=dataset_folder,
    message:
        "Generate images from {wildcards.recipe} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        'python "$ROBUSTLENS/scripts/generate_samples.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --weights {input.weights:q} --samples {output.samples:q}"
        " --certificate {output.certificate:q}"


rule generate_grid:
    input:
        sheet=dataset_sheet,
        weights=sampled_weights,
        features=feature_source,
        reference="results/{scale}/generation/{dataset}/reference.npz",
    output:
        settings="results/{scale}/generation/{dataset}/{recipe}/seed{seed}/grid.parquet",
        chains="results/{scale}/generation/{dataset}/{recipe}/seed{seed}/grid-chains.parquet",
        images="results/{scale}/generation/{dataset}/{recipe}/seed{seed}/grid.npz",
        certificate="results/{scale}/provenance/generation/{dataset}/{recipe}/seed{seed}/grid.json",
    log:
        "results/{scale}/logs/generate_grid/{dataset}/{recipe}/seed{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/generate_grid/{dataset}/{recipe}/seed{seed}.tsv"
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(240),
        gpu=gpus(),
    params:
        spec=network_spec("generate_grid", specs.grid),
        weights=feature_weights,
        data=dataset_folder,
    message:
        "Generate images with many settings from {wildcards.recipe} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        'python "$ROBUSTLENS/scripts/generate_grid.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --weights {input.weights:q} --feature_weights {params.weights:q}"
        " --reference {input.reference:q} --settings {output.settings:q} --chains {output.chains:q}"
        " --images {output.images:q} --certificate {output.certificate:q}"


rule reference_features:
    input:
        sheet=dataset_sheet,
        weights=feature_source,
    output:
        reference="results/{scale}/generation/{dataset}/reference.npz",
        certificate="results/{scale}/provenance/generation/{dataset}/reference.json",
    log:
        "results/{scale}/logs/reference_features/{dataset}.log",
    benchmark:
        "results/{scale}/benchmarks/reference_features/{dataset}.tsv"
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(60),
        gpu=gpus(),
    params:
        spec=network_spec("reference_features", specs.features),
        weights=feature_weights,
        data=dataset_folder,
    message:
        "Compute the features of the reference images of {wildcards.dataset}"
    shell:
        'python "$ROBUSTLENS/scripts/reference_features.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --weights {params.weights:q} --reference {output.reference:q}"
        " --certificate {output.certificate:q}"


rule score_samples:
    input:
        sheet=dataset_sheet,
        weights=feature_source,
        reference="results/{scale}/generation/{dataset}/reference.npz",
        samples="results/{scale}/generation/{dataset}/{recipe}/seed{seed}/samples.npz",
    output:
        scores="results/{scale}/generation/{dataset}/{recipe}/seed{seed}/scores.json",
        certificate="results/{scale}/provenance/generation/{dataset}/{recipe}/seed{seed}/scores.json",
    log:
        "results/{scale}/logs/score/{dataset}/{recipe}/seed{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/score/{dataset}/{recipe}/seed{seed}.tsv"
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(60),
        gpu=gpus(),
    params:
        spec=network_spec("score_samples", specs.features),
        weights=feature_weights,
        data=dataset_folder,
    message:
        "Score the images from {wildcards.recipe} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        'python "$ROBUSTLENS/scripts/score_samples.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --weights {params.weights:q} --reference {input.reference:q}"
        " --samples {input.samples:q} --scores {output.scores:q} --certificate {output.certificate:q}"


rule score_real_images:
    input:
        sheet=dataset_sheet,
        weights=feature_source,
        reference="results/{scale}/generation/{dataset}/reference.npz",
    output:
        scores="results/{scale}/generation/{dataset}/real-images.json",
        certificate="results/{scale}/provenance/generation/{dataset}/real-images.json",
    log:
        "results/{scale}/logs/score/{dataset}/real-images.log",
    benchmark:
        "results/{scale}/benchmarks/score/{dataset}/real-images.tsv"
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(60),
        gpu=gpus(),
    params:
        spec=network_spec("score_samples", specs.features),
        weights=feature_weights,
        data=dataset_folder,
    message:
        "Score real images of {wildcards.dataset}, for comparison"
    shell:
        'python "$ROBUSTLENS/scripts/score_samples.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --weights {params.weights:q} --reference {input.reference:q}"
        " --scores {output.scores:q} --certificate {output.certificate:q}"
