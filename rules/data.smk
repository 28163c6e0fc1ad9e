# REQUIRED INPUTS   none: the catalogue of src/robustlens/data says where each dataset comes from
# OUTPUTS           results/downloads/<name>/receipt.json, beside the archives (or weights) that it lists, or
#                   results/receipts/<name>/receipt.json, where that folder can't be written
#                   results/<scale>/data/<dataset>/sheet.json and {train,validation,test}_{images,labels,index}.npy
#
# The archives are not outputs: Snakemake deletes outputs before a job starts, and a user may have put them there by hand.
# Datasets with the same images, such as two protocols on CIFAR-10, share what is prepared under the first one's name.

FILES["dataset"] = Kind("data/{prepared}/sheet.json")  # its arrays lie beside it
PLANNED["download"] = "robustlens.planning.stages.download"
PLANNED["prepare_data"] = "robustlens.planning.stages.prepare_data"


localrules:
    download,


rule download:
    output:
        receipt="results/{place}/{download}/receipt.json",
    log:
        "results/{place}/{download}/download.log",
    wildcard_constraints:
        place="downloads|receipts",
    conda:
        "../envs/robustlens.yaml"
    resources:
        runtime=600,
    params:
        spec=download_spec,
        folder="results/downloads/{download}",
    message:
        "Fetch and verify {wildcards.download}"
    shell:
        'python "$ROBUSTLENS/scripts/download.py" --spec {params.spec:q} --log {log:q}'
        " --folder {params.folder:q} --receipt {output.receipt:q}"


rule prepare_data:
    input:
        receipt=dataset_receipt,
    output:
        arrays=expand(
            "results/{{scale}}/data/{{dataset}}/{split}_{part}.npy",
            split=["train", "validation", "test"],
            part=["images", "labels", "index"],
        ),
        sheet="results/{scale}/data/{dataset}/sheet.json",
        certificate="results/{scale}/provenance/data/{dataset}.json",
    log:
        "results/{scale}/logs/data/{dataset}.log",
    benchmark:
        "results/{scale}/benchmarks/data/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(prepared_datasets()),
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=minutes(120),
    params:
        spec=data_spec,
        folder=subpath(output.sheet, parent=True),
        downloads=dataset_downloads,
    message:
        "Prepare the dataset {wildcards.dataset}"
    shell:
        'python "$ROBUSTLENS/scripts/prepare_data.py" --spec {params.spec:q} --log {log:q}'
        " --downloads {params.downloads:q} --folder {params.folder:q} --certificate {output.certificate:q}"
