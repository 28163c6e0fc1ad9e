# REQUIRED INPUTS   what the study declares (studies/<study>/study.py): histories, evaluations, scores and the like of its runs
# OUTPUTS           results/<scale>/studies/<study>/tables/<name>.{tex,csv,html}
#                   results/<scale>/studies/<study>/claims.{tex,csv,html}
#
# Every one is a pure function of those files: seconds, no GPU.


localrules:
    make_table,
    judge_claims,


rule make_table:
    input:
        unpack(item_inputs),
    output:
        tex="results/{scale}/studies/{study}/tables/{table}.tex",
        csv="results/{scale}/studies/{study}/tables/{table}.csv",
        html="results/{scale}/studies/{study}/tables/{table}.html",
        certificate="results/{scale}/provenance/studies/{study}/tables/{table}.json",
    log:
        "results/{scale}/logs/studies/{study}/tables/{table}.log",
    benchmark:
        "results/{scale}/benchmarks/studies/{study}/tables/{table}.tsv"
    priority: first_tables
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        spec=item_spec("make_table"),
        inputs=named_inputs,
    message:
        "Table of {wildcards.study}: {WHAT:tables/{wildcards.study}/{wildcards.table}}"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q} {params.inputs:q}'
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule judge_claims:
    input:
        unpack(item_inputs),
    output:
        tex="results/{scale}/studies/{study}/claims.tex",
        csv="results/{scale}/studies/{study}/claims.csv",
        html="results/{scale}/studies/{study}/claims.html",
        pdf="results/{scale}/studies/{study}/claims.pdf",
        png="results/{scale}/studies/{study}/claims.png",
        certificate="results/{scale}/provenance/studies/{study}/claims.json",
    log:
        "results/{scale}/logs/studies/{study}/claims.log",
    benchmark:
        "results/{scale}/benchmarks/studies/{study}/claims.tsv"
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        spec=item_spec("judge_claims"),
        inputs=named_inputs,
    message:
        "Claims of {wildcards.study}: {WHAT:claims/{wildcards.study}/claims}"
    shell:
        'python "$ROBUSTLENS/scripts/judge_claims.py" --spec {params.spec:q} --log {log:q} {params.inputs:q}'
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --pdf {output.pdf:q} --png {output.png:q}"
        " --certificate {output.certificate:q}"
