# Functions that the rules share: the checked configuration, the parameters of a job, the files of a study.
import hashlib
import json
import shutil

from robustlens import configuration
from robustlens.code_digest import code_digest
from robustlens.errors import RobustlensError
from robustlens.generation import inception_weights

TABLES = {"energy": ["robustness", "autoattack", "energies", "attack-energies", "generation"]}
LATEX_ENGINES = ("latexmk", "pdflatex", "tectonic")


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


def job_spec(script, *modules, **parameters):
    """What a job needs to know, as JSON: its parameters and the digest of the code that it uses. `modules` are those
    that the script loads by name."""
    entry = Path(workflow.basedir) / "scripts" / f"{script}.py"
    return json.dumps(parameters | {"code": code_digest(entry, *modules)}, sort_keys=True)


def memory(megabytes):
    """Memory that grows with the attempt: a job that was killed for want of it asks for more when it is retried."""
    return lambda wildcards, attempt: megabytes * attempt


def first_results(wildcards):
    """A higher priority for what the first table needs, so that there is something to look at within minutes."""
    early = any(wildcards.recipe in study["attack_energies"] for study in CONFIG["studies"].values())
    return 1 if early and wildcards.get("suite", "attack-energies") == "attack-energies" else 0


def component_module(group, name):
    return f"robustlens.{group}.{name.replace('-', '_')}"


def data_spec(wildcards):
    dataset = CONFIG["datasets"][wildcards.dataset]
    return job_spec(
        "prepare_data",
        component_module("data", dataset["reader"]),
        dataset=wildcards.dataset,
        reader=dataset["reader"],
        splits=dataset["splits"],
    )


def train_spec(wildcards):
    spec = configuration.run_spec(CONFIG, wildcards.dataset, wildcards.recipe)
    return job_spec(
        "train",
        component_module("methods", spec["method"]["name"]),
        component_module("models", spec["architecture"]["family"]),
        seed=int(wildcards.seed),
        **spec,
    )


def evaluate_spec(wildcards):
    suite = CONFIG["suites"][wildcards.suite]
    attacks = configuration.suite_attacks(CONFIG, suite)
    spec = configuration.run_spec(CONFIG, wildcards.dataset, wildcards.recipe)
    return job_spec(
        "evaluate",
        component_module("models", spec["architecture"]["family"]),
        *(component_module("attacks", attack["family"]) for attack in attacks),
        dataset=wildcards.dataset,
        recipe=wildcards.recipe,
        seed=int(wildcards.seed),
        suite=wildcards.suite,
        architecture=spec["architecture"],
        threat=spec["threat"],
        attacks=attacks,
        batch_size=suite["batch_size"],
    )


def evaluated_checkpoints(wildcards):
    names = CONFIG["suites"][wildcards.suite]["checkpoints"]
    return expand("results/{scale}/runs/{dataset}/{recipe}/seed{seed}/{name}.safetensors", name=names, **wildcards)


def run_files(study, folder, name, part="recipes"):
    """A file of every (dataset, recipe, seed) of a study, for all its recipes or those that one part of it uses."""
    return expand(
        "results/{scale}/{folder}/{dataset}/{recipe}/seed{seed}/{name}",
        scale=CONFIG["scale"],
        folder=folder,
        dataset=CONFIG["studies"][study]["datasets"],
        recipe=CONFIG["studies"][study][part],
        seed=CONFIG["studies"][study]["seeds"],
        name=name,
    )


def feature_weights(wildcards):
    """The weights of the feature network: of a trained run, or the Inception file that the user has put in place."""
    features = CONFIG["datasets"][wildcards.dataset]["generation"]["features"]
    if features["kind"] == "inception":
        if not Path(inception_weights.PATH).exists():
            sys.exit(f"{inception_weights.PATH}: missing; {inception_weights.remedy(inception_weights.PATH)}")
        return inception_weights.PATH
    run = f"{features['recipe']}/seed{features['seed']}"
    return f"results/{CONFIG['scale']}/runs/{wildcards.dataset}/{run}/best.safetensors"


def generate_spec(wildcards):
    settings = CONFIG["datasets"][wildcards.dataset]["generation"]
    architecture = configuration.run_spec(CONFIG, wildcards.dataset, wildcards.recipe)["architecture"]
    return job_spec(
        "generate_samples",
        component_module("models", architecture["family"]),
        dataset=wildcards.dataset,
        recipe=wildcards.recipe,
        seed=int(wildcards.seed),
        architecture=architecture,
        sampler=settings["sampler"],
        per_class=settings["per_class"],
        batch_size=settings["batch_size"],
    )


def feature_spec(script, wildcards):
    """What the jobs that look through the feature network need to know."""
    settings = CONFIG["datasets"][wildcards.dataset]["generation"]
    features = settings["features"]
    architecture = CONFIG["datasets"][wildcards.dataset]["architecture"]
    if features["kind"] == "classifier":
        architecture = configuration.run_spec(CONFIG, wildcards.dataset, features["recipe"])["architecture"]
    return job_spec(
        script,
        component_module("models", architecture["family"]),
        dataset=wildcards.dataset,
        features=features,
        architecture=architecture,
        batch_size=settings["batch_size"],
    )


