# REQUIRED INPUTS   results/<scale>/data/<dataset>/sheet.json and its arrays
# OUTPUTS           results/<scale>/runs/<dataset>/<recipe>/seed<k>/{best,last}.safetensors, {history,energies,timing}.parquet
#
# The training state is not an output, because Snakemake deletes outputs before a job starts and after it fails. It is
# in results/<scale>/state/, in a folder whose name holds a digest of everything that defines the run.


rule train:
    input:
        sheet="results/{scale}/data/{dataset}/sheet.json",
    output:
        best="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/best.safetensors",
        last="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/last.safetensors",
        history="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/history.parquet",
        energies="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/energies.parquet",
        timing="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/timing.parquet",
        certificate="results/{scale}/provenance/runs/{dataset}/{recipe}/seed{seed}.json",
    log:
        "results/{scale}/logs/train/{dataset}/{recipe}/seed{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/train/{dataset}/{recipe}/seed{seed}.tsv"
    priority: first_results
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
    params:
        spec=train_spec,
        data=subpath(input.sheet, parent=True),
        run=subpath(output.best, parent=True),
        state="results/{scale}/state",
    message:
        "Train {wildcards.recipe} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        'python "$ROBUSTLENS/scripts/train.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --state {params.state:q} --run {params.run:q} --certificate {output.certificate:q}"
