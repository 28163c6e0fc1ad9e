"""What others ask of a loaded configuration."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from robustlens.configuration.reading import Config, merge, read_yaml, without_nulls
from robustlens.errors import RobustlensError
from robustlens.evaluation.checkpoints import BEST
from robustlens.generation import inception_weights
from robustlens.parameters import component, fraction, nearest
from robustlens.training.optional import other_runs

CATALOGUE = Path(__file__).parent.parent / "data" / "catalogue"
CHECKSUMS = ("sha256", "sha1", "md5")
OF_ARCHIVE = ("file", "bytes", *CHECKSUMS, "urls", "by_hand")
# Keys of recipes, architectures, attacks, corrections, generators and certifications that are not parameters of their
# component.
OF_RECIPE = (
    *("method", "architecture", "head", "parts", "training", "threat"),
    *("start_from", "given", "mix", "observers", "leave_out"),
    *("changes", "label", "colour", "marker"),
)
OF_ARCHITECTURE = ("family", "head", "normalisation")
OF_ATTACK = ("family", "shards", "label")
OF_CORRECTION = ("family", "label")
OF_GENERATOR = ("family", "per_class", "seed", "labelled_by", "label")
OF_CERTIFICATION = ("family", "images", "shards", "checkpoint", "label")
OF_SELECTED = ("from", "share", "by")  # of `selected`, whatever it selects by
BY_REALNESS = "realness"
DISCRIMINATOR_DEFAULTS = ("learning_rate", "attack_steps", "validation_steps")


@cache
def entry(reader: str) -> Config:
    """What the catalogue says of the dataset that a reader reads: title, licence, citation, classes, archives, ..."""
    return read_yaml(CATALOGUE / f"{reader.replace('-', '_')}.yaml")


def described(reader: Config) -> Config:
    """What is known of the dataset that this entry `reader` reads: its catalogue entry; of the user's own images,
    how many classes there are and the shape of an image are the reader's parameters."""
    found = entry(reader["family"])
    if not is_own(reader["family"]):
        return found
    return found | {"classes": reader["class_count"], "shape": _own_shape(reader)}


def is_own(family: str) -> bool:
    """Whether a reader is for images that the user brings, of which the catalogue knows nothing."""
    return entry(family).get("own", False)


def _own_shape(reader: Config) -> list[int]:
    return reader["shape"] if "shape" in reader else [1 if reader["grey"] else 3, reader["size"], reader["size"]]


def readers() -> list[str]:
    """Those that the catalogue has an entry of."""
    return [path.stem.replace("_", "-") for path in CATALOGUE.glob("*.yaml")]


def caveat(config: Config) -> str:
    """What a reader of any result must know about its scale, in one line; empty where there is nothing to know."""
    return " ".join(config.get("caveat", f"Scale {config['scale']}: not the protocol of the papers.").split())


def run_spec(config: Config, dataset: str, recipe: str) -> Config:
    """All that defines the runs of a recipe on a dataset, except the seed: architecture, method, training, threat and
    tracking, with the recipe's own entries in place of the dataset's."""
    protocol, chosen = config["datasets"][dataset], config["recipes"][recipe]
    return {
        **seen(config, dataset),
        "recipe": recipe,
        "architecture": architecture(config, dataset, recipe),
        "method": {
            "name": chosen["method"],
            "parameters": {key: value for key, value in chosen.items() if key not in OF_RECIPE},
        },
        "training": training(config, dataset, recipe),
        "threat": config["threats"][trained_under(config, dataset, recipe)],
        "tracking": protocol["tracking"],
        **{key: chosen[key] for key in ("start_from", "parts", "mix", "observers", "leave_out") if key in chosen},
        **({"given": given(config, dataset, recipe)} if "given" in chosen else {}),
    }


def trained_architectures(spec: Config) -> list[Config]:
    """Those that a training with this specification (`run_spec`) builds: its own, those of the networks that it is
    given, and those of its method's parts."""
    given = [other["architecture"] for other in spec.get("given", {}).values()]
    return [spec["architecture"], *given, *spec.get("parts", {}).values()]


def components(architecture: Config) -> list[tuple[str, str]]:
    """The group and name of each component that an architecture is built from."""
    head = [("heads", architecture["head"])] if "head" in architecture else []
    return [("models", architecture["family"]), *head]


