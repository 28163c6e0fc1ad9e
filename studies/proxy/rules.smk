# REQUIRED INPUTS   results/<scale>/generators/<dataset>/<generator>/{images,labels}.npy of the generator that the recipe mixes
#                   in, the prepared dataset, and the reference features with their network
# OUTPUTS           results/<scale>/closeness/<dataset>/<recipe>/seed<k>/closeness.parquet: how close the generated images are
#                   to real ones, one row per measure


include: "specs.smk"


FILES["closeness"] = Kind("closeness/{dataset}/{recipe}/seed{seed}/closeness.parquet")
PLANNED["measure_closeness"] = "studies.proxy.planning.measure_closeness"


rule measure_closeness:
    input:
        sheet=dataset_sheet,
        pool=mixed_pool,
        weights=feature_source,
        reference="results/{scale}/generation/{dataset}/reference.npz",
    output:
        table="results/{scale}/closeness/{dataset}/{recipe}/seed{seed}/closeness.parquet",
        certificate="results/{scale}/provenance/closeness/{dataset}/{recipe}/seed{seed}/closeness.json",
    log:
        "results/{scale}/logs/measure_closeness/{dataset}/{recipe}/seed{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/measure_closeness/{dataset}/{recipe}/seed{seed}.tsv"
    conda:
        "../../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(60),
        gpu=gpus(),
    params:
        spec=measure_closeness_spec,
        weights=feature_weights,
        data=dataset_folder,
    message:
        "Measure how close the images of {wildcards.recipe} are to those of {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        'python "$ROBUSTLENS/studies/proxy/scripts/measure_closeness.py" --spec {params.spec:q} --log {log:q}'
        " --threads {threads} --data {params.data:q} --pool {input.pool:q} --weights {params.weights:q}"
        " --reference {input.reference:q} --table {output.table:q} --certificate {output.certificate:q}"


# REQUIRED INPUTS   the same pool, and the prepared dataset
# OUTPUTS           results/<scale>/discrimination/<dataset>/<recipe>/seed<k>/curve.parquet: how often discriminators tell the
#                   generated images from real test images, for each radius and each number of training steps
#                   results/<scale>/discrimination/<dataset>/<recipe>/seed<k>/validation.parquet: of all discriminators at all
#                   radii, by which they were chosen

FILES["discrimination"] = Kind("discrimination/{dataset}/{recipe}/seed{seed}/curve.parquet")
PLANNED["discriminate"] = "studies.proxy.planning.discriminate"


rule discriminate:
    input:
        sheet=dataset_sheet,
        pool=mixed_pool,
    output:
        curve="results/{scale}/discrimination/{dataset}/{recipe}/seed{seed}/curve.parquet",
        validation="results/{scale}/discrimination/{dataset}/{recipe}/seed{seed}/validation.parquet",
        certificate="results/{scale}/provenance/discrimination/{dataset}/{recipe}/seed{seed}/curve.json",
    log:
        "results/{scale}/logs/discriminate/{dataset}/{recipe}/seed{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/discriminate/{dataset}/{recipe}/seed{seed}.tsv"
    conda:
        "../../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(720),
        gpu=gpus(),
    params:
        spec=discriminate_spec,
        data=dataset_folder,
        state="results/{scale}/state",
    message:
        "Tell the images of {wildcards.recipe} from those of {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        'python "$ROBUSTLENS/studies/proxy/scripts/discriminate.py" --spec {params.spec:q} --log {log:q}'
        " --threads {threads} --data {params.data:q} --pool {input.pool:q} --state {params.state:q}"
        " --curve {output.curve:q} --validation {output.validation:q} --certificate {output.certificate:q}"
