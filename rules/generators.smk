# REQUIRED INPUTS   results/<scale>/data/<dataset>/sheet.json and its arrays, for the prepared dataset's name
# OUTPUTS           results/<scale>/generators/<dataset>/<generator>/fitted.safetensors

PLANNED["fit_generator"] = "robustlens.planning.stages.fit_generator"


rule fit_generator:
    input:
        sheet=dataset_sheet,
    output:
        fitted="results/{scale}/generators/{dataset}/{generator}/fitted.safetensors",
        certificate="results/{scale}/provenance/generators/{dataset}/{generator}/fitted.json",
    log:
        "results/{scale}/logs/fit_generator/{dataset}/{generator}.log",
    benchmark:
        "results/{scale}/benchmarks/fit_generator/{dataset}/{generator}.tsv"
    wildcard_constraints:
        dataset=one_of(prepared_datasets()),
        generator=none_of(generators_without_family()),
    priority: SOON
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(720),
        gpu=gpus(),
    params:
        spec=fit_spec,
        data=dataset_folder,
        state="results/{scale}/state",
    message:
        "Fit {wildcards.generator} to the training images of {wildcards.dataset}"
    shell:
        'python "$ROBUSTLENS/scripts/fit_generator.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --state {params.state:q} --fitted {output.fitted:q}"
        " --certificate {output.certificate:q}"


# REQUIRED INPUTS   the fitted generator and, for one without classes, the weights of the run that labels its images
# OUTPUTS           results/<scale>/generators/<dataset>/<generator>/{images,labels}.npy

FILES["pool"] = Kind("generators/{prepared}/{generator}/images.npy")  # its labels lie beside it
PLANNED["generate_pool"] = "robustlens.planning.stages.generate_pool"


rule generate_pool:
    input:
        sheet=dataset_sheet,
        fitted=fitted_generator,
        weights=labelling_weights,
    output:
        images="results/{scale}/generators/{dataset}/{generator}/images.npy",
        labels="results/{scale}/generators/{dataset}/{generator}/labels.npy",
        certificate="results/{scale}/provenance/generators/{dataset}/{generator}/pool.json",
    log:
        "results/{scale}/logs/generate_pool/{dataset}/{generator}.log",
    benchmark:
        "results/{scale}/benchmarks/generate_pool/{dataset}/{generator}.tsv"
    wildcard_constraints:
        dataset=one_of(prepared_datasets()),
        generator=none_of(generators_without_family()),
    priority: SOON
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(240),
        gpu=gpus(),
    params:
        spec=pool_spec,
        data=dataset_folder,
        folder=subpath(output.images, parent=True),
    message:
        "Generate images of {wildcards.dataset} from {wildcards.generator}"
    shell:
        'python "$ROBUSTLENS/scripts/generate_pool.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --fitted {input.fitted:q} --weights {input.weights:q} --folder {params.folder:q}"
        " --certificate {output.certificate:q}"
