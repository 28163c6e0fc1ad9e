# Which files jobs read, and which a study makes.
from robustlens.generation import inception_weights


def can_be_written(folder):
    """Whether files can be made in a folder that is there, or in the first folder above it that is."""
    folder = Path(folder)
    while not os.path.lexists(folder):
        folder = folder.parent
    return os.access(folder, os.W_OK)


def receipt_of(name):
    """The receipt of what is in results/downloads/<name>: beside it, or, where a shared folder is linked there that can't be
    written, in results/receipts/<name>. Jobs on other machines, which may be allowed other things, go by what there is.
    """
    elsewhere = f"results/receipts/{name}"
    sealed = called_by_a_person() and not can_be_written(f"results/downloads/{name}")
    return f"{elsewhere if sealed or os.path.isdir(elsewhere) else f'results/downloads/{name}'}/receipt.json"


def dataset_downloads(wildcards):
    return f"results/downloads/{configuration.download_name(CONFIG, wildcards.dataset)}"


def dataset_receipt(wildcards):
    needed = any(DOWNLOADS[configuration.download_name(CONFIG, wildcards.dataset)].values())
    return [receipt_of(configuration.download_name(CONFIG, wildcards.dataset))] if needed else []


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


def weights_of_others(wildcards):
    """What a recipe's training starts from or is given: weights of runs of the same seed."""
    folder = f"results/{wildcards.scale}/runs/{wildcards.dataset}"
    others = configuration.weights_of_others(CONFIG, wildcards.recipe).values()
    return [f"{folder}/{run['recipe']}/seed{wildcards.seed}/{run['checkpoint']}.safetensors" for run in others]


def mixed_pool(wildcards):
    """The generated images that a recipe mixes with those of the dataset."""
    mix = CONFIG["recipes"][wildcards.recipe].get("mix")
    dataset = configuration.prepared(CONFIG, wildcards.dataset)
    folder = f"results/{wildcards.scale}/generators/{dataset}/{mix['generator']}" if mix else None
    return [f"{folder}/{name}.npy" for name in ("images", "labels")] if mix else []


def fitted_generator(wildcards):
    name = configuration.fitted_as(CONFIG, wildcards.generator)
    return f"results/{wildcards.scale}/generators/{wildcards.dataset}/{name}/fitted.safetensors"


def generators_without_family():
    """Those that nothing is fitted for."""
    return [*configuration.published_sets(CONFIG), *configuration.selected_pools(CONFIG)]


def pool_to_select_from(wildcards):
    source = CONFIG["generators"][wildcards.generator]["selected"]["from"]
    folder = f"results/{wildcards.scale}/generators/{wildcards.dataset}/{source}"
    return [f"{folder}/{name}.npy" for name in ("images", "labels")]


def sample_set_downloads(wildcards):
    return f"results/downloads/{configuration.sample_set_download(CONFIG, wildcards.generator)}"


def sample_set_receipt(wildcards):
    """What must be there before images are taken from a published set; nothing for a folder that is put there by hand."""
    needed = configuration.sample_set_archives(CONFIG, wildcards.generator)
    return [receipt_of(configuration.sample_set_download(CONFIG, wildcards.generator))] if needed else []


def labelling_weights(wildcards):
    """Of the run that labels the images of a generator without classes."""
    spec = or_exit(configuration.pool_spec, CONFIG, wildcards.dataset, wildcards.generator)
    by = spec.get("labelled_by")
    folder = f"results/{wildcards.scale}/runs/{wildcards.dataset}"
    return [f"{folder}/{by['recipe']}/seed{by['seed']}/best.safetensors"] if by else []


def run_folder(wildcards):
    return f"results/{wildcards.scale}/runs/{wildcards.dataset}/{wildcards.recipe}/seed{wildcards.seed}"


def of_each_seed(seeds, path):
    """A path for each of the seeds that share a job, or as it is where each seed has its own."""
    return [path.replace("{seed}", str(seed)) for seed in seeds] or [path]


def place_of_job(seeds):
    """Where the log of an evaluation is, among those of its recipe."""
    return f"seeds-{'-'.join(map(str, seeds))}" if seeds else "seed{seed}"


def seeds_in_words(seeds):
    return f"seeds {', '.join(map(str, seeds))}" if seeds else "seed {wildcards.seed}"


def evaluated_together(seeds):
    """A constraint of {dataset}, where it begins the path of an evaluation: only those that one job makes for these seeds
    match or, without seeds, only those that have a job of their own."""
    paths = {
        shared: [
            f"{dataset}/{recipe}/seed({one_of(map(str, shared))})/{threat}/{suite}[.]"
            for dataset, recipe, threat, suite in places
        ]
        for shared, places in SELECTION.shared_evaluations.items()
    }
    ahead = f"={'|'.join(paths[seeds])}" if seeds else f"!{'|'.join(sum(paths.values(), [])) or '(?!)'}"
    return f"(?{ahead})({one_of(CONFIG['datasets'])})"


