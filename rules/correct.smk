# REQUIRED INPUTS   results/<scale>/runs/<dataset>/<recipe>/seed<k>/best.safetensors and the prepared dataset
# OUTPUTS           results/<scale>/runs/<dataset>/<recipe>/seed<k>/corrected.safetensors: with all `corrections`, each as
#                   best-<correction>.<tensor>
#                   results/<scale>/runs/<dataset>/<recipe>/seed<k>/corrections.parquet: what their strengths gave on the
#                   validation images

FILES["corrections"] = Kind("runs/{dataset}/{recipe}/seed{seed}/corrections.parquet")
PLANNED["correct"] = "robustlens.planning.stages.correct"


rule correct:
    input:
        sheet=dataset_sheet,
        weights="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/best.safetensors",
    output:
        corrected="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/corrected.safetensors",
        table="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/corrections.parquet",
        certificate="results/{scale}/provenance/corrections/{dataset}/{recipe}/seed{seed}.json",
    log:
        "results/{scale}/logs/correct/{dataset}/{recipe}/seed{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/correct/{dataset}/{recipe}/seed{seed}.tsv"
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(60),
        gpu=gpus(),
    params:
        spec=correct_spec,
        data=dataset_folder,
    message:
        "Correct the last layer of {wildcards.recipe} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        'python "$ROBUSTLENS/scripts/correct.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --weights {input.weights:q} --corrected {output.corrected:q} --table {output.table:q}"
        " --certificate {output.certificate:q}"
