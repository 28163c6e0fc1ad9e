# What each job needs to know, as JSON: its parameters and the digest of the code that it uses.
import hashlib
import json

from robustlens.code_digest import code_digest


def job_spec(script, *modules, **parameters):
    """What a job needs to know, as JSON: its parameters and the digest of the code that it uses. `modules` are those
    that the script loads by name."""
    entry = Path(workflow.basedir) / "scripts" / f"{script}.py"
    return json.dumps(parameters | {"code": code_digest(entry, *modules)}, sort_keys=True)


def component_module(group, name):
    return f"robustlens.{group}.{name.replace('-', '_')}"


def download_spec(wildcards):
    return job_spec("download", **DOWNLOADS[wildcards.download])


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


def architecture_name(dataset):
    """How published/ names the architecture of a dataset's protocol: `resnet18` for the ResNet of the papers."""
    architecture = CONFIG["datasets"][dataset]["architecture"]
    resnet18 = {"family": "resnet", "blocks": [2, 2, 2, 2], "width": 64, "block": "basic"}
    return "resnet18" if architecture == resnet18 else None


def report_spec(wildcards):
    text = json.dumps(CONFIG, sort_keys=True)
    return job_spec(
        "make_report",
        title="robustlens: " + ", ".join(CONFIG["studies"]),
        scale=CONFIG["scale"],
        configuration=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


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
