# REQUIRED INPUTS   results/<scale>/data/<dataset>/sheet.json; results/<scale>/runs/<dataset>/<recipe>/seed<k>/best.safetensors
# OUTPUTS           results/<scale>/classes/<dataset>.json: the names of the classes, and their superclasses where the
#                   dataset's catalogue entry has any


include: "specs.smk"


FILES["class-names"] = Kind("classes/{dataset}.json", models=True)
FILES["best-weights"] = Kind("runs/{dataset}/{recipe}/seed{seed}/best.safetensors")


localrules:
    name_classes,


rule name_classes:
    input:
        sheet=dataset_sheet,
    output:
        names="results/{scale}/classes/{dataset}.json",
        certificate="results/{scale}/provenance/classes/{dataset}.json",
    log:
        "results/{scale}/logs/name_classes/{dataset}.log",
    conda:
        "../../envs/robustlens.yaml"
    resources:
        mem_mb=memory(200),
        runtime=minutes(5),
    params:
        spec=class_names_spec,
    message:
        "Write down the names and superclasses of {wildcards.dataset}"
    shell:
        'python "$ROBUSTLENS/studies/classwise/scripts/name_classes.py" --spec {params.spec:q} --log {log:q}'
        " --sheet {input.sheet:q} --names {output.names:q} --certificate {output.certificate:q}"


# REQUIRED INPUTS   results/<scale>/runs/<dataset>/<recipe>/seed<k>/best.safetensors and the prepared dataset
# OUTPUTS           results/<scale>/signs/<dataset>/<recipe>/seed<k>/<threat>/<suite>.parquet: for each image and each
#                   Temperature-PGD of the suite the share of pixels where the gradient, in the precision of the
#                   network, has another sign than the attack's

FILES["other-signs"] = Kind("signs/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.parquet")
PLANNED["compare_signs"] = "studies.classwise.planning.compare_signs"


rule compare_signs:
    input:
        sheet=dataset_sheet,
        weights="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/best.safetensors",
    output:
        table="results/{scale}/signs/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.parquet",
        certificate="results/{scale}/provenance/signs/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.json",
    log:
        "results/{scale}/logs/compare_signs/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.log",
    benchmark:
        "results/{scale}/benchmarks/compare_signs/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.tsv"
    conda:
        "../../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(60),
        gpu=gpus(),
    params:
        spec=compare_signs_spec,
        data=dataset_folder,
    message:
        "Compare signs of {wildcards.recipe} on {wildcards.dataset}, seed {wildcards.seed}: {wildcards.threat}"
    shell:
        'python "$ROBUSTLENS/studies/classwise/scripts/compare_signs.py" --spec {params.spec:q} --log {log:q}'
        " --threads {threads} --data {params.data:q} --weights {input.weights:q} --table {output.table:q}"
        " --certificate {output.certificate:q}"
