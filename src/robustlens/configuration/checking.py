"""Keys, values and parameters of components: each is valid by itself, and defaults are filled in."""

import copy
import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import jsonschema

from robustlens.configuration import sample_sets, selected
from robustlens.configuration.facts import (
    OF_ARCHITECTURE,
    OF_ATTACK,
    OF_CERTIFICATION,
    OF_CORRECTION,
    OF_GENERATOR,
    OF_RECIPE,
    architecture,
    certification,
    classes,
    smallest_side,
    training,
)
from robustlens.configuration.reading import Config
from robustlens.errors import RobustlensError
from robustlens.parameters import component, create, names, nearest, resolve


def check(config: Config, schema: Config) -> None:
    """Raise RobustlensError with the place of the first problem; otherwise the defaults are in `config` afterwards."""
    validate(config, schema)
    _resolve_components(config)


def check_trainings(config: Config, schema: Config, runs: Iterable[tuple[str, str]]) -> None:
    """Raise RobustlensError where the protocol of a dataset, with a recipe's entries in it, is not a valid one.

    runs: (dataset, recipe) of all trainings. A recipe may well not fit a dataset that it is never trained on.
    """
    of_training = {"$ref": "#/$defs/training", "$defs": schema["$defs"]}
    for dataset, recipe in runs:
        settings, chosen = training(config, dataset, recipe), config["recipes"][recipe]
        try:
            if "training" in chosen:
                validate(copy.deepcopy(settings), of_training, f"config.recipes.{recipe}.training")
        except RobustlensError as error:
            raise RobustlensError(f"{error}, on {dataset}") from error
        where = f"config.recipes.{recipe}.training" if "training" in chosen else f"config.datasets.{dataset}.training"
        _check_images(config, dataset, recipe)
        _check_training(settings, where)
        _check_padding(settings["augmentation"], smallest_side(config, dataset), where)
        _check_start(chosen, settings["epochs"], recipe, dataset)
        _check_pool(config, dataset, recipe, settings["batch_size"])
        head = component("methods", chosen["method"], f"config.recipes.{recipe}.method").head
        if head and architecture(config, dataset, recipe).get("head") != head:
            raise RobustlensError(
                f"config.recipes.{recipe}: {chosen['method']} needs another last layer; add `head: {head}`"
            )
        start = chosen.get("start_from", {}).get("recipe")
        if start and architecture(config, dataset, start) != architecture(config, dataset, recipe):
            raise RobustlensError(
                f"config.recipes.{recipe}.start_from: {start} has another architecture on {dataset}; give both the same"
            )


def _check_images(config: Config, dataset: str, recipe: str) -> None:
    """A training needs images to learn from, and others to choose the best epoch by."""
    settings, where = config["datasets"][dataset], f"config.datasets.{dataset}"
    if not settings["reader"].get("train", True):
        raise RobustlensError(
            f"{where}.reader.train: false, but {recipe} is trained on {dataset}; give `train: true`, which needs the "
            "training images"
        )
    for split in ("train", "validation"):
        if settings["splits"][split] == 0:
            raise RobustlensError(f"{where}.splits.{split}: 0, but {recipe} is trained on {dataset}; raise it")


def _check_start(chosen: Config, epochs: int, recipe: str, dataset: str) -> None:
    """What a method does after an epoch `start_epoch`, it never does in a run of no more epochs."""
    start = chosen.get("start_epoch", 0)
    if start >= epochs:
        raise RobustlensError(
            f"config.recipes.{recipe}.start_epoch: {chosen['method']} would start after epoch {start}, but the "
            f"training on {dataset} ends with epoch {epochs}; lower it"
        )


def _check_pool(config: Config, dataset: str, recipe: str, batch_size: int) -> None:
    """A pool has at least as many images as a batch takes of it; of a published set that is known later."""
    mix = config["recipes"][recipe].get("mix")
    if not mix:
        return
    generator, share = config["generators"][mix["generator"]], 1.0
    if "selected" in generator:
        share, generator = generator["selected"]["share"], config["generators"][generator["selected"]["from"]]
    if generator["per_class"] is None:  # all that there are of a published set
        return
    images = classes(config, dataset) * round(share * generator["per_class"])
    needed = round(mix["ratio"] * batch_size)
    if not 0 < needed <= images:
        raise RobustlensError(
            f"config.recipes.{recipe}.mix: a batch of {batch_size} real images on {dataset} needs {needed} generated "
            f"ones, and {mix['generator']} gives {images} in all; change `ratio`, `batch_size` or the generator's "
            "`per_class`"
        )


