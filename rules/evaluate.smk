# REQUIRED INPUTS   results/<scale>/runs/<dataset>/<recipe>/seed<k>/{best,last}.safetensors and the prepared dataset
# OUTPUTS           results/<scale>/evaluations/<dataset>/<recipe>/seed<k>/<suite>.parquet: a row an (attack, test image)
#
# What an evaluation of hours has behind it is saved in results/<scale>/state/evaluations/, as a training's is (train.smk).


rule evaluate:
    input:
        sheet="results/{scale}/data/{dataset}/sheet.json",
        weights=evaluated_checkpoints,
    output:
        table="results/{scale}/evaluations/{dataset}/{recipe}/seed{seed}/{suite}.parquet",
        certificate="results/{scale}/provenance/evaluations/{dataset}/{recipe}/seed{seed}/{suite}.json",
    log:
        "results/{scale}/logs/evaluate/{dataset}/{recipe}/seed{seed}/{suite}.log",
    benchmark:
        "results/{scale}/benchmarks/evaluate/{dataset}/{recipe}/seed{seed}/{suite}.tsv"
    priority: first_results
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        gpu=gpus(),
    params:
        spec=evaluate_spec,
        data=subpath(input.sheet, parent=True),
        state="results/{scale}/state/evaluations",
    message:
        "Evaluate {wildcards.recipe} on {wildcards.dataset}, seed {wildcards.seed}: {wildcards.suite}"
    shell:
        'python "$ROBUSTLENS/scripts/evaluate.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --weights {input.weights:q} --state {params.state:q}"
        " --table {output.table:q} --certificate {output.certificate:q}"
