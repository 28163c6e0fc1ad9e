# Which files jobs read, and which a study makes.
from robustlens.generation import inception_weights

TABLES = {"energy": ["robustness", "differences", "autoattack", "phases", "energies", "attack-energies", "generation"]}


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


def needs_download(dataset):
    return any(DOWNLOADS[configuration.download_name(CONFIG, dataset)].values())


def dataset_downloads(wildcards):
    return f"results/downloads/{configuration.download_name(CONFIG, wildcards.dataset)}"


def dataset_receipt(wildcards):
    return [f"{dataset_downloads(wildcards)}/receipt.json"] if needs_download(wildcards.dataset) else []


def measured_energies(wildcards):
    """The energies by which a recipe with `leave_out` chooses its images: of the run of the same seed."""
    chosen = CONFIG["recipes"][wildcards.recipe].get("leave_out")
    if chosen is None:
        return []
    run = f"{wildcards.dataset}/{chosen['measured_by']}/seed{wildcards.seed}"
    return [f"results/{wildcards.scale}/energies/{run}/training-images.parquet"]


def evaluated_checkpoints(wildcards):
    ours = wildcards.recipe in CONFIG["recipes"]
    names = CONFIG["suites"][wildcards.suite]["checkpoints"] if ours else ["published"]
    return expand("results/{scale}/runs/{dataset}/{recipe}/seed{seed}/{name}.safetensors", name=names, **wildcards)


def sampled_weights(wildcards):
    name = "best" if wildcards.recipe in CONFIG["recipes"] else "published"
    return (
        f"results/{wildcards.scale}/runs/{wildcards.dataset}/{wildcards.recipe}/seed{wildcards.seed}/{name}.safetensors"
    )


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


def of_dataset(paths):
    """An input function: those of the paths that are of the dataset of the wildcards."""
    return lambda wildcards: [path for path in paths if f"/{wildcards.dataset}/" in path]


def of_run(paths):
    """An input function: those of the paths that are of the dataset and the recipe of the wildcards."""
    return lambda wildcards: [path for path in paths if f"/{wildcards.dataset}/{wildcards.recipe}/" in path]


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
