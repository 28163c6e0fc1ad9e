# REQUIRED INPUTS   results/<scale>/runs/<dataset>/<recipe>/seed<k>/{best,last}.safetensors and the prepared dataset
# OUTPUTS           results/<scale>/evaluations/<dataset>/<recipe>/seed<k>/<threat>/<suite>.json: where the evaluations of a
#                   suite are, beside it: <checkpoint>/<attack>[.<images>].parquet, one row per test image
#
# The evaluations are not outputs, because Snakemake deletes outputs before a job starts, and those that another suite or an
# earlier run of this job has made are used again. Their certificates say what they were made from. What a long evaluation has
# finished so far is saved in results/<scale>/state/evaluations/, as a training's state is (train.smk).
#
#                   results/<scale>/shards/<dataset>/<recipe>/seed<k>/<threat>/<checkpoint>/<attack>.<images>.<i>-of-<n>.parquet:
#                   the batches of one of n jobs, for an attack with several `shards`

FILES["evaluations"] = Kind("evaluations/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.json", models=True)
PLANNED["evaluate"] = "robustlens.planning.stages.evaluate"
PLANNED["evaluate_shard"] = "robustlens.planning.stages.evaluate_shard"

# One rule for the jobs of single seeds and, at a scale whose `seeds_share_jobs`, one for those of each set of seeds that is
# evaluated together.
for SEEDS in [(), *SELECTION.shared_evaluations]:

    rule:
        name:
            "_".join(["evaluate", *(["seeds", *map(str, SEEDS)] if SEEDS else [])])
        input:
            sheet=dataset_sheet,
            weights=evaluated_checkpoints(SEEDS),
            shards=evaluated_shards(SEEDS),
        output:
            index=of_each_seed(SEEDS, "results/{scale}/evaluations/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.json"),
            certificate=of_each_seed(
                SEEDS, "results/{scale}/provenance/evaluations/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.json"
            ),
        log:
            f"results/{{scale}}/logs/evaluate/{{dataset}}/{{recipe}}/{place_of_job(SEEDS)}/{{threat}}/{{suite}}.log",
        benchmark:
            f"results/{{scale}}/benchmarks/evaluate/{{dataset}}/{{recipe}}/{place_of_job(SEEDS)}/{{threat}}/{{suite}}.tsv"
        wildcard_constraints:
            dataset=evaluated_together(SEEDS),
        priority: evaluation_priority(SEEDS)
        conda:
            "../envs/robustlens.yaml"
        threads: 1
        resources:
            mem_mb=memory(1500),
            runtime=minutes(480),
            gpu=gpus(),
        params:
            spec=evaluate_spec(SEEDS),
            data=dataset_folder,
            state="results/{scale}/state/evaluations",
        message:
            f"Evaluate {{wildcards.recipe}} on {{wildcards.dataset}}, {seeds_in_words(SEEDS)}: "
            "{wildcards.suite}, {wildcards.threat}"
        shell:
            'python "$ROBUSTLENS/scripts/evaluate.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
            " --data {params.data:q} --weights {input.weights:q} --shards {input.shards:q} --state {params.state:q}"
            " --index {output.index:q} --certificate {output.certificate:q}"


rule evaluate_shard:
    input:
        sheet=dataset_sheet,
        weights=shard_weights,
    output:
        batches="results/{scale}/shards/{dataset}/{recipe}/seed{seed}/{threat}/{checkpoint}/{attack}.{images}.{shard}.parquet",
        certificate="results/{scale}/provenance/shards/{dataset}/{recipe}/seed{seed}/{threat}/{checkpoint}/{attack}.{images}.{shard}.json",
    log:
        "results/{scale}/logs/evaluate_shard/{dataset}/{recipe}/seed{seed}/{threat}/{checkpoint}/{attack}.{images}.{shard}.log",
    benchmark:
        "results/{scale}/benchmarks/evaluate_shard/{dataset}/{recipe}/seed{seed}/{threat}/{checkpoint}/{attack}.{images}.{shard}.tsv"
    wildcard_constraints:
        checkpoint="[a-z0-9-]+",
        attack="[a-z0-9-]+",
        images="all|[1-9][0-9]*",
        shard="[1-9][0-9]*-of-[1-9][0-9]*",
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(480),
        gpu=gpus(),
    params:
        spec=shard_spec,
        data=dataset_folder,
        evaluations="results/{scale}/evaluations/{dataset}/{recipe}/seed{seed}/{threat}",
        certificates="results/{scale}/provenance/evaluations/{dataset}/{recipe}/seed{seed}/{threat}",
        state="results/{scale}/state/evaluations",
    message:
        "Attack a share of the images of {wildcards.recipe} on {wildcards.dataset}, seed {wildcards.seed}: "
        "{wildcards.attack}, {wildcards.shard}"
    shell:
        'python "$ROBUSTLENS/scripts/evaluate_shard.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --weights {input.weights:q} --evaluations {params.evaluations:q}"
        " --certificates {params.certificates:q}"
        " --state {params.state:q} --batches {output.batches:q} --certificate {output.certificate:q}"
