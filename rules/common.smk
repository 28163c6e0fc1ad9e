# Functions that the rules share: the checked configuration, what jobs ask of a machine, what is asked for, last words.
import shutil

from snakemake.logging import logger

from robustlens import configuration
from robustlens.errors import RobustlensError
from robustlens.status import FailedJobs, failure_text, typed_command

LATEX_ENGINES = ("latexmk", "pdflatex", "tectonic")
FAILED_JOBS = FailedJobs()  # hears of them from the start of a run on


def checked_configuration(raw):
    """The complete configuration of the chosen scale, or one clear error."""
    try:
        return configuration.load(raw, Path(workflow.basedir) / "schemas" / "config.schema.yaml")
    except RobustlensError as error:
        sys.exit(str(error))  # alone: a WorkflowError would add the place in this file


def check_results_folder():
    """All that is produced goes to results/: a folder, a link to one, or nothing yet."""
    if os.path.lexists("results") and not os.path.isdir("results"):
        sys.exit(f"{os.path.abspath('results')} is not a folder: move it away; all that is produced goes there")


def one_of(names):
    """A wildcard constraint: one of these names; of none, nothing matches."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


def memory(megabytes):
    """Memory that grows with the attempt: a job that was killed for want of it asks for more when it is retried."""
    return lambda wildcards, attempt: megabytes * attempt


def gpus():
    """What a job that computes on the device asks for: 1 where this machine has a GPU that jobs may see, else 0."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    return int(not hidden and any(Path(os.devnull).parent.glob("nvidia[0-9]*")))


def first_results(wildcards):
    """A higher priority for what the first table needs, so that there is something to look at within minutes."""
    early = any(wildcards.recipe in study["attack_energies"]["recipes"] for study in CONFIG["studies"].values())
    return 1 if early and wildcards.get("suite", "attack-energies") == "attack-energies" else 0


def latex_engine():
    return next((engine for engine in LATEX_ENGINES if shutil.which(engine)), None)


def documents():
    """The report: HTML always, PDF where it can be typeset."""
    names = ["report.html", "provenance/configuration.json", *(["report.pdf"] if latex_engine() else [])]
    return expand("results/{scale}/{name}", scale=CONFIG["scale"], name=names)


def planning():
    """Whether this is `snakemake plan`, beside which nothing else runs. Snakemake says so only after it has read all
    rules."""
    return "plan" in workflow.dag_settings.targets


def unless_planning(*lists):
    """An input function: the files of the lists, or none where they are only planned."""

    def files(wildcards):
        if TARGET and not planning():
            sys.exit("config.target: is what `snakemake plan` plans; to make a file, name it: snakemake FILE")
        return [] if planning() else [path for files in lists for path in files]

    return files


def planned_targets():
    """What `snakemake plan` plans: the studies beside it on the command line, `target` of the configuration, or all."""
    others = sorted(set(workflow.dag_settings.targets) - {"plan"})
    for name in others:
        if name not in ("all", *CONFIG["studies"]):
            sys.exit(f"snakemake plan {name}: would make {name}; to plan it: snakemake plan --config target={name}")
    return others or [TARGET or "all"]


def closing_words():
    """What a person wants to know when all is done: where the report is, once it was asked for."""
    if planning():
        return ""
    folder = f"results/{CONFIG['scale']}"
    made = [f"{folder}/{name}" for name in ("report.pdf", "report.html") if os.path.exists(f"{folder}/{name}")]
    if not made:
        return ""
    words = f"\nThe report: {' and '.join(made)}"
    if latex_engine():
        return words
    return (
        f"{words}\nreport.pdf was not made: no LaTeX engine is on this machine. Install texlive-latex-extra and latexmk "
        "(Debian, Ubuntu), or tectonic, and run the same command again."
    )


def failure_words():
    """What a person wants to know when something failed: what, why, where to look, and how to go on."""
    return f"\n{failure_text(list(FAILED_JOBS.found.values()), typed_command(sys.argv))}"
