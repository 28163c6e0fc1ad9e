# REQUIRED INPUTS   results/<scale>/data/<dataset>/sheet.json with the training and validation images, for the prepared
#                   dataset's name, and the pool of the generator that images are selected from
# OUTPUTS           results/<scale>/generators/<dataset>/<generator>/{images,labels}.npy: the same files as of other
#                   generators (generators.smk)
#                   results/<scale>/generators/<dataset>/<generator>/selection.parquet: one row per image that could be
#                   selected

PLANNED["select_pool"] = "robustlens.planning.stages.select_pool"


rule select_pool:
    input:
        sheet=dataset_sheet,
        pool=pool_to_select_from,
    output:
        images="results/{scale}/generators/{dataset}/{generator}/images.npy",
        labels="results/{scale}/generators/{dataset}/{generator}/labels.npy",
        table="results/{scale}/generators/{dataset}/{generator}/selection.parquet",
        certificate="results/{scale}/provenance/generators/{dataset}/{generator}/pool.json",
    log:
        "results/{scale}/logs/select_pool/{dataset}/{generator}.log",
    benchmark:
        "results/{scale}/benchmarks/select_pool/{dataset}/{generator}.tsv"
    wildcard_constraints:
        dataset=one_of(prepared_datasets()),
        generator=one_of(configuration.selected_pools(CONFIG)),
    priority: SOON
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(240),
        gpu=gpus(),
    params:
        spec=selection_spec,
        data=dataset_folder,
        folder=subpath(output.images, parent=True),
        state="results/{scale}/state",
    message:
        "Select images of {wildcards.dataset} for {wildcards.generator}"
    shell:
        'python "$ROBUSTLENS/scripts/select_pool.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --pool {input.pool:q} --state {params.state:q} --folder {params.folder:q}"
        " --certificate {output.certificate:q}"
