# Functions that the rules share: the checked configuration, what jobs ask of a machine, what is asked for, last words.
import getpass
import shutil

from snakemake.logging import logger

from robustlens import arithmetic, configuration, former_layout
from robustlens.configuration import command_line
from robustlens.errors import RobustlensError
from robustlens.gpus import jobs_on_gpus, visible_gpus
from robustlens.parameters import nearest
from robustlens.snakemake_words import Words, target_list
from robustlens.status import FailedJobs, closing_text, failure_text, made_text, typed_command
from robustlens.study import discovery, general
from robustlens.study.selection import Kind, Selection

LATEX_ENGINES = ("latexmk", "pdflatex", "tectonic")
TECTONIC = f"{workflow.basedir}/.tools/bin/tectonic"  # what `make` provides where the machine has none of them
FAILED_JOBS = FailedJobs()  # hears of them from the start of a run on

# What the stages declare besides their rules: the kinds of files that studies may ask for, and the modules that say how much
# work their jobs are (for `snakemake plan`).
FILES = {}
PLANNED = {}


def or_exit(function, *arguments):
    """What the function returns, or the end of the run with its error alone, and where in the configuration it belongs: a
    WorkflowError would add a place in this file."""
    try:
        return function(*arguments)
    except RobustlensError as error:
        given = workflow.config_settings.configfiles
        sys.exit(configuration.with_place(str(error), shipped_files(), given, workflow.config_settings.config))


def name_user():
    """A container may have a user id without a name, which Snakemake and PyTorch look up: the number will do."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ.update(USER=str(os.getuid()))


def declared_studies():
    """The studies that have a folder."""
    try:
        return discovery.find(Path(workflow.basedir) / "studies")
    except RobustlensError as error:
        sys.exit(str(error))


def shipped_files():
    """The configuration of this repository."""
    files = [Path(workflow.basedir) / "config.yaml", *(folder / "config.yaml" for folder in study_folders())]
    return [file for file in files if file.is_file()]


def study_folders():
    return [Path(workflow.basedir) / "studies" / name.replace("-", "_") for name in STUDIES]


def study_rules():
    """The computing stages that studies bring."""
    return [str(stages) for folder in study_folders() if (stages := folder / "rules.smk").is_file()]


def checked_configuration(entries):
    """The complete configuration of the chosen scale: our own files, those of `--configfile`, and `--config`."""
    if called_by_a_person():
        or_exit(command_line.check, sys.argv[1:])
    schema = Path(workflow.basedir) / "schemas" / "config.schema.yaml"
    given = workflow.config_settings.configfiles
    return or_exit(configuration.load, shipped_files(), given, entries, schema, STUDIES)


def name_unused_recipes():
    """Recipes of `--configfile` that are in no cohort, and so are not trained: one line."""
    shipped, given = shipped_files(), workflow.config_settings.configfiles
    if called_by_a_person() and (names := configuration.unused_recipes(CONFIG, shipped, given)):
        print(
            f"Defined, but in no cohort, so not trained: {', '.join(names)} (config.studies.<name>.cohorts lists recipes)",
            file=sys.stderr,
            flush=True,
        )


def selection():
    """What the studies of this scale make; one without a folder has the tables that every study has."""
    studies = {
        name: STUDIES.get(name) or general.undeclared(name, settings["cohorts"], CONFIG["suites"])
        for name, settings in CONFIG["studies"].items()
    }
    return Selection(CONFIG, studies, FILES)


def check_results_folder():
    """All that is produced goes to results/: a folder, a link to one, or nothing yet."""
    if os.path.lexists("results") and not os.path.isdir("results"):
        sys.exit(f"{os.path.abspath('results')} is not a folder: move it away; all that is produced goes there")


def named_with_its_new_place(wildcards):
    """An input function that ends the run where a file of the former layout is asked for."""
    target = f"results/{wildcards.scale}/{wildcards.former}"
    place = former_layout.moved(target, CONFIG)
    if place and (asked := former_layout.STUDY_RESULT.search(place)):
        or_exit(SELECTION.find, asked["kind"], asked["study"], asked["name"])
    sys.exit(f"{target}: now {place or 'made by no study of this scale'}")


def called_by_a_person():
    """Whether this is not the Snakemake of a single job, which a running one has started."""
    return workflow.exec_mode.name == "DEFAULT"


def name_former_results():
    """Results of the former layout, where there are some, are named first of all."""
    if called_by_a_person() and (words := former_layout.found(Path("results"), CONFIG["scale"])):
        print(words, file=sys.stderr, flush=True)


def refused_as_unknown(wildcards):
    """An input function that ends the run where a word is asked for that is neither a study nor a rule."""
    hint = nearest(wildcards.word, ["all", "plan", "targets", *CONFIG["studies"]])
    sys.exit(f"snakemake {wildcards.word}: neither a study of this scale nor a rule or a file{hint}")


def target_of(study):
    """What `snakemake <study>` makes: everything of that study."""
    if workflow.is_rule(study):
        sys.exit(f"studies/{study}: snakemake {study} already makes something else; rename the study")
    return study


def one_of(names):
    """A wildcard constraint: one of these names; of none, nothing matches."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


def none_of(names):
    """A wildcard constraint, of a folder: any name but these. Unknown ones match, too, and are refused in words."""
    return rf"(?!({one_of(names)})/)[a-z0-9-]+"


def memory(megabytes):
    """Memory that grows with the attempt: a job that was killed for want of it asks for more when it is retried."""
    return lambda wildcards, attempt: megabytes * attempt


def minutes(number):
    """Time that grows with the attempt, where a cluster limits it."""
    return lambda wildcards, attempt: number * attempt