def given(config: Config, dataset: str, recipe: str) -> Config:
    """The frozen networks of other runs that a recipe's runs need, with their architectures, by name."""
    return {
        name: other | {"architecture": architecture(config, dataset, other["recipe"])}
        for name, other in config["recipes"][recipe].get("given", {}).items()
    }


def weights_of_others(config: Config, recipe: str) -> dict[str, Config]:
    """The recipe and checkpoint of the weights that a recipe's training reads, as `other_runs` has them."""
    return other_runs(config["recipes"][recipe])


def needed(config: Config, recipe: str) -> list[str]:
    """The recipes whose runs come before this one's: it starts from them, is given them or leaves out by them."""
    found = [other["recipe"] for other in weights_of_others(config, recipe).values()]
    measured_by = config["recipes"][recipe].get("leave_out", {}).get("measured_by")
    return list(dict.fromkeys([*found, *([measured_by] if measured_by else [])]))


def labelling(config: Config, dataset: str, recipe: str) -> list[tuple[str, str]]:
    """(dataset, recipe) of the runs that label the generated images that a recipe's runs train on."""
    mix = config["recipes"][recipe].get("mix")
    by = config["generators"][image_source(config, mix["generator"])].get("labelled_by") if mix else None
    found = [by["recipe"]] if by else []
    for name in found:  # grows
        found += [other for other in needed(config, name) if other not in found]
    return [(prepared(config, dataset), name) for name in found]


def seen(config: Config, dataset: str) -> Config:
    """A dataset as networks see it: its name (`dataset`) and, if it has one, its `crop`."""
    settings = config["datasets"][dataset]
    return {"dataset": dataset, **({"crop": settings["crop"]} if "crop" in settings else {})}


def architecture(config: Config, dataset: str, recipe: str) -> Config:
    """Of the runs of a recipe on a dataset, or of a third-party model."""
    if recipe in config["models"]:
        return config["models"][recipe]["architecture"]
    chosen = config["recipes"][recipe]
    head = {"head": chosen["head"]} if "head" in chosen else {}
    return chosen.get("architecture", config["datasets"][dataset]["architecture"]) | head


def feature_architecture(config: Config, dataset: str) -> Config:
    """Of the classifier whose features score the generated images of a dataset."""
    features = config["datasets"][dataset]["generation"]["features"]
    if features["kind"] == "classifier":
        return architecture(config, dataset, features["recipe"])
    return config["datasets"][dataset]["architecture"]


def training(config: Config, dataset: str, recipe: str) -> Config:
    """The training protocol of a run: the dataset's, with the recipe's own entries in place of its. What is null there
    is removed."""
    return without_nulls(merge(config["datasets"][dataset]["training"], config["recipes"][recipe].get("training", {})))


def trained_under(config: Config, dataset: str, recipe: str) -> str:
    """The name of the threat that a recipe trains under on a dataset; for a third-party model, the dataset's."""
    return config["recipes"].get(recipe, {}).get("threat", config["datasets"][dataset]["threat"])


def evaluated_checkpoints(config: Config, dataset: str, recipe: str, suite: str) -> list[list[str]]:
    """Those of a run that a suite looks at and the run has, in the order of the suite, each with the name of its file
    of weights. `epochs` are all of the run's `training.checkpoints`."""
    if recipe in config["models"]:
        return [["published", "published"]]
    settings, also = training(config, dataset, recipe), also_deployed(config["recipes"][recipe]["method"])
    plain_head = "head" not in architecture(config, dataset, recipe)  # corrections are of a linear layer
    epochs, found = sorted(settings["checkpoints"]), []
    for name in config["suites"][suite]["checkpoints"]:
        of, _, further = name.partition("-")
        if name == "epochs":
            found += [[str(epoch), "checkpoints"] for epoch in epochs]
        elif not further:
            found.append([name, name])
        elif further in also or (of == "best" and further in settings["also_select"]):
            found.append([name, "checkpoints"])
        elif of == "best" and further in config["corrections"] and plain_head:
            found.append([name, "corrected"])
    return found


def corrections(config: Config) -> Config:
    """The family and the parameters of each, by name."""
    return {
        name: {"family": own["family"], "parameters": {k: v for k, v in own.items() if k not in OF_CORRECTION}}
        for name, own in config["corrections"].items()
    }


@cache
def also_deployed(method: str) -> tuple[str, ...]:
    return component("methods", method, "config.recipes").also


