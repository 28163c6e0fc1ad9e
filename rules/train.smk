# REQUIRED INPUTS   results/<scale>/data/<dataset>/sheet.json and its arrays; for some recipes weights of other runs,
#                   energies measured by one, or a generator's images (generators.smk)
# OUTPUTS           results/<scale>/runs/<dataset>/<recipe>/seed<k>/{best,last,checkpoints}.safetensors
#                   results/<scale>/runs/<dataset>/<recipe>/seed<k>/{history,energies,statistics,timing}.parquet
#                   results/<scale>/energies/<dataset>/<recipe>/seed<k>/training-images.parquet for a recipe by which
#                   another one chooses the images that it leaves out
#                   results/<scale>/runs/<dataset>/<model>/seed0/published.safetensors for a third-party model
#
# The training state is not an output, because Snakemake deletes outputs before a job starts and after it fails. It is
# in results/<scale>/state/, in a folder whose name holds a digest of everything that defines the run.

FILES["history"] = Kind("runs/{dataset}/{recipe}/seed{seed}/history.parquet")
FILES["statistics"] = Kind("runs/{dataset}/{recipe}/seed{seed}/statistics.parquet")
FILES["energies"] = Kind("runs/{dataset}/{recipe}/seed{seed}/energies.parquet")
FILES["training-images"] = Kind("energies/{dataset}/{recipe}/seed{seed}/training-images.parquet")
PLANNED["train"] = "robustlens.planning.stages.train"
PLANNED["measure_energies"] = "robustlens.planning.stages.measure_energies"
PLANNED["import_model"] = "robustlens.planning.stages.import_model"


rule train:
    input:
        sheet=dataset_sheet,
        measured=measured_energies,
        others=weights_of_others,
        pool=mixed_pool,
    output:
        best="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/best.safetensors",
        last="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/last.safetensors",
        checkpoints="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/checkpoints.safetensors",
        history="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/history.parquet",
        energies="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/energies.parquet",
        statistics="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/statistics.parquet",
        timing="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/timing.parquet",
        certificate="results/{scale}/provenance/runs/{dataset}/{recipe}/seed{seed}.json",
    log:
        "results/{scale}/logs/train/{dataset}/{recipe}/seed{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/train/{dataset}/{recipe}/seed{seed}.tsv"
    wildcard_constraints:
        recipe=one_of(CONFIG["recipes"]),
    priority: training_priority
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(720),
        gpu=gpus(),
        processes=1,
    params:
        spec=train_spec,
        data=dataset_folder,
        run=subpath(output.best, parent=True),
        state="results/{scale}/state",
    message:
        "Train {wildcards.recipe} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        'python "$ROBUSTLENS/scripts/train.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --processes {resources.processes} --data {params.data:q} --measured {input.measured:q}"
        " --others {input.others:q} --pool {input.pool:q} --state {params.state:q} --run {params.run:q}"
        " --certificate {output.certificate:q}"


rule measure_energies:
    input:
        sheet=dataset_sheet,
        weights="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/best.safetensors",
    output:
        table="results/{scale}/energies/{dataset}/{recipe}/seed{seed}/training-images.parquet",
        certificate="results/{scale}/provenance/energies/{dataset}/{recipe}/seed{seed}/training-images.json",
    log:
        "results/{scale}/logs/measure_energies/{dataset}/{recipe}/seed{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/measure_energies/{dataset}/{recipe}/seed{seed}.tsv"
    priority: SOON
    conda:
        "../envs/robustlens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(30),
        gpu=gpus(),
    params:
        spec=network_spec("measure_energies", specs.measured),
        data=dataset_folder,
    message:
        "Measure the energies of the training images of {wildcards.dataset}: {wildcards.recipe}, seed {wildcards.seed}"
    shell:
        'python "$ROBUSTLENS/scripts/measure_energies.py" --spec {params.spec:q} --log {log:q} --threads {threads}'
        " --data {params.data:q} --weights {input.weights:q} --table {output.table:q}"
        " --certificate {output.certificate:q}"


rule import_model:
    input:
        receipt=model_receipt,
        sheet=dataset_sheet,
    output:
        weights="results/{scale}/runs/{dataset}/{model}/seed0/published.safetensors",
        certificate="results/{scale}/provenance/runs/{dataset}/{model}/seed0.json",
    log:
        "results/{scale}/logs/import_model/{dataset}/{model}.log",
    wildcard_constraints:
        model=one_of(CONFIG["models"]),
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(3000),
        runtime=minutes(30),
    params:
        spec=network_spec("import_model", specs.imported),
        downloads="results/downloads/{model}",
        data=dataset_folder,
    message:
        "Read the published weights of {wildcards.model}"
    shell:
        'python "$ROBUSTLENS/scripts/import_model.py" --spec {params.spec:q} --log {log:q}'
        " --downloads {params.downloads:q} --data {params.data:q} --weights {output.weights:q}"
        " --certificate {output.certificate:q}"
