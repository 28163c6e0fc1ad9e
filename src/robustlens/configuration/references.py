"""Entries that name other entries: every name is defined, and what depends on another entry fits it."""

from collections.abc import Collection, Iterable
from typing import Any

from robustlens.configuration import facts
from robustlens.configuration.reading import Config, merge
from robustlens.errors import RobustlensError
from robustlens.parameters import component, names, nearest
from robustlens.report.escape import latex
from robustlens.training.selection import SELECTIONS


def known(used: Iterable[str], defined: Collection[str], what: str, where: str) -> None:
    """Raise for a name that is not defined; what: of which kind it is."""
    for name in used:
        if name not in defined:
            raise RobustlensError(f"{where}: unknown {what} {name!r}{nearest(name, list(defined))}")


def inherit(config: Config) -> None:
    """A dataset that is `like` another one takes over what it does not say itself, or removes by null.

    Of a dataset with another reader it takes over neither title, archives nor classes, and with archives of its own no
    title. With classes of its own, it has the other's title with what was removed.
    """
    datasets = config.get("datasets")
    if not isinstance(datasets, dict):
        return
    for name, dataset in datasets.items():
        seen = [name]
        while isinstance(dataset, dict) and "like" in dataset:
            model, where = dataset["like"], f"config.datasets.{name}.like"
            if not isinstance(model, str):
                raise RobustlensError(f"{where}: {model!r} is not the name of a dataset")
            known([model], datasets, "dataset", where)
            if model in seen:
                raise RobustlensError(f"{where}: {' is like '.join([*seen, model])}: a circle")
            seen.append(model)
            own = {key: value for key, value in dataset.items() if key != "like"}
            dataset = _taken_over(datasets[model], own)
        datasets[name] = dataset


def _taken_over(other: Any, own: Config) -> Any:
    if not isinstance(other, dict):
        return merge(other, own)
    lost: tuple[str, ...] = ()
    if "reader" in own and merge(other.get("reader"), own["reader"]) != other.get("reader"):
        lost = ("title", "archives", "classes")
    elif own.get("archives"):
        lost = ("title",)
    other = {key: value for key, value in other.items() if key not in lost}
    if "classes" in own and "title" not in own and "title" in other:
        other["title"] = _title_of_classes(other, own["classes"])
    return merge(other, own)


def _title_of_classes(other: Config, kept: Any) -> Any:
    """Nothing of all this has been checked yet: what is wrong stays as it is, and is refused later."""
    family = other["reader"].get("family") if isinstance(other.get("reader"), dict) else None
    numbers = isinstance(kept, list) and all(isinstance(number, int) for number in kept)
    if not (numbers and isinstance(other["title"], str) and family in facts.readers()):
        return other["title"]
    count = other["reader"].get("class_count") if facts.is_own(family) else facts.entry(family)["classes"]
    return facts.title_of_classes(other["title"], kept, count) if isinstance(count, int) else other["title"]


def check(config: Config) -> None:
    """Raise RobustlensError for the first name that is not defined or entry that does not fit another one."""
    for name, suite in config["suites"].items():
        known(suite["attacks"], config["attacks"], "attack", f"config.suites.{name}.attacks")
        for part in ("samples", "best_only"):
            known(suite[part], suite["attacks"], "attack", f"config.suites.{name}.{part}")
        _check_checkpoints(config, suite["checkpoints"], f"config.suites.{name}.checkpoints")
    for name, model in config["models"].items():
        known([model["dataset"]], config["datasets"], "dataset", f"config.models.{name}.dataset")
        if name in config["recipes"]:
            raise RobustlensError(f"config.models.{name}: a recipe has this name; choose another")
    for name, recipe in config["recipes"].items():
        _check_recipe(config, name, recipe)
    for name, generator in config["generators"].items():
        _check_labels(config, name, generator)
        _check_source(config, name, generator)
    for name, dataset in config["datasets"].items():
        _check_dataset(config, name, dataset)
    _check_texts(config)


def _check_checkpoints(config: Config, checkpoints: Iterable[str], where: str) -> None:
    """Each further one is of a name that some run may have."""
    further = [name for name in checkpoints if "-" in name]
    if not further:
        return
    deployed = {other for method in names("methods") for other in facts.also_deployed(method)}
    for taken in sorted(config["corrections"].keys() & (deployed | {*SELECTIONS})):
        raise RobustlensError(f"config.corrections.{taken}: other checkpoints have this name; choose another")
    possible = [f"{of}-{name}" for name in sorted(deployed) for of in ("best", "last")]
    possible += [f"best-{name}" for name in (*SELECTIONS, *config["corrections"])]
    known(further, possible, "checkpoint", where)


