# REQUIRED INPUTS   results/<scale>/data/<dataset>/sheet.json and, of files that are fetched or verified,
#                   results/downloads/<generator>/receipt.json; a folder of images lies there by hand
# OUTPUTS           results/<scale>/generators/<dataset>/<generator>/{images,labels}.npy, for the prepared dataset's name:
#                   the same files as of a generator that is fitted (generators.smk)

PLANNED["import_pool"] = "robustlens.planning.stages.import_pool"


rule import_pool:
    input:
        sheet=dataset_sheet,
        receipt=sample_set_receipt,
    output:
        images="results/{scale}/generators/{dataset}/{generator}/images.npy",
        labels="results/{scale}/generators/{dataset}/{generator}/labels.npy",
        certificate="results/{scale}/provenance/generators/{dataset}/{generator}/pool.json",
    log:
        "results/{scale}/logs/import_pool/{dataset}/{generator}.log",
    benchmark:
        "results/{scale}/benchmarks/import_pool/{dataset}/{generator}.tsv"
    wildcard_constraints:
        dataset=one_of(prepared_datasets()),
        generator=one_of(configuration.published_sets(CONFIG)),
    priority: SOON
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(240),
    params:
        spec=import_spec,
        data=dataset_folder,
        downloads=sample_set_downloads,
        folder=subpath(output.images, parent=True),
    message:
        "Take images of {wildcards.dataset} from the published set {wildcards.generator}"
    shell:
        'python "$ROBUSTLENS/scripts/import_pool.py" --spec {params.spec:q} --log {log:q}'
        " --data {params.data:q} --downloads {params.downloads:q} --folder {params.folder:q}"
        " --certificate {output.certificate:q}"
