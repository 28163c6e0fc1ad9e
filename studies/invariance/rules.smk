# REQUIRED INPUTS   results/<scale>/runs/<dataset>/<recipe>/seed<k>/{best,checkpoints}.safetensors and the prepared dataset
# OUTPUTS           results/<scale>/features/<dataset>/<recipe>/seed<k>/<threat>/<suite>.parquet: for each test image how far
#                   its features are from those of what PGD-20 makes of it
#                   results/<scale>/features/<dataset>/<recipe>/seed<k>/<threat>/<suite>/channels.parquet: mean and variance of
#                   each channel of what each BatchNorm is given, of both kinds of images, and its running statistics


include: "specs.smk"


FILES["features"] = Kind("features/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.parquet")
FILES["channels"] = Kind("features/{dataset}/{recipe}/seed{seed}/{threat}/{suite}/channels.parquet")
PLANNED["compare_features"] = "studies.invariance.planning.compare_features"


rule compare_features:
    input:
        sheet=dataset_sheet,
        weights="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/best.safetensors",
        checkpoints="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/checkpoints.safetensors",
    output:
        table="results/{scale}/features/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.parquet",
        channels="results/{scale}/features/{dataset}/{recipe}/seed{seed}/{threat}/{suite}/channels.parquet",
        certificate="results/{scale}/provenance/features/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.json",
    log:
        "results/{scale}/logs/compare_features/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.log",
    benchmark:
        "results/{scale}/benchmarks/compare_features/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.tsv"
    conda:
        "../../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(60),
        gpu=gpus(),
    params:
        spec=compare_features_spec,
        data=dataset_folder,
    message:
        "Compare features of {wildcards.recipe} on {wildcards.dataset}, seed {wildcards.seed}: {wildcards.threat}"
    shell:
        'python "$ROBUSTLENS/studies/invariance/scripts/compare_features.py" --spec {params.spec:q} --log {log:q}'
        " --threads {threads} --data {params.data:q} --weights {input.weights:q}"
        " --checkpoints {input.checkpoints:q} --table {output.table:q} --channels {output.channels:q}"
        " --certificate {output.certificate:q}"