def evaluated_checkpoints(seeds):
    """An input function: the weights of each seed, one after another."""

    def files(wildcards):
        found = configuration.evaluated_checkpoints(CONFIG, wildcards.dataset, wildcards.recipe, wildcards.suite)
        names = dict.fromkeys(file for _, file in found)
        runs = f"results/{wildcards.scale}/runs/{wildcards.dataset}/{wildcards.recipe}"
        return [f"{runs}/seed{seed}/{name}.safetensors" for seed in seeds or [wildcards.seed] for name in names]

    return files


def evaluated_shards(seeds):
    """An input function: what the jobs make that share the images of an attack."""

    def files(wildcards):
        names = configuration.shards(CONFIG, wildcards.dataset, wildcards.recipe, wildcards.suite)
        of_recipe = f"results/{wildcards.scale}/shards/{wildcards.dataset}/{wildcards.recipe}"
        return [
            f"{of_recipe}/seed{seed}/{wildcards.threat}/{name}.parquet"
            for seed in seeds or [wildcards.seed]
            for name in names
        ]

    return files


def shard_weights(wildcards):
    asked = wildcards.dataset, wildcards.recipe, wildcards.checkpoint
    return f"{run_folder(wildcards)}/{or_exit(configuration.weights_of, CONFIG, *asked)}.safetensors"


def certified_weights(wildcards):
    name, *_ = CERTIFICATION_PARTS[wildcards.part]
    return f"{run_folder(wildcards)}/{configuration.certified_checkpoint(CONFIG, wildcards.recipe, name)}.safetensors"


def certified_parts(wildcards):
    """The tables of the jobs that share the images."""
    folder = f"results/{wildcards.scale}/certified/{wildcards.dataset}/{wildcards.recipe}/seed{wildcards.seed}"
    parts = [part for part, (name, *_) in CERTIFICATION_PARTS.items() if name == wildcards.certification]
    return [f"{folder}/{part}.parquet" for part in parts]


def evaluation_index(wildcards, seed):
    folder = f"results/{CONFIG['scale']}/evaluations/{wildcards.dataset}/{wildcards.recipe}/seed{seed}"
    return f"{folder}/{wildcards.threat}/{wildcards.suite}.json"


def sampled_weights(wildcards):
    return f"{run_folder(wildcards)}/{'best' if wildcards.recipe in CONFIG['recipes'] else 'published'}.safetensors"


def inception_receipt(wildcards):
    """What must be there before images are generated that only the Inception network can score."""
    features = CONFIG["datasets"][wildcards.dataset]["generation"]["features"]
    return [receipt_of("inception")] if features["kind"] == "inception" else []


def model_receipt(wildcards):
    return receipt_of(wildcards.model)


def feature_weights(wildcards):
    """The weights of the feature network: of Inception, or of a trained run."""
    features = CONFIG["datasets"][wildcards.dataset]["generation"]["features"]
    if features["kind"] == "inception":
        return inception_weights.PATH
    run = f"{features['recipe']}/seed{features['seed']}"
    return f"results/{CONFIG['scale']}/runs/{wildcards.dataset}/{run}/best.safetensors"


def feature_source(wildcards):
    """The file that says that those weights are there: the Inception file itself is not an output (see data.smk)."""
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
    item = or_exit(SELECTION.find, "animations", wildcards.study, wildcards.figure)
    return {name: item.files[name] for name in item.declared.animation}


def published_numbers(study):
    return repository_file(f"studies/{study.replace('-', '_')}/published.yaml")


def figure_labels(wildcards):
    """What Snakemake's own report (`--report`) says of a figure."""
    return {
        "figure": wildcards.figure,
        "shows": SELECTION.find("figures", wildcards.study, wildcards.figure).declared.message,
    }


def named_inputs(wildcards, input):
    """The inputs as arguments of the scripts: --input NAME FILE..."""
    files = {name: [input[name]] if isinstance(input[name], str) else input[name] for name in input.keys()}
    return [word for name, paths in files.items() for word in ("--input", name, *paths)]


def all_files(kind, *suffixes):
    """Of all studies, one after another."""
    return lambda wildcards: [path for study in CONFIG["studies"] for path in SELECTION.made(study, kind, *suffixes)]


def all_certificates(wildcards):
    """Of the jobs that made the tables, figures and claims: where the report begins to look for all jobs behind them."""
    made = [SELECTION.made(study, kind, "") for study in CONFIG["studies"] for kind in ("tables", "figures", "claims")]
    scale = f"results/{CONFIG['scale']}/"
    return [f"{scale}provenance/{path.removeprefix(scale)}.json" for paths in made for path in paths]


def dataset_sheets(wildcards):
    return [f"results/{CONFIG['scale']}/data/{name}/sheet.json" for name in configuration.used_datasets(CONFIG)]


def report_templates():
    return sorted(str(path) for path in Path(repository_file("src/robustlens/report/templates")).iterdir())


class Messages:
    """What is being made, by "<kind>/<study>/<name>": a message of a rule can't call a function, but it can format."""

    def __format__(self, place):
        kind, study, name = place.split("/")
        item = SELECTION.claims(study) if kind == "claims" else SELECTION.find(kind, study, name)
        return item.declared.message


WHAT = Messages()
