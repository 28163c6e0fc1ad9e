"""robustlens: adversarial-robustness papers, from raw data to LaTeX tables.

snakemake                        everything at the embedded scale (config.yaml: `scale`)
snakemake energy                 one study
snakemake --config scale=NAME    another scale; results go to results/NAME/
snakemake plan [energy]          what that would run, and how long it would take; runs nothing
"""

import gc
import os
import re
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")

# What is imported by now stays. Python need not look through it for garbage again and again while jobs are planned, which
# took a tenth of a dry run.
gc.freeze()


configfile: f"{workflow.basedir}/config.yaml"


# Jobs find the library, the scripts and (without --sdm conda) this very Python through the environment.
sys.path.insert(0, f"{workflow.basedir}/src")
os.environ.update(
    ROBUSTLENS=str(workflow.basedir),
    PYTHONPATH=f"{workflow.basedir}/src",
    PATH=f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
)


include: "rules/common.smk"
include: "rules/specs.smk"
include: "rules/files.smk"


TARGET = config.pop("target", None)  # a file that `snakemake plan` is to plan
CONFIG = checked_configuration(config)
DOWNLOADS = downloads(CONFIG)
check_results_folder()


wildcard_constraints:
    scale=re.escape(CONFIG["scale"]),
    dataset=one_of(CONFIG["datasets"]),
    recipe=one_of([*CONFIG["recipes"], *CONFIG["models"]]),
    download="[a-z0-9-]+",
    seed="[0-9]+",
    suite=one_of(CONFIG["suites"]),


include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/generate.smk"
include: "rules/energy_tables.smk"
include: "rules/energy_figures.smk"
include: "rules/report.smk"
include: "rules/plan.smk"


rule all:
    default_target: True
    input:
        unless_planning(documents(), *[study_results(study) for study in CONFIG["studies"]]),
    message:
        "Everything of scale {CONFIG[scale]}"


rule energy:
    input:
        unless_planning(study_results("energy")),
    message:
        "The energy study of scale {CONFIG[scale]}"


onstart:
    logger.addHandler(FAILED_JOBS)


onsuccess:
    print(closing_words())


onerror:
    print(failure_words(), flush=True)
