"""robustlens: adversarial-robustness papers, from raw data to LaTeX tables.

snakemake                        everything at the embedded scale (config.yaml: `scale`)
snakemake energy                 one study: a folder in studies/
snakemake --config scale=NAME    another scale; results go to results/NAME/
snakemake plan [energy]          what that would run, and how long it would take; runs nothing
snakemake targets                every table, figure, ... that can be asked for by name; runs nothing
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

# Jobs find the library, the studies, the scripts and (without --sdm conda) this Python through the environment.
sys.path[:0] = [f"{workflow.basedir}/src", str(workflow.basedir)]
os.environ.update(
    ROBUSTLENS=str(workflow.basedir),
    PYTHONPATH=f"{workflow.basedir}/src:{workflow.basedir}",
    PATH=f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}:{workflow.basedir}/.tools/bin",
)
# What a container or a scheduler may say of processes that train together: jobs would take it for their own torchrun's.
for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
    os.environ.pop(name, None)


include: "rules/common.smk"
include: "rules/specs.smk"
include: "rules/files.smk"


name_user()
STUDIES = declared_studies()
ENTRIES = dict(workflow.config_settings.config)  # what --config says
TARGET = ENTRIES.pop("target", None)  # a file that `snakemake plan` is to plan
CONFIG = checked_configuration(ENTRIES)
or_exit(arithmetic.prepare, CONFIG["arithmetic"])
share_gpus()
shell.prefix(arithmetic.shell_prefix(CONFIG["arithmetic"]))
DOWNLOADS = configuration.downloads(CONFIG)
CERTIFICATION_PARTS = configuration.certification_parts(CONFIG)
SELECTION = selection()
check_results_folder()
name_former_results()


wildcard_constraints:
    scale=re.escape(CONFIG["scale"]),
    dataset=one_of(CONFIG["datasets"]),
    recipe=one_of([*CONFIG["recipes"], *CONFIG["models"]]),
    download="[a-z0-9-]+",
    seed="[0-9]+",
    threat=one_of(CONFIG["threats"]),
    generator="[a-z0-9-]+",
    suite=one_of(CONFIG["suites"]),
    study=one_of(CONFIG["studies"]),
    table="[a-z0-9-]+",
    figure="[a-z0-9-]+",


include: "rules/data.smk"
include: "rules/generators.smk"
include: "rules/sample_sets.smk"
include: "rules/selection.smk"
include: "rules/train.smk"
include: "rules/correct.smk"
include: "rules/evaluate.smk"
include: "rules/certify.smk"
include: "rules/generate.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/report.smk"
include: "rules/plan.smk"
include: "rules/former.smk"


for stages in study_rules():

    include: stages


or_exit(SELECTION.check)
name_unused_recipes()
logger.addFilter(Words(known_files, CONFIG["scale"]))


rule all:
    default_target: True
    input:
        unless_planning(
            lambda: [*documents(), *(path for study in CONFIG["studies"] for path in SELECTION.results(study))]
        ),
    message:
        "Everything of scale {CONFIG[scale]}"


for study in CONFIG["studies"]:

    rule:
        name:
            target_of(study)
        input:
            unless_planning(lambda study=study: SELECTION.results(study)),
        message:
            "One study of scale {CONFIG[scale]}"


onstart:
    logger.addHandler(FAILED_JOBS)
    # With a limit of jobs per second, Snakemake 9.27 wakes its scheduler every second once for each job that has finished:
    # after 60 jobs this takes a sixth of a core. So the limit that there is by default is lifted; one that was asked for
    # stays.
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


onsuccess:
    print(closing_words())


onerror:
    print(failure_words(), flush=True)
