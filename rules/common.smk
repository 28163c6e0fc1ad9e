# Functions that the rules share: the checked configuration, the parameters of a job, the files of a study.
import hashlib
import json
import shutil

from snakemake.logging import logger

from robustlens import configuration
from robustlens.code_digest import code_digest
from robustlens.errors import RobustlensError
from robustlens.generation import inception_weights
from robustlens.status import FailedJobs, failure_text, typed_command

TABLES = {"energy": ["robustness", "differences", "autoattack", "phases", "energies", "attack-energies", "generation"]}
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


def job_spec(script, *modules, **parameters):
    """What a job needs to know, as JSON: its parameters and the digest of the code that it uses. `modules` are those
    that the script loads by name."""
    entry = Path(workflow.basedir) / "scripts" / f"{script}.py"
    return json.dumps(parameters | {"code": code_digest(entry, *modules)}, sort_keys=True)


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


def component_module(group, name):
    return f"robustlens.{group}.{name.replace('-', '_')}"


def downloads(config):
    """What can be fetched: by the name of its folder under results/downloads, the archives (or the folder) it has."""
    found = {"inception": {"archives": [inception_weights.ARCHIVE]}}
    for dataset in config["datasets"]:
        catalogue = configuration.entry(config["datasets"][dataset]["reader"]["family"])
        found[configuration.download_name(config, dataset)] = {
            "archives": configuration.archives(config, dataset),
            **({"folder": catalogue["folder"]} if "folder" in catalogue else {}),
        }
    return found | {name: {"archives": [model["weights"]]} for name, model in config["models"].items()}


def download_spec(wildcards):
    return job_spec("download", **DOWNLOADS[wildcards.download])


def needs_download(dataset):
    return any(DOWNLOADS[configuration.download_name(CONFIG, dataset)].values())


def dataset_downloads(wildcards):
    return f"results/downloads/{configuration.download_name(CONFIG, wildcards.dataset)}"


def dataset_receipt(wildcards):
    return [f"{dataset_downloads(wildcards)}/receipt.json"] if needs_download(wildcards.dataset) else []