def _check_recipe(config: Config, name: str, recipe: Config) -> None:
    where = f"config.recipes.{name}"
    if "threat" in recipe:
        known([recipe["threat"]], config["threats"], "threat", f"{where}.threat")
    seen = [name]
    while "changes" in config["recipes"][seen[-1]]:
        changed = config["recipes"][seen[-1]]["changes"]
        known([changed], config["recipes"], "recipe", f"config.recipes.{seen[-1]}.changes")
        if changed in seen:
            raise RobustlensError(f"{where}.changes: {' changes '.join([*seen, changed])}: a circle")
        seen.append(changed)
    by = recipe.get("leave_out", {}).get("measured_by")
    if by is not None:
        known([by], config["recipes"], "recipe", f"{where}.leave_out.measured_by")
        if "leave_out" in config["recipes"][by]:
            raise RobustlensError(
                f"{where}.leave_out.measured_by: {by} leaves images out itself; name a recipe that trains "
                "on all of them"
            )
    if "mix" in recipe:
        known([recipe["mix"]["generator"]], config["generators"], "generator", f"{where}.mix.generator")
        if "leave_out" in recipe:
            raise RobustlensError(
                f"{where}.mix: a generator is fitted to all training images, so what `leave_out` removes would come "
                "back in its images; take one of the two out"
            )
    _check_networks(name, recipe)
    _check_other_runs(config, name, recipe)


def _check_labels(config: Config, name: str, generator: Config) -> None:
    """Every generated image has a label: its class, or what a classifier that has seen none of them says."""
    where, by = f"config.generators.{name}", generator.get("labelled_by")
    if not generator.get("conditional", True) and by is None:
        raise RobustlensError(
            f"{where}: its images have no labels; add `labelled_by: {{recipe: NAME}}`, or `conditional: true`"
        )
    if by is None:
        return
    if generator.get("conditional", True):
        raise RobustlensError(f"{where}.labelled_by: its images have the classes that they are drawn of; take it out")
    known([by["recipe"]], config["recipes"], "recipe", f"{where}.labelled_by.recipe")
    for other in sorted(_before(config, by["recipe"])):
        if "mix" in config["recipes"][other]:
            raise RobustlensError(
                f"{where}.labelled_by.recipe: {other} trains on generated images itself; name one that does not"
            )


def _check_source(config: Config, name: str, generator: Config) -> None:
    """Images are selected from those of a generator that has images of its own."""
    source = facts.image_source(config, name)
    where = f"config.generators.{name}.selected.from"
    known([source], config["generators"], "generator", where)
    if "selected" in generator and "selected" in config["generators"][source]:
        raise RobustlensError(f"{where}: {source} is selected itself; name a generator that is fitted or published")


def _check_networks(name: str, recipe: Config) -> None:
    """The further networks of a recipe are those that its method asks for."""
    where, method = f"config.recipes.{name}", component("methods", recipe["method"], f"config.recipes.{name}.method")
    for key, wanted, what, example in (
        ("given", method.given, "a network {} of another run", "{{recipe: NAME}}"),
        ("parts", method.parts, "the architecture of its {}", "{{family: NAME}}"),
    ):
        known(recipe.get(key, {}), wanted, f"network of {recipe['method']}", f"{where}.{key}")
        for missing in wanted:
            if missing not in recipe.get(key, {}):
                raise RobustlensError(
                    f"{where}: {recipe['method']} needs {what.format(repr(missing))}; add "
                    f"`{key}: {{{missing}: {example.format()}}}`"
                )


def _check_other_runs(config: Config, name: str, recipe: Config) -> None:
    """No recipe waits for itself."""
    where, given = f"config.recipes.{name}", recipe.get("given", {})
    places = {f"given.{key}.recipe": other["recipe"] for key, other in given.items()}
    places |= {"start_from.recipe": recipe["start_from"]["recipe"]} if "start_from" in recipe else {}
    if "measured_by" in recipe.get("leave_out", {}):
        places["leave_out.measured_by"] = recipe["leave_out"]["measured_by"]
    for place, other in places.items():
        known([other], config["recipes"], "recipe", f"{where}.{place}")
        if name in _before(config, other):
            raise RobustlensError(f"{where}.{place}: a run of {other} needs one of {name} itself: a circle")


