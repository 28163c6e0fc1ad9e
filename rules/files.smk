# Which files jobs read, and which a study makes.
from robustlens.generation import inception_weights


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


def dataset_downloads(wildcards):
    return f"results/downloads/{configuration.download_name(CONFIG, wildcards.dataset)}"


def dataset_receipt(wildcards):
    needed = any(DOWNLOADS[configuration.download_name(CONFIG, wildcards.dataset)].values())
    return [f"{dataset_downloads(wildcards)}/receipt.json"] if needed else []


def prepared_datasets():
    """Those that are prepared: datasets with the same images share them."""
    return dict.fromkeys(configuration.prepared(CONFIG, name) for name in CONFIG["datasets"])


def dataset_folder(wildcards):
    return f"results/{CONFIG['scale']}/data/{configuration.prepared(CONFIG, wildcards.dataset)}"


def dataset_sheet(wildcards):
    """The sheet of a prepared dataset; its arrays lie beside it."""
    return f"{dataset_folder(wildcards)}/sheet.json"


def measured_energies(wildcards):
    """The energies by which a recipe with `leave_out` chooses its images: of the run of the same seed."""
    measured_by = CONFIG["recipes"][wildcards.recipe].get("leave_out", {}).get("measured_by")
    run = f"{wildcards.dataset}/{measured_by}/seed{wildcards.seed}"
    return [f"results/{wildcards.scale}/energies/{run}/training-images.parquet"] if measured_by else []


def run_folder(wildcards):
    return f"results/{wildcards.scale}/runs/{wildcards.dataset}/{wildcards.recipe}/seed{wildcards.seed}"


def evaluated_checkpoints(wildcards):
    ours = wildcards.recipe in CONFIG["recipes"]
    names = CONFIG["suites"][wildcards.suite]["checkpoints"] if ours else ["published"]
    return [f"{run_folder(wildcards)}/{name}.safetensors" for name in names]


def evaluation_index(wildcards):
    folder = f"results/{CONFIG['scale']}/evaluations/{wildcards.dataset}/{wildcards.recipe}/seed{wildcards.seed}"
    return f"{folder}/{wildcards.threat}/{wildcards.suite}.json"


def sampled_weights(wildcards):
    return f"{run_folder(wildcards)}/{'best' if wildcards.recipe in CONFIG['recipes'] else 'published'}.safetensors"


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


def repository_file(path):
    """A file of this repository, from where Snakemake works: a checkout that was moved re-runs nothing."""
    return os.path.relpath(f"{workflow.basedir}/{path}")


# Studies ----------------------------------------------------------------------------------------------------------------


def item_of(wildcards):
    """What a job makes for a study: a table, a figure, or the ledger of its claims."""
    for kind, name in (("tables", "table"), ("figures", "figure")):
        if name in wildcards.keys():
            return or_exit(SELECTION.find, kind, wildcards.study, wildcards[name])
    return SELECTION.claims(wildcards.study) or sys.exit(f"the study {wildcards.study} has no claims")


def item_inputs(wildcards):
    """The files of each named input."""
    item = item_of(wildcards)
    published = {item.published: published_numbers(wildcards.study)} if item.published else {}
    return {**item.files, **published}


def animation_inputs(wildcards):
    item = item_of(wildcards)
    return {name: item.files[name] for name in item.declared.animation}


def published_numbers(study):
    return repository_file(f"studies/{study.replace('-', '_')}/published.yaml")


def named_inputs(wildcards, input):
    """The inputs as arguments of the scripts: --input NAME FILE..."""
    files = {name: [input[name]] if isinstance(input[name], str) else input[name] for name in input.keys()}
    return [word for name, paths in files.items() for word in ("--input", name, *paths)]


def study_files(study, kind, *suffixes):
    names = {"tables": SELECTION.tables, "figures": SELECTION.figures, "animations": SELECTION.animations}[kind](study)
    folder = "tables" if kind == "tables" else "figures"
    return [
        f"results/{CONFIG['scale']}/studies/{study}/{folder}/{name}{suffix}" for name in names for suffix in suffixes
    ]


def all_files(kind, *suffixes):
    """Of all studies, one after another."""
    return lambda wildcards: [path for study in CONFIG["studies"] for path in study_files(study, kind, *suffixes)]


def claims_files(*suffixes):
    """The ledgers of the studies that judge claims."""
    judged = [study for study in CONFIG["studies"] if SELECTION.claims(study)]
    return [f"results/{CONFIG['scale']}/studies/{study}/claims{suffix}" for study in judged for suffix in suffixes]


def study_results(study):
    """All that one study promises."""
    made = [*study_files(study, "tables", ".tex"), *study_files(study, "figures", ".png", ".pdf")]
    claims = [f"results/{CONFIG['scale']}/studies/{study}/claims.tex"] if SELECTION.claims(study) else []
    return [*made, *study_files(study, "animations", ".gif"), *claims]


def used_datasets():
    """The prepared datasets of all cohorts."""
    cohorts = [cohort for study in CONFIG["studies"].values() for cohort in study["cohorts"].values()]
    used = dict.fromkeys(dataset for cohort in cohorts for dataset in cohort["datasets"])
    return list(dict.fromkeys(configuration.prepared(CONFIG, dataset) for dataset in used))


def dataset_sheets(wildcards):
    return [f"results/{CONFIG['scale']}/data/{name}/sheet.json" for name in used_datasets()]


def report_templates():
    return sorted(str(path) for path in Path(repository_file("src/robustlens/report/templates")).iterdir())


class Messages:
    """What is being made, by "<kind>/<study>/<name>": a message of a rule can't call a function, but it can format."""

    def __format__(self, place):
        kind, study, name = place.split("/")
        item = SELECTION.claims(study) if kind == "claims" else SELECTION.find(kind, study, name)
        return item.declared.message


WHAT = Messages()
