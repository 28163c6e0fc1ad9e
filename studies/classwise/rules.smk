# REQUIRED INPUTS   results/<scale>/data/<dataset>/sheet.json; results/<scale>/runs/<dataset>/<recipe>/seed<k>/best.safetensors
# OUTPUTS           results/<scale>/classes/<dataset>.json: the names of the classes, and their superclasses where the
#                   dataset's catalogue entry has any

FILES["class-names"] = Kind("classes/{dataset}.json")
FILES["best-weights"] = Kind("runs/{dataset}/{recipe}/seed{seed}/best.safetensors")


def class_names_spec(wildcards):
    catalogue = configuration.entry(CONFIG["datasets"][wildcards.dataset]["reader"]["family"])
    return job_spec("studies/classwise/scripts/name_classes", superclasses=catalogue.get("superclasses", {}))


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
