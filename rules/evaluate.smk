# REQUIRED INPUTS   results/<scale>/runs/<dataset>/<recipe>/seed<k>/{best,last}.safetensors and the prepared dataset
# OUTPUTS           results/<scale>/evaluations/<dataset>/<recipe>/seed<k>/<threat>/<suite>.json: where the evaluations of a
#                   suite are, beside it: <checkpoint>/<attack>[.<images>].parquet, one row per test image
#
# The evaluations are not outputs, because Snakemake deletes outputs before a job starts, and those that another suite or an
# earlier run of this job has made are used again. Their certificates say what they were made from. What a long evaluation has
# finished so far is saved in results/<scale>/state/evaluations/, as a training's state is (train.smk).

FILES["evaluations"] = Kind("evaluations/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.json", models=True)
PLANNED["evaluate"] = "robustlens.planning.stages.evaluate"


rule evaluate:
    input:
        sheet=dataset_sheet,
        weights=evaluated_checkpoints,
    output:
        index="results/{scale}/evaluations/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.json",
        certificate="results/{scale}/provenance/evaluations/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.json",
    log:
        "results/{scale}/logs/evaluate/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.log",
    benchmark:
        "results/{scale}/benchmarks/evaluate/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.tsv"
    priority: evaluation_priority
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(480),
        gpu=gpus(),
    params:
        spec=evaluate_spec,
        data=dataset_folder,
        folder=subpath(output.index, parent=True),
        state="results/{scale}/state/evaluations",
    message:
        "Evaluate {wildcards.recipe} on {wildcards.dataset}, seed {wildcards.seed}: {wildcards.suite}, {wildcards.threat}"
    shell:
        'python "$ROBUSTLENS/scripts/evaluate.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --weights {input.weights:q} --state {params.state:q} --folder {params.folder:q}"
        " --index {output.index:q} --certificate {output.certificate:q}"
