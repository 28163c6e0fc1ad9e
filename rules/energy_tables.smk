# REQUIRED INPUTS   histories, energies, evaluations and scores of the runs of the energy study
# OUTPUTS           results/<scale>/tables/energy-<name>.{tex,csv,html}
#
# Every one is a pure function of those files: seconds, no GPU.


localrules:
    table_robustness,
    table_differences,
    table_autoattack,
    table_phases,
    table_energies,
    table_attack_energies,
    table_generation,
    table_subsets,
    table_generation_grid,
    table_claims,


rule table_robustness:
    input:
        evaluations=evaluation_files("energy", "further"),
        published=published_file("energy"),
    output:
        tex="results/{scale}/tables/energy-robustness.tex",
        csv="results/{scale}/tables/energy-robustness.csv",
        html="results/{scale}/tables/energy-robustness.html",
        certificate="results/{scale}/provenance/tables/energy-robustness.json",
    log:
        "results/{scale}/logs/tables/energy-robustness.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_robustness"),
    message:
        "Table: clean and robust accuracy"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --evaluations {input.evaluations:q} --published_file {input.published:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_differences:
    input:
        evaluations=evaluation_files("energy", "further"),
        published=published_file("energy"),
    output:
        tex="results/{scale}/tables/energy-differences.tex",
        csv="results/{scale}/tables/energy-differences.csv",
        html="results/{scale}/tables/energy-differences.html",
        certificate="results/{scale}/provenance/tables/energy-differences.json",
    log:
        "results/{scale}/logs/tables/energy-differences.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_differences"),
    message:
        "Table: differences to TRADES"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --evaluations {input.evaluations:q} --published_file {input.published:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_autoattack:
    input:
        evaluations=all_files("energy", "evaluations", "robustness.parquet"),
    output:
        tex="results/{scale}/tables/energy-autoattack.tex",
        csv="results/{scale}/tables/energy-autoattack.csv",
        html="results/{scale}/tables/energy-autoattack.html",
        certificate="results/{scale}/provenance/tables/energy-autoattack.json",
    log:
        "results/{scale}/logs/tables/energy-autoattack.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_autoattack"),
    message:
        "Table: AutoAttack, component by component"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --evaluations {input.evaluations:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_phases:
    input:
        history=training_files("energy", "history.parquet"),
        evaluations=evaluation_files("energy", "further"),
    output:
        tex="results/{scale}/tables/energy-phases.tex",
        csv="results/{scale}/tables/energy-phases.csv",
        html="results/{scale}/tables/energy-phases.html",
        certificate="results/{scale}/provenance/tables/energy-phases.json",
    log:
        "results/{scale}/logs/tables/energy-phases.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_phases"),
    message:
        "Table: phases and overfitting"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --history {input.history:q} --evaluations {input.evaluations:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_energies:
    input:
        history=training_files("energy", "history.parquet"),
        evaluations=evaluation_files("energy", "further"),
    output:
        tex="results/{scale}/tables/energy-energies.tex",
        csv="results/{scale}/tables/energy-energies.csv",
        html="results/{scale}/tables/energy-energies.html",
        certificate="results/{scale}/provenance/tables/energy-energies.json",
    log:
        "results/{scale}/logs/tables/energy-energies.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_energies"),
    message:
        "Table: energies at the last epoch"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --history {input.history:q} --evaluations {input.evaluations:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_attack_energies:
    input:
        evaluations=all_files("energy", "evaluations", "attack-energies.parquet", "attack_energies"),
    output:
        tex="results/{scale}/tables/energy-attack-energies.tex",
        csv="results/{scale}/tables/energy-attack-energies.csv",
        html="results/{scale}/tables/energy-attack-energies.html",
        certificate="results/{scale}/provenance/tables/energy-attack-energies.json",
    log:
        "results/{scale}/logs/tables/energy-attack-energies.log",
    priority: 1  # the first table to look at
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_attack_energies"),
    message:
        "Table: energies before and after eight attacks"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --evaluations {input.evaluations:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_generation:
    input:
        scores=all_files("energy", "generation", "scores.json", "generation"),
        anchors=real_image_scores(),
        published=published_file("energy"),
    output:
        tex="results/{scale}/tables/energy-generation.tex",
        csv="results/{scale}/tables/energy-generation.csv",
        html="results/{scale}/tables/energy-generation.html",
        certificate="results/{scale}/provenance/tables/energy-generation.json",
    log:
        "results/{scale}/logs/tables/energy-generation.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_generation"),
    message:
        "Table: quality of the generated images"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --scores {input.scores:q} --anchors {input.anchors:q} --published_file {input.published:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_subsets:
    input:
        evaluations=[
            path
            for path in evaluation_files("energy", "subsets")
            if Path(path).parts[-3] in [*changed_recipes(), *CONFIG["studies"]["energy"]["subsets"]["recipes"]]
        ],
        history=[
            path
            for path in run_files("energy", "runs", "history.parquet")
            + run_files("energy", "runs", "history.parquet", "subsets")
            if Path(path).parts[-3] in [*changed_recipes(), *CONFIG["studies"]["energy"]["subsets"]["recipes"]]
        ],
    output:
        tex="results/{scale}/tables/energy-subsets.tex",
        csv="results/{scale}/tables/energy-subsets.csv",
        html="results/{scale}/tables/energy-subsets.html",
        certificate="results/{scale}/provenance/tables/energy-subsets.json",
    log:
        "results/{scale}/logs/tables/energy-subsets.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_subsets"),
    message:
        "Table: training without some of the images"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --evaluations {input.evaluations:q} --history {input.history:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_generation_grid:
    input:
        grid=run_files("energy", "generation", "grid.parquet", "generation_grid"),
    output:
        tex="results/{scale}/tables/energy-generation-grid.tex",
        csv="results/{scale}/tables/energy-generation-grid.csv",
        html="results/{scale}/tables/energy-generation-grid.html",
        certificate="results/{scale}/provenance/tables/energy-generation-grid.json",
    log:
        "results/{scale}/logs/tables/energy-generation-grid.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_generation_grid"),
    message:
        "Table: settings of the sampler"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --grid {input.grid:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"


rule table_claims:
    input:
        robustness=evaluation_files("energy", "further", "subsets"),
        attack_energies=all_files("energy", "evaluations", "attack-energies.parquet", "attack_energies"),
        history=training_files("energy", "history.parquet") + run_files("energy", "runs", "history.parquet", "subsets"),
        energies=training_files("energy", "energies.parquet"),
        scores=all_files("energy", "generation", "scores.json", "generation"),
        grid=run_files("energy", "generation", "grid.parquet", "generation_grid"),
    output:
        tex="results/{scale}/tables/energy-claims.tex",
        csv="results/{scale}/tables/energy-claims.csv",
        html="results/{scale}/tables/energy-claims.html",
        certificate="results/{scale}/provenance/tables/energy-claims.json",
    log:
        "results/{scale}/logs/tables/energy-claims.log",
    conda:
        "../envs/robustlens.yaml"
    params:
        spec=table_spec("energy_claims"),
    message:
        "Judge the claims of the paper"
    shell:
        'python "$ROBUSTLENS/scripts/make_table.py" --spec {params.spec:q} --log {log:q}'
        " --robustness {input.robustness:q} --attack_energies {input.attack_energies:q} --history {input.history:q}"
        " --energies {input.energies:q} --scores {input.scores:q} --grid {input.grid:q}"
        " --tex {output.tex:q} --csv {output.csv:q} --html {output.html:q} --certificate {output.certificate:q}"
