# REQUIRED INPUTS   the tables, figures and claims of every study
# OUTPUTS           results/<scale>/report.html, results/<scale>/report.tex and, where a LaTeX engine is installed,
#                   results/<scale>/report.pdf; results/<scale>/front.{pdf,png}, the figure of its first page;
#                   results/<scale>/claims.{tex,csv,html},
#                   results/<scale>/provenance/configuration.json


localrules:
    save_configuration,
    collect_claims,
    make_report,
    compile_report,


rule save_configuration:
    output:
        "results/{scale}/provenance/configuration.json",
    log:
        "results/{scale}/logs/configuration.log",
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        configuration=lambda wildcards: json.dumps(CONFIG, indent=2),
    message:
        "Save the complete configuration of this scale"
    shell:
        "printf '%s\\n' {params.configuration:q} > {output:q} 2> {log:q}"


rule collect_claims:
    input:
        tex=all_files("claims", ".tex"),
        csv=all_files("claims", ".csv"),
        html=all_files("claims", ".html"),
    output:
        tex="results/{scale}/claims.tex",
        csv="results/{scale}/claims.csv",
        html="results/{scale}/claims.html",
        certificate="results/{scale}/provenance/claims.json",
    log:
        "results/{scale}/logs/claims.log",
    benchmark:
        "results/{scale}/benchmarks/claims.tsv"
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        spec=lambda wildcards: job_spec("collect_claims"),
    message:
        "Collect the claims of all studies"
    shell:
        'python "$ROBUSTLENS/scripts/collect_claims.py" --spec {params.spec:q} --log {log:q}'
        " --studies_tex {input.tex:q} --studies_csv {input.csv:q} --studies_html {input.html:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule make_report:
    input:
        sheets=dataset_sheets,
        tables=all_files("tables", ".tex"),
        beside_tables=all_files("tables", ".html", ".csv"),
        figures=all_files("figures", ".png"),
        animations=all_files("animations", ".gif"),
        claims=all_files("claims", ".csv"),
        beside_claims=all_files("claims", ".tex", ".html", ".png"),
        certificates=all_certificates,
        collected="results/{scale}/claims.csv",
        references=repository_file("docs/references.bib"),
        templates=report_templates(),
    output:
        html=report("results/{scale}/report.html", category="report"),
        tex="results/{scale}/report.tex",
        picture="results/{scale}/front.png",
        picture_pdf="results/{scale}/front.pdf",
        certificate="results/{scale}/provenance/report.json",
    log:
        "results/{scale}/logs/report.log",
    benchmark:
        "results/{scale}/benchmarks/report.tsv"
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        spec=report_spec,
        provenance="results/{scale}/provenance",
    message:
        "Put the report together"
    shell:
        'python "$ROBUSTLENS/scripts/make_report.py" --spec {params.spec:q} --log {log:q} --sheets {input.sheets:q}'
        " --tables {input.tables:q} --figures {input.figures:q} --animations {input.animations:q}"
        " --claims {input.claims:q} --collected {input.collected:q} --provenance {params.provenance:q}"
        " --references {input.references:q} --picture {output.picture:q}"
        " --html {output.html:q} --tex {output.tex:q} --certificate {output.certificate:q}"


rule compile_report:
    input:
        tex="results/{scale}/report.tex",
        picture="results/{scale}/front.pdf",
        figures=all_files("figures", ".pdf"),
        claims=all_files("claims", ".pdf"),
    output:
        pdf=report("results/{scale}/report.pdf", category="report"),
        certificate="results/{scale}/provenance/report-pdf.json",
    log:
        "results/{scale}/logs/report-pdf.log",
    benchmark:
        "results/{scale}/benchmarks/report-pdf.tsv"
    conda:
        "../envs/robustlens.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        spec=lambda wildcards: job_spec("compile_report"),
    message:
        "Typeset the report"
    shell:
        'python "$ROBUSTLENS/scripts/compile_report.py" --spec {params.spec:q} --log {log:q} --tex {input.tex:q}'
        " --figures {input.picture:q} {input.figures:q} {input.claims:q} --pdf {output.pdf:q} --certificate {output.certificate:q}"