def certification(config: Config, name: str) -> Config:
    """The name, the family and the parameters of a certification."""
    own = config["certifications"][name]
    parameters = {key: value for key, value in own.items() if key not in OF_CERTIFICATION}
    return {"name": name, "family": own["family"], "parameters": parameters}


def certified_checkpoint(config: Config, recipe: str, name: str) -> str:
    """Of a run of that recipe, or of a third-party model, which has one."""
    return "published" if recipe in config["models"] else config["certifications"][name]["checkpoint"]


def certification_parts(config: Config) -> dict[str, tuple[str, int, int]]:
    """The jobs of all certifications: by the name of the table that a job makes, the certification, the job's number
    from 1, and how many there are. A single job makes the whole table, which is called like the certification."""
    found = {}
    for name, own in config["certifications"].items():
        for number in range(1, own["shards"] + 1):
            part = name if own["shards"] == 1 else f"{name}.{number}-of-{own['shards']}"
            found[part] = name, number, own["shards"]
    return found


def suite_attacks(config: Config, suite: Config) -> list[Config]:
    """The attacks of an evaluation suite: name, family, parameters, number of images (None for all), and whether it is
    run on the best checkpoint alone."""
    return [
        attack(config, name) | {"samples": suite["samples"].get(name), "best_only": name in suite["best_only"]}
        for name in suite["attacks"]
    ]


def attack(config: Config, name: str) -> Config:
    """The name, the family and the parameters of an attack. Raises RobustlensError for an unknown one, because a file
    may be asked for by its name."""
    if name not in config["attacks"]:
        raise RobustlensError(f"config.attacks has no {name!r}{nearest(name, list(config['attacks']))}")
    own = config["attacks"][name]
    parameters = {key: value for key, value in own.items() if key not in OF_ATTACK}
    return {"name": name, "family": own["family"], "parameters": parameters}


def shards(config: Config, dataset: str, recipe: str, suite: str) -> list[str]:
    """What each job makes that shares an attack of a suite with others: checkpoint/attack.images.job, with "all" or so
    many images, and the job's number from 1."""
    found = []
    for checkpoint, _ in evaluated_checkpoints(config, dataset, recipe, suite):
        for one in suite_attacks(config, config["suites"][suite]):
            jobs = config["attacks"][one["name"]]["shards"]
            if jobs > 1 and (checkpoint in BEST or not one["best_only"]):
                place = f"{checkpoint}/{one['name']}.{one['samples'] or 'all'}"
                found += [f"{place}.{number}-of-{jobs}" for number in range(1, jobs + 1)]
    return found


def weights_of(config: Config, dataset: str, recipe: str, checkpoint: str) -> str:
    """The file of weights that has a checkpoint of a run. Raises RobustlensError where no suite looks at it."""
    of_suites = [evaluated_checkpoints(config, dataset, recipe, suite) for suite in config["suites"]]
    files = dict(pair for found in of_suites for pair in found)
    if checkpoint not in files:
        raise RobustlensError(f"{recipe} on {dataset}: no suite looks at a checkpoint {checkpoint!r} of it")
    return files[checkpoint]


def fit_spec(config: Config, dataset: str, generator: str) -> Config:
    """All that defines a generator that is fitted to a prepared dataset. Raises RobustlensError for an unknown one,
    because a file may be asked for by its name."""
    defined = config["generators"]
    if generator not in defined:
        raise RobustlensError(f"config.generators: unknown generator {generator!r}{nearest(generator, list(defined))}")
    chosen = defined[generator]
    return {
        "dataset": dataset,
        "generator": {
            "name": generator,
            "family": chosen["family"],
            "parameters": {key: value for key, value in chosen.items() if key not in OF_GENERATOR},
        },
        "seed": chosen["seed"],
    }


def fitted_as(config: Config, generator: str) -> str:
    """The first generator of the configuration that is fitted alike: pools of several sizes share it."""

    def fit(name: str) -> list:
        settings = config["generators"].get(name, {})
        return [sorted((k, v) for k, v in settings.items() if k not in ("per_class", "labelled_by", "label"))]

    return next((name for name in config["generators"] if fit(name) == fit(generator)), generator)