def gpus():
    """What a job that computes on the device asks for: 1 where it would use a GPU and may see one, else 0."""
    return int(CONFIG["arithmetic"] != arithmetic.PORTABLE and visible_gpus() > 0)


def share_gpus():
    """Lets as many jobs compute on GPUs at the same time as there is room for, unless `--resources gpu=N` or a profile says
    how many."""
    if CONFIG["arithmetic"] != arithmetic.PORTABLE and "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", or_exit(jobs_on_gpus))


# What the first table needs comes first, so that there is something to look at within minutes. Trainings, and what they
# wait for, come soon; evaluations that share attacks with another suite of the same run come last, as all that has no
# priority: started beside that one, they would only wait for it.
FIRST, SOON, LAST = 2, 1, 0


def training_priority(wildcards):
    return FIRST if f"{wildcards.dataset}/{wildcards.recipe}" in SELECTION.early else SOON


def evaluation_priority(seeds):
    """Of a job for these seeds, all of which are wanted for the same; without any, for that of the wildcards."""

    def priority(wildcards):
        index = evaluation_index(wildcards, seeds[0] if seeds else wildcards.seed)
        return FIRST if index in SELECTION.early else LAST if index in SELECTION.further_suites else SOON

    return priority


def first_tables(wildcards):
    return FIRST if SELECTION.find("tables", wildcards.study, wildcards.table).declared.early else LAST


def first_figures(wildcards):
    return FIRST if SELECTION.find("figures", wildcards.study, wildcards.figure).declared.early else LAST


def latex_engine():
    """The first that is installed. The tectonic that `make` provides is none before it has its own files."""
    found = next((path for engine in LATEX_ENGINES if (path := shutil.which(engine))), None)
    if found != TECTONIC:
        return found
    os.environ.update(TECTONIC_CACHE_DIR=f"{workflow.basedir}/.tools/tectonic")
    return found if os.path.exists(f"{found}.ready") else None


def documents():
    """The report: HTML always, PDF where it can be typeset."""
    names = ["report.html", "provenance/configuration.json", *(["report.pdf"] if latex_engine() else [])]
    return [f"results/{CONFIG['scale']}/{name}" for name in names]


def planning():
    """Whether this is `snakemake plan`, beside which nothing else runs. Snakemake says so only after it has read all
    rules."""
    return "plan" in workflow.dag_settings.targets


def unless_planning(wanted):
    """An input function: the files that `wanted()` lists, or none where they are only planned."""

    def files(wildcards):
        if TARGET and not planning():
            sys.exit("config.target: is what `snakemake plan` plans; to make a file, name it: snakemake FILE")
        return [] if planning() else wanted()

    return files


def asked_for():
    """The targets of the command line, in order; none where everything was asked for."""
    asked = set(workflow.dag_settings.targets)
    return [] if "all" in asked else sorted(asked)


def listed_targets():
    """What can be asked for, each with a sentence: as the rules and the studies declare it."""
    messages = {made.name: (made.message or "").replace("{CONFIG[scale]}", CONFIG["scale"]) for made in workflow.rules}
    found = {name: messages[name] for name in ("all", "plan", "targets")}
    found |= {name: study.title for name, study in SELECTION.studies.items()}
    for made in workflow.rules:  # of no study, dataset or run
        if made.wildcard_names == {"scale"}:
            files = [
                re.sub(r"\{scale[^}]*\}", CONFIG["scale"], str(file))
                for file in made.output
                if "/provenance/" not in str(file)
            ]
            found |= dict.fromkeys(files, messages[made.name])
    for study in CONFIG["studies"]:
        for kind, suffix in (("tables", ".tex"), ("figures", ".pdf"), ("animations", ".gif")):
            declared = [item.declared.message for item in getattr(SELECTION, kind)(study).values()]
            found |= dict(zip(SELECTION.made(study, kind, suffix), declared, strict=True))
        for file in SELECTION.made(study, "claims", ".tex"):
            found[file] = SELECTION.claims(study).declared.message
    return found


def known_files():
    """All files that can be asked for by name and that some study wants."""
    suffixes = {"tables": (".tex", ".csv", ".html"), "figures": (".pdf", ".png"), "animations": (".gif",)}
    suffixes |= {"claims": (".tex", ".csv", ".html", ".pdf", ".png")}
    made = [
        path for name in CONFIG["studies"] for kind in suffixes for path in SELECTION.made(name, kind, *suffixes[kind])
    ]
    return [*listed_targets(), *made, *SELECTION.read()]


def print_targets(wildcards):
    """An input function that prints what can be asked for, and ends there."""
    print(target_list(listed_targets()), flush=True)
    sys.exit(0)


def planned_targets():
    """What `snakemake plan` plans: the studies beside it on the command line, `target` of the configuration, or all."""
    others = sorted(set(workflow.dag_settings.targets) - {"plan"})
    for name in others:
        if name not in ("all", *CONFIG["studies"]):
            sys.exit(f"snakemake plan {name}: would make {name}; to plan it: snakemake plan --config target={name}")
    return others or [TARGET or "all"]


def closing_words():
    """What a person wants to know when all is done: where the report is, if everything was asked for, or else where
    that is which was."""
    if planning():
        return ""
    folder = Path("results") / CONFIG["scale"]
    if asked := asked_for():
        return made_text([f"{folder}/studies/{name}/" if name in CONFIG["studies"] else name for name in asked])
    return closing_text(folder, latex_engine() is not None)


def failure_words():
    """What a person wants to know when something failed: what, why, where to look, and how to resume."""
    return f"\n{failure_text(list(FAILED_JOBS.found.values()), typed_command(sys.argv))}"
