# REQUIRED INPUTS   what the study declares (studies/<study>/study.py): histories, energies, evaluations and the like of its runs
# OUTPUTS           results/<scale>/studies/<study>/figures/<name>.{pdf,png} and, where a figure moves, <name>.gif
#
# Every one is a pure function of those files: seconds, no GPU.


localrules:
    make_figure,
    make_animation,


rule make_figure:
    input:
        unpack(item_inputs),
    output:
        pdf="results/{scale}/studies/{study}/figures/{figure}.pdf",
        png=report(
            "results/{scale}/studies/{study}/figures/{figure}.png",
            category="{study}",
            subcategory="figures",
            labels=figure_labels,
        ),
        certificate="results/{scale}/provenance/studies/{study}/figures/{figure}.json",
    log:
        "results/{scale}/logs/studies/{study}/figures/{figure}.log",
    benchmark:
        "results/{scale}/benchmarks/studies/{study}/figures/{figure}.tsv"
    priority: first_figures
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        spec=item_spec("make_figure"),
        inputs=named_inputs,
    message:
        "Figure of {wildcards.study}: {WHAT:figures/{wildcards.study}/{wildcards.figure}}"
    shell:
        'python "$ROBUSTLENS/scripts/make_figure.py" --spec {params.spec:q} --log {log:q} {params.inputs:q}'
        " --pdf {output.pdf:q} --png {output.png:q} --certificate {output.certificate:q}"


rule make_animation:
    input:
        unpack(animation_inputs),
    output:
        gif=report(
            "results/{scale}/studies/{study}/figures/{figure}.gif",
            category="{study}",
            subcategory="figures",
            labels=figure_labels,
        ),
        certificate="results/{scale}/provenance/studies/{study}/figures/{figure}-gif.json",
    log:
        "results/{scale}/logs/studies/{study}/figures/{figure}-gif.log",
    benchmark:
        "results/{scale}/benchmarks/studies/{study}/figures/{figure}-gif.tsv"
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        spec=item_spec("make_animation"),
        inputs=named_inputs,
    message:
        "Animation of {wildcards.study}: {WHAT:figures/{wildcards.study}/{wildcards.figure}}"
    shell:
        'python "$ROBUSTLENS/scripts/make_animation.py" --spec {params.spec:q} --log {log:q} {params.inputs:q}'
        " --gif {output.gif:q} --certificate {output.certificate:q}"