def pool_spec(config: Config, dataset: str, generator: str) -> Config:
    """All that defines the pool of a generator on a prepared dataset."""
    spec = fit_spec(config, dataset, generator)
    chosen = config["generators"][generator]
    spec["per_class"] = chosen["per_class"]
    if "labelled_by" in chosen:
        by = chosen["labelled_by"]
        spec["labelled_by"] = by | {
            "architecture": architecture(config, dataset, by["recipe"]),
            "batch_size": config["datasets"][dataset]["evaluation"]["batch_size"],
        }
    return spec


# Published sample sets ------------------------------------------------------------------------------------------------


def published_sets(config: Config) -> list[str]:
    """The generators whose images were published."""
    return [name for name, generator in config["generators"].items() if "sample_set" in generator]


def sample_set_archives(config: Config, generator: str) -> list[Config]:
    """The files of a published sample set, in the keys of the catalogue; none where it is a folder."""
    published = config["generators"][generator]["sample_set"]
    files = [published, *([published["labels_file"]] if "labels_file" in published else [])]
    return [{key: value for key, value in file.items() if key in OF_ARCHIVE} for file in files if "file" in file]


def sample_set_download(config: Config, generator: str) -> str:
    """The folder of its files below results/downloads, which sets of the same files share."""
    archives = sample_set_archives(config, generator)
    alike = (name for name in published_sets(config) if sample_set_archives(config, name) == archives)
    return next(alike) if archives else generator


def import_spec(config: Config, dataset: str, generator: str) -> Config:
    """All that defines the pool of a published sample set on a prepared dataset, without where its files come from."""
    chosen = config["generators"][generator]
    published = {key: value for key, value in chosen["sample_set"].items() if key not in OF_ARCHIVE[1:]}
    if "labels_file" in published:
        published["labels_file"] = published["labels_file"]["file"]
    return {
        "dataset": dataset,
        "generator": generator,
        "sample_set": published,
        "archives": [
            {key: value for key, value in archive.items() if key not in ("urls", "by_hand")}
            for archive in sample_set_archives(config, generator)
        ],
        "per_class": chosen["per_class"],
        "seed": chosen["seed"],
    }


# Selected images ------------------------------------------------------------------------------------------------------


def selected_pools(config: Config) -> list[str]:
    """The generators whose images are some of those of another one."""
    return [name for name, generator in config["generators"].items() if "selected" in generator]


def image_source(config: Config, generator: str) -> str:
    """The generator that the images of this one are from: itself, or that from whose images they are selected."""
    return config["generators"][generator].get("selected", {}).get("from", generator)


def selection_spec(config: Config, dataset: str, generator: str) -> Config:
    """All that defines the pool of selected images on a prepared dataset."""
    chosen = config["generators"][generator]
    selected = chosen["selected"]
    spec = {"dataset": dataset, "generator": generator, "seed": chosen["seed"]}
    spec |= {key: selected[key] for key in OF_SELECTED}
    if selected["by"] == BY_REALNESS:
        spec |= {"architecture": selected["architecture"], "discriminator": discriminator(selected)}
    return spec


def discriminator(selected: Config) -> Config:
    """The parameters of the discriminator of a selection by realness, as far as the configuration has them: it is
    trained at one radius, with one number of steps."""
    settings = {key: selected[key] for key in ("norm", "batch_size", *DISCRIMINATOR_DEFAULTS) if key in selected}
    return settings | {"epsilons": [0, fraction(selected["epsilon"])], "steps": [selected["steps"]]}


# Datasets -------------------------------------------------------------------------------------------------------------


def archives(config: Config, dataset: str) -> list[Config]:
    """The archives of a dataset: its catalogue entry's, with what the configuration says of them instead. Another
    checksum replaces the catalogue's size too."""
    settings = config["datasets"][dataset]
    complete = []
    for archive in entry(settings["reader"]["family"])["archives"]:
        own = settings["archives"].get(archive["file"], {})
        identity = ("bytes", *CHECKSUMS) if any(kind in own for kind in CHECKSUMS) else ()
        complete.append({key: value for key, value in archive.items() if key not in identity} | own)
    return complete