def _check_training(settings: Config, where: str) -> None:
    if settings["nesterov"] and not (settings["momentum"] or settings["schedule"].get("cycle_momentum")):
        raise RobustlensError(f"{where}.nesterov: there is no momentum to apply; raise `momentum`")
    factor, milestones = (settings["schedule"].get(key) for key in ("factor", "milestones"))
    if isinstance(factor, list) and len(factor) != len(milestones):
        raise RobustlensError(
            f"{where}.schedule.factor: has {len(factor)} numbers for {len(milestones)} milestones; give one for each"
        )
    late = [epoch for epoch in settings["checkpoints"] if epoch > settings["epochs"]]
    if late:
        raise RobustlensError(f"{where}.checkpoints: {late[0]} is after the last epoch, {settings['epochs']}")
    perturbed = settings["weight_perturbation"].get("start_epoch", 0)
    if perturbed >= settings["epochs"]:
        raise RobustlensError(
            f"{where}.weight_perturbation.start_epoch: weights would be perturbed after epoch {perturbed}, but the "
            f"training ends with epoch {settings['epochs']}; lower it"
        )
    averaged = settings["averaging"].get("start_epoch", 1)
    if averaged > settings["epochs"]:
        raise RobustlensError(
            f"{where}.averaging.start_epoch: {averaged} is after the last epoch, {settings['epochs']}; lower it"
        )
    warmup = settings["schedule"].get("warmup")
    if warmup and warmup["epochs"] >= settings["epochs"]:
        raise RobustlensError(
            f"{where}.schedule.warmup.epochs: {warmup['epochs']} of {settings['epochs']} epochs leave none after it; "
            "lower it"
        )


def _check_padding(augmentation: Config, side: int, where: str) -> None:
    if "padding" in augmentation and augmentation["crop_padding"] == 0:
        raise RobustlensError(f"{where}.augmentation.padding: nothing is padded; raise `crop_padding`, or take it out")
    if augmentation.get("padding") == "reflect" and augmentation["crop_padding"] >= side:
        raise RobustlensError(
            f"{where}.augmentation: {augmentation['crop_padding']} pixels can't be mirrored in images of {side}; lower "
            "`crop_padding`"
        )


def validate(config: Config, schema: Config, where: str = "config") -> None:
    """Raise on the deepest, first error, found at `where` of the configuration; fill in the defaults otherwise."""
    errors = list(_validator()(schema).iter_errors(config))
    if errors:
        raise RobustlensError(_explain(max(errors, key=lambda error: len(error.absolute_path)), where))


@functools.cache
def _validator() -> type:
    base = jsonschema.Draft202012Validator
    check = base.VALIDATORS["properties"]

    def properties(instance_validator: Any, subschemas: Config, instance: Any, schema: Config) -> Iterator:
        if isinstance(instance, dict):
            for name, subschema in subschemas.items():
                if "default" in subschema:
                    instance.setdefault(name, copy.deepcopy(subschema["default"]))
        yield from check(instance_validator, subschemas, instance, schema)

    def number(_: Any, value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)

    def integer(_: Any, value: Any) -> bool:  # JSON's 60.0 is not a number of epochs
        return isinstance(value, int) and not isinstance(value, bool)

    types = base.TYPE_CHECKER.redefine("number", number).redefine("integer", integer)
    return jsonschema.validators.extend(base, {"properties": properties}, type_checker=types)


def _explain(error: jsonschema.ValidationError, where: str) -> str:
    place = where + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
    expected = error.schema.get("description", "").rstrip(".")
    if error.validator == "oneOf" and error.context:
        told_apart = {_branch(e) for e in error.context if e.validator == "const"}
        matching = [e for e in error.context if _branch(e) not in told_apart]
        if told_apart and matching:
            return _explain(matching[0], where)
        if not told_apart and isinstance(error.instance, dict):
            return f"{place}: {', '.join(error.instance)}: not one of the forms that it may have ({expected})"
    if error.validator == "additionalProperties":
        valid = list(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in valid]
        return f"{place}: unknown key {unknown[0]!r}{nearest(unknown[0], valid)}"
    if error.validator == "required":
        return f"{place}: {error.message}"
    return f"{place}: {error.message}" + (f" ({expected})" if expected else "")


def _branch(error: jsonschema.ValidationError) -> int:
    return error.relative_schema_path[0]


# Components -----------------------------------------------------------------------------------------------------------