def data_spec(wildcards):
    dataset = CONFIG["datasets"][wildcards.dataset]
    catalogue = configuration.entry(dataset["reader"]["family"])
    facts = {key: catalogue[key] for key in ("citation", "licence", "homepage")}
    return job_spec(
        "prepare_data",
        component_module("data", dataset["reader"]["family"]),
        reader=dataset["reader"],
        archives=[
            {key: value for key, value in archive.items() if key in ("file", "bytes", *configuration.CHECKSUMS)}
            for archive in configuration.archives(CONFIG, wildcards.dataset)
        ],
        splits=dataset["splits"],
        facts={"name": wildcards.dataset, "title": configuration.title(CONFIG, wildcards.dataset), **facts},
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


def measured_energies(wildcards):
    """The energies by which a recipe with `leave_out` chooses its images: of the run of the same seed."""
    chosen = CONFIG["recipes"][wildcards.recipe].get("leave_out")
    if chosen is None:
        return []
    run = f"{wildcards.dataset}/{chosen['measured_by']}/seed{wildcards.seed}"
    return [f"results/{wildcards.scale}/energies/{run}/training-images.parquet"]


def measure_spec(wildcards):
    architecture = classifier_architecture(wildcards)
    return job_spec(
        "measure_energies",
        component_module("models", architecture["family"]),
        dataset=wildcards.dataset,
        recipe=wildcards.recipe,
        seed=int(wildcards.seed),
        architecture=architecture,
        batch_size=CONFIG["datasets"][wildcards.dataset]["tracking"]["batch_size"],
    )


def import_spec(wildcards):
    model = CONFIG["models"][wildcards.model]
    return job_spec(
        "import_model",
        component_module("models", model["architecture"]["family"]),
        model=wildcards.model,
        dataset=wildcards.dataset,
        architecture=model["architecture"],
        weights={key: value for key, value in model["weights"].items() if key not in ("urls", "by_hand")},
        citation=model["citation"],
    )


def classifier_architecture(wildcards):
    """Of one of our runs, or of a model of others."""
    if wildcards.recipe in CONFIG["models"]:
        return CONFIG["models"][wildcards.recipe]["architecture"]
    return configuration.run_spec(CONFIG, wildcards.dataset, wildcards.recipe)["architecture"]


def evaluate_spec(wildcards):
    suite = CONFIG["suites"][wildcards.suite]
    attacks = configuration.suite_attacks(CONFIG, suite)
    architecture = classifier_architecture(wildcards)
    return job_spec(
        "evaluate",
        component_module("models", architecture["family"]),
        *(component_module("attacks", attack["family"]) for attack in attacks),
        dataset=wildcards.dataset,
        recipe=wildcards.recipe,
        seed=int(wildcards.seed),
        suite=wildcards.suite,
        architecture=architecture,
        threat=CONFIG["datasets"][wildcards.dataset]["threat"],
        attacks=attacks,
        batch_size=suite["batch_size"],
    )


def evaluated_checkpoints(wildcards):
    ours = wildcards.recipe in CONFIG["recipes"]
    names = CONFIG["suites"][wildcards.suite]["checkpoints"] if ours else ["published"]
    return expand("results/{scale}/runs/{dataset}/{recipe}/seed{seed}/{name}.safetensors", name=names, **wildcards)


def run_files(study, folder, name, part=None):
    """A file of every (dataset, recipe, seed) of a study, or of those of one part of it."""
    runs = CONFIG["studies"][study][part] if part else CONFIG["studies"][study]
    return expand(
        "results/{scale}/{folder}/{dataset}/{recipe}/seed{seed}/{name}",
        scale=CONFIG["scale"],
        folder=folder,
        dataset=runs["datasets"],
        recipe=runs["recipes"],
        seed=runs.get("seeds", CONFIG["studies"][study]["seeds"]),
        name=name,
    )


def training_files(study, name):
    """A file of every training of a study's recipes and of its further ones."""
    return run_files(study, "runs", name) + run_files(study, "runs", name, "further")


def evaluation_files(study, *parts):
    """The evaluations under the robustness suite of the study's recipes and models, and of parts under their own."""
    found = all_files(study, "evaluations", "robustness.parquet")
    for part in parts:
        found += run_files(study, "evaluations", f"{CONFIG['studies'][study][part].get('suite')}.parquet", part)
    return found


def model_files(study, folder, name, part=None):
    """A file of every model of others that a study evaluates (seed0: there is one of each), or that a part of it uses
    because its dataset is among the part's."""
    settings = CONFIG["studies"][study]
    datasets = (settings[part] if part else settings)["datasets"]
    return [
        f"results/{CONFIG['scale']}/{folder}/{CONFIG['models'][model]['dataset']}/{model}/seed0/{name}"
        for model in settings["models"]
        if CONFIG["models"][model]["dataset"] in datasets
    ]


def models_on(study, dataset):
    """The models of others that a study evaluates and that were trained on a dataset."""
    return [model for model in CONFIG["studies"][study]["models"] if CONFIG["models"][model]["dataset"] == dataset]


def all_files(study, folder, name, part=None):
    """Of our runs and of the models of others."""
    return run_files(study, folder, name, part) + model_files(study, folder, name, part)


def inception_receipt(wildcards):
    """What must be there before images are generated that only the Inception network can score."""
    features = CONFIG["datasets"][wildcards.dataset]["generation"]["features"]
    return ["results/downloads/inception/receipt.json"] if features["kind"] == "inception" else []


def feature_weights(wildcards):
    """The weights of the feature network: of Inception, or of a trained run."""
    features = CONFIG["datasets"][wildcards.dataset]["generation"]["features"]
    if features["kind"] == "inception":
        return inception_weights.PATH
    run = f"{features['recipe']}/seed{features['seed']}"
    return f"results/{CONFIG['scale']}/runs/{wildcards.dataset}/{run}/best.safetensors"


def feature_source(wildcards):
    """The file that says that those weights are there: the Inception file itself is no output (see data.smk)."""
    return inception_receipt(wildcards) or feature_weights(wildcards)


def sampled_weights(wildcards):
    name = "best" if wildcards.recipe in CONFIG["recipes"] else "published"
    return (
        f"results/{wildcards.scale}/runs/{wildcards.dataset}/{wildcards.recipe}/seed{wildcards.seed}/{name}.safetensors"
    )


def generate_spec(wildcards):
    settings = CONFIG["datasets"][wildcards.dataset]["generation"]
    architecture = classifier_architecture(wildcards)
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


def grid_spec(wildcards):
    settings = CONFIG["datasets"][wildcards.dataset]["generation"]
    own, theirs = classifier_architecture(wildcards), feature_architecture(wildcards.dataset)
    return job_spec(
        "generate_grid",
        component_module("models", own["family"]),
        component_module("models", theirs["family"]),
        dataset=wildcards.dataset,
        recipe=wildcards.recipe,
        seed=int(wildcards.seed),
        architecture=own,
        sampler=settings["sampler"],
        grid=settings["grid"],
        features=settings["features"],
        feature_architecture=theirs,
        batch_size=settings["batch_size"],
    )


def feature_architecture(dataset):
    """Of the classifier whose features score the images of a dataset."""
    features = CONFIG["datasets"][dataset]["generation"]["features"]
    if features["kind"] == "classifier":
        return configuration.run_spec(CONFIG, dataset, features["recipe"])["architecture"]
    return CONFIG["datasets"][dataset]["architecture"]


def feature_spec(script, wildcards):
    """What the jobs that look through the feature network need to know."""
    settings = CONFIG["datasets"][wildcards.dataset]["generation"]
    architecture = feature_architecture(wildcards.dataset)
    return job_spec(
        script,
        component_module("models", architecture["family"]),
        dataset=wildcards.dataset,
        features=settings["features"],
        architecture=architecture,
        batch_size=settings["batch_size"],
    )


def reference_spec(wildcards):
    return feature_spec("reference_features", wildcards)


def score_spec(wildcards):
    return feature_spec("score_samples", wildcards)


def titles():
    """What tables and figures call the datasets and the models of others."""
    datasets = {name: configuration.title(CONFIG, name) for name in CONFIG["datasets"]}
    return datasets | {name: model.get("title", name) for name, model in CONFIG["models"].items()}


def table_spec(builder):
    """The parameters of a table, as a function of the wildcards."""
    builder_module = f"robustlens.report.tables.{builder}"
    facts = {"table": builder, "scale": CONFIG["scale"], "titles": titles()}
    if builder in ("energy_robustness", "energy_differences"):
        facts["architectures"] = {
            dataset: architecture_name(dataset) for dataset in CONFIG["studies"]["energy"]["datasets"]
        }
    if builder == "energy_generation":
        facts["anchors"] = CONFIG["studies"]["energy"]["generation"]["datasets"]
    return lambda wildcards: job_spec("make_table", builder_module, **facts)


def figure_spec(builder, script="make_figure"):
    """The parameters of a figure, as a function of the wildcards."""
    builder_module = f"robustlens.report.figures.{builder}"

    def spec(wildcards):
        facts = {"figure": builder, "scale": CONFIG["scale"], "title": titles()[wildcards.dataset], "titles": titles()}
        of_recipe = {"recipe": wildcards.recipe} if builder == "energy_attack_histograms" else {}
        return job_spec(script, builder_module, **facts, **of_recipe)

    return spec


def of_dataset(paths):
    """An input function: those of the paths that are of the dataset of the wildcards."""
    return lambda wildcards: [path for path in paths if f"/{wildcards.dataset}/" in path]


def architecture_name(dataset):
    """How published/ names the architecture of a dataset's protocol: `resnet18` for the ResNet of the papers."""
    architecture = CONFIG["datasets"][dataset]["architecture"]
    resnet18 = {"family": "resnet", "blocks": [2, 2, 2, 2], "width": 64, "block": "basic"}
    return "resnet18" if architecture == resnet18 else None


def repository_file(path):
    """A file of this repository, from where Snakemake works: a checkout that was moved re-runs nothing."""
    return os.path.relpath(f"{workflow.basedir}/{path}")


def published_file(study):
    return repository_file(f"published/{study}.yaml")


def real_image_scores():
    return expand(
        "results/{scale}/generation/{dataset}/real-images.json",
        scale=CONFIG["scale"],
        dataset=CONFIG["studies"]["energy"]["generation"]["datasets"],
    )


def one_seed_samples(wildcards):
    """The samples of the first seed of everything that generates."""
    first = CONFIG["studies"]["energy"]["seeds"][0]
    ours = [path for path in run_files("energy", "generation", "samples.npz", "generation") if f"/seed{first}/" in path]
    samples = [*ours, *model_files("energy", "generation", "samples.npz", "generation")]
    return of_dataset(samples)(wildcards)


def of_run(paths):
    """An input function: those of the paths that are of the dataset and the recipe of the wildcards."""
    return lambda wildcards: [path for path in paths if f"/{wildcards.dataset}/{wildcards.recipe}/" in path]


def weighted_recipes():
    """The recipes whose method weights images by their energy."""
    recipes = CONFIG["studies"]["energy"]["recipes"]
    return [recipe for recipe in recipes if CONFIG["recipes"][recipe]["method"] == "weat"]


def plane_recipes():
    """The recipes whose training is shown image by image."""
    return [recipe for recipe in ("sat", "trades") if recipe in CONFIG["studies"]["energy"]["recipes"]]


def changed_recipes():
    """The recipes that a study's subsets are compared with: each without its `leave_out`."""
    subsets = [CONFIG["recipes"][recipe] for recipe in CONFIG["studies"]["energy"]["subsets"]["recipes"]]
    whole = [{key: value for key, value in subset.items() if key != "leave_out"} for subset in subsets]
    return [recipe for recipe in CONFIG["studies"]["energy"]["recipes"] if CONFIG["recipes"][recipe] in whole]


def measuring_files():
    """The energies by which the subsets are chosen."""
    subsets = CONFIG["studies"]["energy"]["subsets"]
    return expand(
        "results/{scale}/energies/{dataset}/{recipe}/seed{seed}/training-images.parquet",
        scale=CONFIG["scale"],
        dataset=subsets["datasets"],
        recipe=sorted({CONFIG["recipes"][recipe]["leave_out"]["measured_by"] for recipe in subsets["recipes"]}),
        seed=subsets["seeds"],
    )


def study_tables(study, suffix="tex"):
    settings = CONFIG["studies"][study]
    names = TABLES[study] + [
        name
        for name, part in (("subsets", "subsets"), ("generation-grid", "generation_grid"))
        if settings[part]["recipes"]
    ]
    return expand(
        "results/{scale}/tables/{study}-{name}.{suffix}",
        scale=CONFIG["scale"],
        study=study,
        name=names,
        suffix=suffix,
    )


def study_figures(study, suffix="png"):
    settings = CONFIG["studies"][study]
    names = []
    for dataset in settings["datasets"]:
        names += [f"phases-{dataset}", *(f"plane-{dataset}-{recipe}" for recipe in plane_recipes())]
        names += [f"{name}-{dataset}" for name in ("delta", "correlation", "violins")]
        if dataset in settings["attack_energies"]["datasets"]:
            attacked = [*settings["attack_energies"]["recipes"], *models_on(study, dataset)]
            names += [f"attack-histograms-{dataset}-{recipe}" for recipe in attacked]
        names += [f"weight-{dataset}-{recipe}" for recipe in weighted_recipes()]
        if dataset in settings["subsets"]["datasets"]:
            names.append(f"subsets-{dataset}")
        if dataset in settings["generation"]["datasets"]:
            names += [f"samples-{dataset}", f"class-distances-{dataset}"]
        if dataset in settings["generation_grid"]["datasets"]:
            names += [f"grid-{dataset}-{recipe}" for recipe in settings["generation_grid"]["recipes"]]
    return expand(
        "results/{scale}/figures/{study}-{name}.{suffix}",
        scale=CONFIG["scale"],
        study=study,
        name=names,
        suffix=suffix,
    )


def study_animations(study):
    return expand(
        "results/{scale}/figures/{study}-plane-{dataset}-{recipe}.gif",
        scale=CONFIG["scale"],
        study=study,
        dataset=CONFIG["studies"][study]["datasets"],
        recipe=plane_recipes(),
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
    figures = [*study_figures(study), *study_figures(study, "pdf"), *study_animations(study)]
    return [*study_tables(study), *figures, *claims]


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


def plan_spec(wildcards):
    given = workflow.config_settings.overwrite_config  # by --configfile and --config
    return job_spec(
        "plan",
        scale=CONFIG["scale"],
        studies=list(CONFIG["studies"]),
        targets=planned_targets(),
        snakefile=os.path.relpath(workflow.main_snakefile),
        configuration=json.dumps({key: value for key, value in given.items() if key != "target"}),  # in this order
    )


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