def downloads(config: Config) -> Config:
    """What can be fetched: by the name of its folder under results/downloads, the archives (or the folder) it has; of a
    folder, whether its training images are wanted (`train`)."""
    found = {"inception": {"archives": [inception_weights.ARCHIVE]}}
    for dataset, settings in config["datasets"].items():
        catalogue = entry(settings["reader"]["family"])
        name = download_name(config, dataset)
        found[name] = {"archives": archives(config, dataset)} | found.get(name, {})
        if "folder" in catalogue:
            train = settings["reader"].get("train", True) or found[name].get("folder", {}).get("train", False)
            found[name]["folder"] = catalogue["folder"] | {"train": train}
    for generator in published_sets(config):
        found[sample_set_download(config, generator)] = {"archives": sample_set_archives(config, generator)}
    return found | {name: {"archives": [model["weights"]]} for name, model in config["models"].items()}


def download_name(config: Config, dataset: str) -> str:
    """The folder of a dataset's archives: datasets with the same archives share it."""
    settings = config["datasets"][dataset]
    source = settings["reader"]["family"], settings["archives"]
    if not settings["archives"]:
        return settings["reader"]["family"]
    return _first(config, lambda other: (other["reader"]["family"], other["archives"]) == source)


def prepared(config: Config, dataset: str) -> str:
    """The first dataset of the configuration whose prepared images are the same: read alike from the same archives,
    with the same splits and classes. These share one folder."""
    images = _images(config["datasets"][dataset])
    return _first(config, lambda other: _images(other) == images)


def _images(settings: Config) -> list:
    return [settings.get(key) for key in ("reader", "archives", "splits", "classes")]


def _first(config: Config, holds: Callable[[Config], bool]) -> str:
    return next(name for name, settings in config["datasets"].items() if holds(settings))


def used_datasets(config: Config) -> list[str]:
    """The prepared datasets of all cohorts."""
    cohorts = [cohort for study in config["studies"].values() for cohort in study["cohorts"].values()]
    used = dict.fromkeys(dataset for cohort in cohorts for dataset in cohort["datasets"])
    return list(dict.fromkeys(prepared(config, dataset) for dataset in used))


def classes(config: Config, dataset: str) -> int:
    """How many classes the prepared dataset has."""
    settings = config["datasets"][dataset]
    return len(settings["classes"]) if "classes" in settings else described(settings["reader"])["classes"]


def shape(reader: Config) -> tuple[int, int, int]:
    """Channels, height and width of the images that a reader prepares."""
    channels, height, width = described(reader)["shape"]
    return channels, reader.get("size", height), reader.get("size", width)


def seen_shape(config: Config, dataset: str) -> tuple[int, int, int]:
    """Channels, height and width of the images as networks see them."""
    settings = config["datasets"][dataset]
    channels, height, width = shape(settings["reader"])
    return (channels, *(settings.get("crop", side) for side in (height, width)))


def smallest_side(config: Config, dataset: str) -> int:
    """In pixels, of the images that random crops are cut from."""
    _, height, width = shape(config["datasets"][dataset]["reader"])
    return min(height, width)


def title(config: Config, dataset: str) -> str:
    """What tables and figures call a dataset: its own title, or the catalogue's with the classes that were removed. Of
    the user's own images, their name in the configuration is the title."""
    settings = config["datasets"][dataset]
    if "title" in settings:
        return settings["title"]
    known = described(settings["reader"])
    whole = dataset if is_own(settings["reader"]["family"]) else known["title"]
    return title_of_classes(whole, settings.get("classes"), known["classes"])


def cited(config: Config, dataset: str) -> dict[str, str]:
    """What a report says of a dataset beside what its sheet counts: title, citation and licence."""
    catalogue = entry(config["datasets"][dataset]["reader"]["family"])
    return {"title": title(config, dataset), "citation": catalogue["citation"], "licence": catalogue["licence"]}


def title_of_classes(whole: str, kept: Sequence[int] | None, count: int) -> str:
    """The title of a dataset that keeps some of the `count` classes of the dataset `whole` (None: all of them)."""
    removed = sorted(set(range(count)) - set(kept)) if kept is not None else []
    if not removed:
        return whole
    if len(removed) > len(kept):
        return f"classes {_numbers(sorted(kept))} of {whole}"
    return f"{whole} without class{'es' if len(removed) > 1 else ''} {_numbers(removed)}"


def _numbers(numbers: list[int]) -> str:
    """Three and more that follow one another are written as a range."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    written = [[f"{r[0]}\u2013{r[-1]}"] if len(r) > 2 else map(str, r) for r in ranges]
    return ", ".join(text for texts in written for text in texts)