def _resolve_components(config: Config) -> None:
    """Check the parameters that components declare, and write their defaults into the configuration."""
    for name, recipe in config["recipes"].items():
        parameters = {k: v for k, v in recipe.items() if k not in OF_RECIPE}
        recipe.update(resolve("methods", recipe["method"], parameters, f"config.recipes.{name}"))
        if "architecture" in recipe:
            _resolve_architecture(recipe["architecture"], f"config.recipes.{name}.architecture")
        if "head" in recipe:
            resolve("heads", recipe["head"], {}, f"config.recipes.{name}.head")
        for part, settings in recipe.get("parts", {}).items():
            _resolve_architecture(settings, f"config.recipes.{name}.parts.{part}")
        for observer, settings in recipe.get("observers", {}).items():
            settings.update(resolve("observers", observer, settings, f"config.recipes.{name}.observers.{observer}"))
    for name, attack in config["attacks"].items():
        _resolve_family("attacks", attack, f"config.attacks.{name}", OF_ATTACK)
    for name, generator in config["generators"].items():
        _resolve_generator(name, generator)
    if config["discrimination"]:
        _resolve_discrimination(config["discrimination"], "config.discrimination")
    for name, correction in config["corrections"].items():
        _resolve_family("corrections", correction, f"config.corrections.{name}", OF_CORRECTION)
    for name in config["certifications"]:
        _resolve_certification(config, name, f"config.certifications.{name}")
    for name, dataset in config["datasets"].items():
        _resolve_family("data", dataset["reader"], f"config.datasets.{name}.reader")
        _check_splits(dataset, f"config.datasets.{name}")
        _resolve_architecture(dataset["architecture"], f"config.datasets.{name}.architecture")
        if "generation" in dataset:
            _resolve_sampler(dataset["generation"], f"config.datasets.{name}.generation")
    for name, model in config["models"].items():
        _resolve_architecture(model["architecture"], f"config.models.{name}.architecture")


def _resolve_certification(config: Config, name: str, where: str) -> None:
    own = config["certifications"][name]
    if own["family"] not in names("certification"):
        hint = nearest(own["family"], names("certification"))
        raise RobustlensError(f"{where}.family: unknown certification {own['family']!r}{hint}")
    _resolve_family("certification", own, where, OF_CERTIFICATION)
    chosen = certification(config, name)
    try:
        create("certification", chosen["family"], chosen["parameters"])
    except RobustlensError as error:
        raise RobustlensError(f"{where}: {error}") from error
    if own["shards"] > own.get("images", own["shards"]):
        raise RobustlensError(f"{where}.shards: {own['shards']} jobs for {own['images']} images; lower it")


def _resolve_generator(name: str, generator: Config) -> None:
    """Of a family, which is fitted, a published sample set, or a selection from another one."""
    if "selected" in generator:
        selected.check_form(name, generator)
        if "architecture" in generator["selected"]:
            where = f"config.generators.{name}.selected.architecture"
            _resolve_architecture(generator["selected"]["architecture"], where)
        return
    if "sample_set" in generator:
        sample_sets.check_form(name, generator)
        return
    for key in ("family", "per_class"):
        if generator.get(key) is None:
            other = ", or `sample_set` for published images, or `selected`" if key == "family" else ""
            raise RobustlensError(f"config.generators.{name}: {key!r} is a required property{other}")
    _resolve_family("generators", generator, f"config.generators.{name}", OF_GENERATOR)


def _check_splits(dataset: Config, where: str) -> None:
    """Of a dataset whose training images are not read, no split of them can be had."""
    for split in ("train", "validation"):
        wanted = dataset["splits"][split]
        if wanted and not dataset["reader"].get("train", True):
            raise RobustlensError(
                f"{where}.splits.{split}: {wanted} of the training images, which are not read; give 0, or the reader "
                "`train: true`"
            )


def _resolve_discrimination(settings: Config, where: str) -> None:
    """The norm is each dataset's own; any one will do to check the other parameters with."""
    if "norm" in settings:
        raise RobustlensError(f"{where}.norm: is that of a dataset's threat; take it out")
    resolved = resolve("discrimination", "discriminator", settings | {"norm": "l2"}, where)
    settings.update({key: value for key, value in resolved.items() if key != "norm"})
    epsilons = settings["epsilons"]
    if len(epsilons) < 2 or epsilons[0] != 0 or sorted(set(epsilons)) != epsilons:
        raise RobustlensError(f"{where}.epsilons: must be two or more radii, ascending from 0, got {epsilons}")


def _resolve_sampler(generation: Config, where: str) -> None:
    sampler = generation["sampler"]
    sampler.update(resolve("generation", "sampler", sampler, f"{where}.sampler"))
    for name, values in generation.get("grid", {}).get("values", {}).items():
        for value in values:
            resolve("generation", "sampler", {name: value}, f"{where}.grid.values")


def _resolve_architecture(architecture: Config, where: str) -> None:
    _resolve_family("models", architecture, where, OF_ARCHITECTURE)
    if "head" in architecture:
        resolve("heads", architecture["head"], {}, f"{where}.head")


def _resolve_family(group: str, component: Config, where: str, others: tuple[str, ...] = ("family",)) -> None:
    """others: keys of the component that are not its parameters."""
    parameters = {key: value for key, value in component.items() if key not in others}
    component.update(resolve(group, component["family"], parameters, where))