def reference_spec(wildcards):
    return feature_spec("reference_features", wildcards)


def score_spec(wildcards):
    return feature_spec("score_samples", wildcards)


def table_spec(builder):
    """The parameters of a table, as a function of the wildcards."""
    builder_module = f"robustlens.report.tables.{builder}"
    facts = {"table": builder, "scale": CONFIG["scale"], "datasets": CONFIG["studies"]["energy"]["datasets"]}
    if builder == "energy_robustness":
        facts["architectures"] = {dataset: architecture_name(dataset) for dataset in facts["datasets"]}
    return lambda wildcards: job_spec("make_table", builder_module, **facts)


def figure_spec(builder):
    """The parameters of a figure, as a function of the wildcards."""
    builder_module = f"robustlens.report.figures.{builder}"
    facts = {"figure": builder, "scale": CONFIG["scale"]}
    of_recipe = builder == "energy_attack_histograms"
    return lambda wildcards: job_spec(
        "make_figure", builder_module, **facts, **({"recipe": wildcards.recipe} if of_recipe else {})
    )


def architecture_name(dataset):
    """How published/ names the architecture of a dataset's protocol: `resnet18` for the ResNet of the papers."""
    architecture = CONFIG["datasets"][dataset]["architecture"]
    resnet18 = {"family": "resnet", "blocks": [2, 2, 2, 2], "width": 64}
    return "resnet18" if architecture == resnet18 else None


def repository_file(path):
    """A file of this repository, from where Snakemake works: a checkout that was moved re-runs nothing."""
    return os.path.relpath(f"{workflow.basedir}/{path}")


def published_file(study):
    return repository_file(f"published/{study}.yaml")


def real_image_scores():
    study = CONFIG["studies"]["energy"]
    return expand(
        "results/{scale}/generation/{dataset}/real-images.json", scale=CONFIG["scale"], dataset=study["datasets"]
    )


def one_seed_samples():
    """The samples of the first seed of every recipe that generates."""
    first = CONFIG["studies"]["energy"]["seeds"][0]
    return [path for path in run_files("energy", "generation", "samples.npz", "generation") if f"/seed{first}/" in path]


def recipe_energies(wildcards):
    return [path for path in run_files("energy", "runs", "energies.parquet") if f"/{wildcards.recipe}/" in path]


def weighted_recipes():
    """The recipes whose method weights images by their energy."""
    recipes = CONFIG["studies"]["energy"]["recipes"]
    return [recipe for recipe in recipes if CONFIG["recipes"][recipe]["method"] == "weat"]


def study_tables(study):
    return expand("results/{scale}/tables/{study}-{name}.tex", scale=CONFIG["scale"], study=study, name=TABLES[study])


def study_figures(study, suffix="png"):
    attacked = CONFIG["studies"][study]["attack_energies"]
    names = ["phases", "delta", *(f"attack-histograms-{recipe}" for recipe in attacked), "samples"]
    names += [f"weight-{recipe}" for recipe in weighted_recipes()]
    return expand(
        "results/{scale}/figures/{study}-{name}.{suffix}",
        scale=CONFIG["scale"],
        study=study,
        name=names,
        suffix=suffix,
    )


def study_claims(suffix):
    """The claims of every study."""
    return expand(
        "results/{scale}/tables/{study}-claims.{suffix}",
        scale=CONFIG["scale"],
        study=CONFIG["studies"],
        suffix=suffix,
    )


def study_results(study):
    """All that one study promises."""
    claims = [f"results/{CONFIG['scale']}/tables/{study}-claims.tex", f"results/{CONFIG['scale']}/claims.tex"]
    return [*study_tables(study), *study_figures(study), *study_figures(study, "pdf"), *claims]


def dataset_sheets():
    datasets = dict.fromkeys(dataset for study in CONFIG["studies"].values() for dataset in study["datasets"])
    return expand("results/{scale}/data/{dataset}/sheet.json", scale=CONFIG["scale"], dataset=datasets)


def report_templates():
    return sorted(str(path) for path in Path(repository_file("src/robustlens/report/templates")).iterdir())


def report_spec(wildcards):
    text = json.dumps(CONFIG, sort_keys=True)
    return job_spec(
        "make_report",
        title="robustlens: " + ", ".join(CONFIG["studies"]),
        scale=CONFIG["scale"],
        configuration=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


def latex_engine():
    return next((engine for engine in LATEX_ENGINES if shutil.which(engine)), None)


def documents():
    """The report: HTML always, PDF where it can be typeset."""
    names = ["report.html", "provenance/configuration.json", *(["report.pdf"] if latex_engine() else [])]
    return expand("results/{scale}/{name}", scale=CONFIG["scale"], name=names)


def closing_words():
    """What a person wants to know when all is done: where the report is, once it was asked for."""
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
