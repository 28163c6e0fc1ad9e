# REQUIRED INPUTS   results/<scale>/runs/<dataset>/<recipe>/seed<k>/{best,last}.safetensors and the prepared dataset
# OUTPUTS           results/<scale>/certified/<dataset>/<recipe>/seed<k>/<certification>.parquet: one row per test image
#                   results/<scale>/certified/<dataset>/<recipe>/seed<k>/<certification>.<i>-of-<n>.parquet: the same, of one
#                   of n jobs, for a certification with several `shards`
#
# What a job has finished so far is saved in results/<scale>/state/certified/, as that of an evaluation is (evaluate.smk).

FILES["certified"] = Kind("certified/{dataset}/{recipe}/seed{seed}/{certification}.parquet", models=True)
PLANNED["certify"] = "robustlens.planning.stages.certify"


localrules:
    join_certified,


rule certify:
    input:
        sheet=dataset_sheet,
        weights=certified_weights,
    output:
        table="results/{scale}/certified/{dataset}/{recipe}/seed{seed}/{part}.parquet",
        certificate="results/{scale}/provenance/certified/{dataset}/{recipe}/seed{seed}/{part}.json",
    log:
        "results/{scale}/logs/certify/{dataset}/{recipe}/seed{seed}/{part}.log",
    benchmark:
        "results/{scale}/benchmarks/certify/{dataset}/{recipe}/seed{seed}/{part}.tsv"
    wildcard_constraints:
        part=one_of(CERTIFICATION_PARTS),
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(480),
        gpu=gpus(),
    params:
        spec=certify_spec,
        data=dataset_folder,
        state="results/{scale}/state/certified",
    message:
        "Certify {wildcards.recipe} on {wildcards.dataset}, seed {wildcards.seed}: {wildcards.part}"
    shell:
        'python "$ROBUSTLENS/scripts/certify.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --weights {input.weights:q} --state {params.state:q} --table {output.table:q}"
        " --certificate {output.certificate:q}"


rule join_certified:
    input:
        parts=certified_parts,
    output:
        table="results/{scale}/certified/{dataset}/{recipe}/seed{seed}/{certification}.parquet",
        certificate="results/{scale}/provenance/certified/{dataset}/{recipe}/seed{seed}/{certification}.json",
    log:
        "results/{scale}/logs/join_certified/{dataset}/{recipe}/seed{seed}/{certification}.log",
    wildcard_constraints:
        certification=one_of(name for name, _, shards in CERTIFICATION_PARTS.values() if shards > 1),
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(1500),
        runtime=minutes(30),
    params:
        spec=job_spec("join_certified"),
    message:
        "Join {wildcards.certification} of {wildcards.recipe} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        'python "$ROBUSTLENS/scripts/join_certified.py" --spec {params.spec:q} --log {log:q}'
        " --parts {input.parts:q} --table {output.table:q} --certificate {output.certificate:q}"
