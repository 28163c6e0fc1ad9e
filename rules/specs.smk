# What each job needs to know, as JSON: its parameters and the digest of the code that it uses.
import hashlib
import json

from robustlens.code_digest import code_digest, remember
from robustlens.configuration import specs
from robustlens.data import own_files as own_images
from robustlens.study.setup import setup
from robustlens.training import optional

remember(Path(".snakemake", "robustlens-code.json"))


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


def architecture_modules(*architectures):
    """Those that networks of these architectures are built from."""
    parts = [part for architecture in architectures for part in configuration.components(architecture)]
    return [component_module(*part) for part in dict.fromkeys(parts)]


def download_spec(wildcards):
    name = wildcards.download
    if name not in DOWNLOADS:
        sys.exit(f"results/downloads/{name}: nothing of this scale is kept there{nearest(name, list(DOWNLOADS))}")
    if receipt_of(name) != f"results/{wildcards.place}/{name}/receipt.json":
        sys.exit(f"results/{wildcards.place}/{name}/receipt.json: the receipt is {receipt_of(name)}; ask for that")
    return json.dumps(DOWNLOADS[wildcards.download] | {"code": code_digest(script_file("download"))}, sort_keys=True)


def own_files(reader):
    """Of the user's own images, what shows that their files were changed since they were prepared."""
    return {"files": own_images.state(reader["path"])} if configuration.is_own(reader["family"]) else {}


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
        **own_files(dataset["reader"]),
        splits=dataset["splits"],
        facts={"name": wildcards.dataset},
        **({"classes": dataset["classes"]} if "classes" in dataset else {}),
    )


def train_spec(wildcards):
    spec = configuration.run_spec(CONFIG, wildcards.dataset, wildcards.recipe)
    return job_spec(
        "train",
        component_module("methods", spec["method"]["name"]),
        *architecture_modules(*configuration.trained_architectures(spec)),
        *optional.modules(spec),
        seed=int(wildcards.seed),
        **spec,
    )


def network_spec(script, told):
    """What a job needs to know that looks through networks. told: the function of `configuration.specs`."""

    def spec(wildcards):
        found = told(CONFIG, wildcards)
        networks = [found[key] for key in ("architecture", "feature_architecture") if key in found]
        return job_spec(script, *architecture_modules(*networks), **found)

    return spec


def correct_spec(wildcards):
    found = specs.corrected(CONFIG, wildcards)
    modules = [component_module("corrections", chosen["family"]) for chosen in found["corrections"].values()]
    return job_spec("correct", *architecture_modules(found["architecture"]), *modules, **found)


def evaluate_spec(seeds):
    """Each attack has a digest of its own: a change of one attack's code recomputes only that attack."""

    def spec(wildcards):
        found = specs.evaluated(CONFIG, wildcards, seeds)
        model = architecture_modules(found["architecture"])
        for attack in found["attacks"]:
            attack["code"] = code_digest(script_file("evaluate"), *model, component_module("attacks", attack["family"]))
        return job_spec("evaluate", **found)

    return spec


def shard_spec(wildcards):
    found = or_exit(specs.shard, CONFIG, wildcards)
    family = component_module("attacks", found["attacks"][0]["family"])
    # The digest of the evaluation's own job, which looks for these very parameters.
    found["attacks"][0]["code"] = code_digest(
        script_file("evaluate"), *architecture_modules(found["architecture"]), family
    )
    return job_spec("evaluate_shard", *architecture_modules(found["architecture"]), family, **found)


def certify_spec(wildcards):
    found = specs.certified(CONFIG, wildcards)
    family = component_module("certification", found["certification"]["family"])
    return job_spec("certify", *architecture_modules(found["architecture"]), family, **found)


def fit_spec(wildcards):
    spec = or_exit(configuration.fit_spec, CONFIG, wildcards.dataset, wildcards.generator)
    return job_spec("fit_generator", component_module("generators", spec["generator"]["family"]), **spec)


def pool_spec(wildcards):
    spec = or_exit(configuration.pool_spec, CONFIG, wildcards.dataset, wildcards.generator)
    labels = architecture_modules(spec["labelled_by"]["architecture"]) if "labelled_by" in spec else []
    return job_spec("generate_pool", component_module("generators", spec["generator"]["family"]), *labels, **spec)


def import_spec(wildcards):
    spec = configuration.import_spec(CONFIG, wildcards.dataset, wildcards.generator)
    return job_spec("import_pool", f"robustlens.generators.published.{spec['sample_set']['layout']}", **spec)


def selection_spec(wildcards):
    spec = configuration.selection_spec(CONFIG, wildcards.dataset, wildcards.generator)
    modules = architecture_modules(spec["architecture"]) if "architecture" in spec else []
    return job_spec("select_pool", *modules, **spec)


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
    made = {"tables": SELECTION.tables(study.name), "figures": SELECTION.figures(study.name)}
    return {
        "title": study.title,
        "paper": study.paper,
        "robustness": SELECTION.context(table).to_json() if table else None,
        "setup": setup(CONFIG, study),
        "appendix": {
            kind: [name for name, item in items.items() if item.declared.appendix] for kind, items in made.items()
        },
    }


def report_spec(wildcards):
    text = json.dumps(CONFIG, sort_keys=True)
    return job_spec(
        "make_report",
        title="robustlens: " + ", ".join(CONFIG["studies"]),
        scale=CONFIG["scale"],
        caveat=configuration.caveat(CONFIG),
        seeds=sorted({run.seed for study in SELECTION.studies.values() for run in SELECTION.all_runs(study)}),
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
