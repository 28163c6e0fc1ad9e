# REQUIRED INPUTS   results/<scale>/data/<dataset>/sheet.json and its arrays
# OUTPUTS           results/<scale>/generators/<dataset>/<generator>/{images,labels}.npy, for the prepared dataset's name

PLANNED["generate_pool"] = "robustlens.planning.stages.generate_pool"


rule generate_pool:
    input:
        sheet=dataset_sheet,
    output:
        images="results/{scale}/generators/{dataset}/{generator}/images.npy",
        labels="results/{scale}/generators/{dataset}/{generator}/labels.npy",
        certificate="results/{scale}/provenance/generators/{dataset}/{generator}.json",
    log:
        "results/{scale}/logs/generators/{dataset}/{generator}.log",
    benchmark:
        "results/{scale}/benchmarks/generators/{dataset}/{generator}.tsv"
    wildcard_constraints:
        dataset=one_of(prepared_datasets()),
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(3000),
        runtime=minutes(240),
    params:
        spec=pool_spec,
        data=dataset_folder,
        folder=subpath(output.images, parent=True),
    message:
        "Generate images of {wildcards.dataset} from {wildcards.generator}"
    shell:
        'python "$ROBUSTLENS/scripts/generate_pool.py" --spec {params.spec:q} --log {log:q}'
        " --data {params.data:q} --folder {params.folder:q} --certificate {output.certificate:q}"
