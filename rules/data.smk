# REQUIRED INPUTS   none: the readers know where their data come from
# OUTPUTS           results/<scale>/data/<dataset>/sheet.json and {train,validation,test}_{images,labels,index}.npy


rule prepare_data:
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
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(1000),
    params:
        spec=data_spec,
        folder=subpath(output.sheet, parent=True),
    message:
        "Prepare the dataset {wildcards.dataset}"
    shell:
        'python "$ROBUSTLENS/scripts/prepare_data.py" --spec {params.spec:q} --log {log:q}'
        " --folder {params.folder:q} --certificate {output.certificate:q}"
