# REQUIRED INPUTS   none: what there is tells what is still to do
# OUTPUTS           results/<scale>/plan.txt and plan.json, which are not outputs to Snakemake: a plan is made whenever it
#                   is asked for. `targets` makes nothing: it prints what can be asked for


localrules:
    plan,


rule plan:
    log:
        f"results/{CONFIG['scale']}/logs/plan.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=plan_spec,
        folder=f"results/{CONFIG['scale']}",
    message:
        "Plan what would run, by a dry run and timings of a few seconds"
    shell:
        'python "$ROBUSTLENS/scripts/plan.py" --spec {params.spec:q} --log {log:q}'
        " --text {params.folder:q}/plan.txt --json {params.folder:q}/plan.json"


rule targets:
    input:
        print_targets,
    message:
        "List what can be asked for; runs nothing"