def _before(config: Config, recipe: str) -> set[str]:
    """The recipe and all that its runs need, directly or not."""
    found: set[str] = set()
    waiting = [recipe]
    while waiting:
        name = waiting.pop()
        if name not in found and name in config["recipes"]:
            found.add(name)
            waiting += facts.needed(config, name)
    return found


def _check_dataset(config: Config, name: str, dataset: Config) -> None:
    where = f"config.datasets.{name}"
    known([dataset["threat"]], config["threats"], "threat", f"{where}.threat")
    _check_own(dataset["reader"], f"{where}.reader")
    if "classes" in dataset:
        known_facts = facts.described(dataset["reader"])
        for number in dataset["classes"]:
            if number >= known_facts["classes"]:
                last = known_facts["classes"] - 1
                raise RobustlensError(
                    f"{where}.classes: {known_facts['title']} has no class {number}; its classes are 0 to {last}"
                )
        dataset["classes"] = sorted(dataset["classes"])  # their order means nothing
    _check_crop(dataset, where)
    _check_archives(config, name, dataset, where)
    epochs = dataset["training"]["epochs"]
    late = [epoch for epoch in dataset["tracking"]["energy_epochs"] if epoch > epochs]
    if late:
        raise RobustlensError(f"{where}.tracking.energy_epochs: {late[0]} is after the last epoch, {epochs}")
    features = dataset.get("generation", {}).get("features", {})
    if "recipe" in features:
        known([features["recipe"]], config["recipes"], "recipe", f"{where}.generation.features.recipe")


def _check_own(reader: Config, where: str) -> None:
    """What a reader of the user's own images says in place of the catalogue."""
    if not facts.is_own(reader["family"]):
        return
    if reader["class_count"] < 2:
        raise RobustlensError(f"{where}.class_count: must be at least 2, got {reader['class_count']}")
    if len(facts.described(reader)["shape"]) != 3:
        raise RobustlensError(
            f"{where}.shape: must be [channels, height, width], got {reader['shape']}; [1, 28, 28] are grey images"
        )


def _check_crop(dataset: Config, where: str) -> None:
    _, height, width = facts.shape(dataset["reader"])
    if dataset.get("crop", 0) > min(height, width):
        raise RobustlensError(
            f"{where}.crop: {dataset['crop']} pixels are more than the images have, {height}x{width}; lower it"
        )


def _check_archives(config: Config, name: str, dataset: Config, where: str) -> None:
    """Archives are those of the catalogue, and another dataset's do not pass for the original."""
    catalogue = facts.entry(dataset["reader"]["family"])
    by_name = {archive["file"]: archive for archive in catalogue["archives"]}
    known(dataset["archives"], by_name, "archive", f"{where}.archives")
    for file, own in dataset["archives"].items():
        published = any(by_name[file].get(kind) for kind in facts.CHECKSUMS)
        another = any(own[kind] != by_name[file].get(kind) for kind in facts.CHECKSUMS if kind in own)
        if published and another and "title" not in dataset:
            raise RobustlensError(
                f"{where}.archives.{file}: an archive with another checksum than {catalogue['title']}'s is another "
                "dataset: give it a `title` of its own"
            )
    for archive in facts.archives(config, name):
        check_checksum(archive, f"{where}.archives.{archive['file']}")


def check_checksum(archive: Config, where: str) -> None:
    """Nothing is used that can't be verified."""
    if not any(archive.get(kind) for kind in facts.CHECKSUMS):
        raise RobustlensError(f"{where}: no checksum is known for it; add its `sha256` (sha256sum FILE prints it)")


def _check_texts(config: Config) -> None:
    """Labels, titles and what else is printed in tables and the report, which LaTeX must be able to."""
    sections = (
        *(("recipes", "label"), ("attacks", "label"), ("generators", "label"), ("corrections", "label")),
        *(("certifications", "label"), ("datasets", "title")),
        *(("models", "title"), ("models", "citation")),
    )
    texts = [
        (settings.get(key, ""), f"config.{section}.{name}.{key}")
        for section, key in sections
        for name, settings in config[section].items()
    ]
    for text, where in [*texts, (facts.caveat(config), "config.caveat")]:
        try:
            latex(text)
        except RobustlensError as error:
            raise RobustlensError(f"{where}: {error}") from error
