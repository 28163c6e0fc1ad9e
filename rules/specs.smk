# What each job needs to know, as JSON: its parameters and the digest of the code that it uses.
import hashlib
import json

from robustlens.code_digest import code_digest
from robustlens.training import optional


def script_file(name):
    """One of scripts/ or, by its path from the repository without the ending, of a study."""
    return (Path(workflow.basedir) / (name if os.sep in name else Path("scripts", name))).with_suffix(".py")


def job_spec(script, *modules, **parameters):
    """What a job needs to know, as JSON: its parameters, the arithmetic and the digest of the code that it uses. `modules`
    are those that the script loads by name."""
    parameters = {"arithmetic": CONFIG["arithmetic"]} | parameters
    return json.dumps(parameters | {"code": code_digest(script_file(script), *modules)}, sort_keys=True)


def component_module(group, name):
    return f"robustlens.{group}.{name.replace('-', '_')}"


def of_run(wildcards):
    return configuration.seen(CONFIG, wildcards.dataset) | {"recipe": wildcards.recipe, "seed": int(wildcards.seed)}


def download_spec(wildcards):
    return json.dumps(DOWNLOADS[wildcards.download] | {"code": code_digest(script_file("download"))}, sort_keys=True)


def data_spec(wildcards):
    dataset = CONFIG["datasets"][wildcards.dataset]
    return job_spec(
        "prepare_data",
        component_module("data", dataset["reader"]["family"]),
        reader=dataset["reader"],
        archives=[
            {key: value for key, value in archive.items() if key in ("file", "bytes", *configuration.CHECKSUMS)}
            for archive in configuration.archives(CONFIG, wildcards.dataset)
        ],
        splits=dataset["splits"],
        facts={"name": wildcards.dataset},
        **({"classes": dataset["classes"]} if "classes" in dataset else {}),
    )


def train_spec(wildcards):
    spec = configuration.run_spec(CONFIG, wildcards.dataset, wildcards.recipe)
    return job_spec(
        "train",
        component_module("methods", spec["method"]["name"]),
        *(component_module("models", family) for family in configuration.trained_families(spec)),
        *optional.modules(spec),
        seed=int(wildcards.seed),
        **spec,
    )


def measure_spec(wildcards):
    architecture = configuration.architecture(CONFIG, wildcards.dataset, wildcards.recipe)
    return job_spec(
        "measure_energies",
        component_module("models", architecture["family"]),
        **of_run(wildcards),
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


def evaluate_spec(wildcards):
    """Each attack has a digest of its own: a change of one attack's code recomputes only that attack."""
    architecture = configuration.architecture(CONFIG, wildcards.dataset, wildcards.recipe)
    model = component_module("models", architecture["family"])
    attacks = [
        attack | {"code": code_digest(script_file("evaluate"), model, component_module("attacks", attack["family"]))}
        for attack in configuration.suite_attacks(CONFIG, CONFIG["suites"][wildcards.suite])
    ]
    return job_spec(
        "evaluate",
        **of_run(wildcards),
        suite=wildcards.suite,
        architecture=architecture,
        threat={"name": wildcards.threat, **CONFIG["threats"][wildcards.threat]},
        attacks=attacks,
        batch_size=CONFIG["datasets"][wildcards.dataset]["evaluation"]["batch_size"],
    )


def generate_spec(wildcards):
    settings = CONFIG["datasets"][wildcards.dataset]["generation"]
    architecture = configuration.architecture(CONFIG, wildcards.dataset, wildcards.recipe)
    return job_spec(
        "generate_samples",
        component_module("models", architecture["family"]),
        **of_run(wildcards),
        architecture=architecture,
        sampler=settings["sampler"],
        per_class=settings["per_class"],
        batch_size=settings["batch_size"],
    )


def pool_spec(wildcards):
    spec = or_exit(configuration.pool_spec, CONFIG, wildcards.dataset, wildcards.generator)
    return job_spec("generate_pool", component_module("generators", spec["generator"]["family"]), **spec)


def grid_spec(wildcards):
    settings = CONFIG["datasets"][wildcards.dataset]["generation"]
    own = configuration.architecture(CONFIG, wildcards.dataset, wildcards.recipe)
    theirs = configuration.feature_architecture(CONFIG, wildcards.dataset)
    return job_spec(
        "generate_grid",
        component_module("models", own["family"]),
        component_module("models", theirs["family"]),
        **of_run(wildcards),
        architecture=own,
        sampler=settings["sampler"],
        grid=settings["grid"],
        features=settings["features"],
        feature_architecture=theirs,
        batch_size=settings["batch_size"],
    )


def feature_spec(script):
    """What the jobs that look through the feature network need to know."""

    def spec(wildcards):
        settings = CONFIG["datasets"][wildcards.dataset]["generation"]
        architecture = configuration.feature_architecture(CONFIG, wildcards.dataset)
        return job_spec(
            script,
            component_module("models", architecture["family"]),
            **configuration.seen(CONFIG, wildcards.dataset),
            features=settings["features"],
            architecture=architecture,
            batch_size=settings["batch_size"],
        )

    return spec


def item_spec(script):
    """What a table, a figure, an animation or a ledger needs to know: its builder, and what that is told."""

    def spec(wildcards):
        item = item_of(wildcards)
        context = SELECTION.context(item).to_json()
        return job_spec(script, item.builder, builder=item.builder, context=context)

    return spec


def chapter_facts(study):
    """Of a study's chapter; its headline numbers are those of the table of robustness, and called as there."""
    table = SELECTION.tables(study.name).get("robustness")
    context = SELECTION.context(table).to_json() if table else None
    return {"title": study.title, "paper": study.paper, "robustness": context}


def report_spec(wildcards):
    text = json.dumps(CONFIG, sort_keys=True)
    return job_spec(
        "make_report",
        title="robustlens: " + ", ".join(CONFIG["studies"]),
        scale=CONFIG["scale"],
        caveat=configuration.caveat(CONFIG),
        configuration=hashlib.sha256(text.encode()).hexdigest()[:16],
        datasets=[configuration.cited(CONFIG, name) for name in configuration.used_datasets(CONFIG)],
        studies={name: chapter_facts(study) for name, study in SELECTION.studies.items()},
    )


def plan_spec(wildcards):
    return job_spec(
        "plan",
        scale=CONFIG["scale"],
        studies=list(CONFIG["studies"]),
        targets=planned_targets(),
        snakefile=os.path.relpath(workflow.main_snakefile),
        configfiles=[os.path.relpath(file) for file in workflow.config_settings.configfiles],
        entries=ENTRIES,
        stages=PLANNED,
    )
