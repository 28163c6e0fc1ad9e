"""Components that can't be built with their parameters or for their dataset, or can't be trained or scored on as many
images as there are.

What components need is written here a second time because their own files import torch, which takes seconds; tests
build them, for images of many sizes.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from robustlens.configuration import facts
from robustlens.configuration.ranges import architectures
from robustlens.configuration.reading import Config
from robustlens.errors import RobustlensError
from robustlens.study.declaration import Study

IMAGENET_DEPTHS = (18, 34, 50, 101, 152)
WIDE = ("wide-resnet", "dm-wide-resnet")
GROUPS = 8  # of GroupNorm in the UNet of a diffusion model
# `generation.quality.score` gives a score for each of ten parts, and each has two images.
LEAST_SCORED = 20
# Values of parameters that exclude one another, by section and component.
TOGETHER = (
    ("attacks", "pgd", {"loss": "kl", "start": "image"}, "there its gradient is zero; use `start: gaussian`"),
    ("attacks", "pgd", {"loss": "kl", "targeted": True}, "it has no label that it could lead to; use `loss: ce`"),
    (
        *("recipes", "arat", {"predictor": True, "gradient": "to-natural"}),
        "it learns only from the gradient to the adversarial features; set `predictor: false`",
    ),
)
# Attacks and methods for threats in L-inf alone, with what makes them so.
LINF_ATTACKS = {"off-centre-pgd": {}}
LINF_METHODS = {"off-centre-sat": {}, "arat": {"start": "as-released"}}


class Sides(NamedTuple):
    """Of an image or a map, in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    def halved(self, times: int) -> "Sides":
        """By convolutions of stride 2, which round up."""
        return Sides(*(math.ceil(side / 2**times) for side in self))


def check(config: Config, runs: Iterable[tuple[str, str]], studies: Mapping[str, Study]) -> None:
    """Raise RobustlensError for the first component that doesn't fit its dataset.

    runs: (dataset, recipe) of all trainings. A recipe may well not fit a dataset that it is never trained on.
    """
    _check_together(config)
    places = {id(architecture): where for architecture, where in architectures(config)}
    for dataset, recipe in runs:
        chosen, shape = config["recipes"][recipe], facts.seen_shape(config, dataset)
        trained = [chosen.get("architecture", config["datasets"][dataset]["architecture"])]
        trained += chosen.get("parts", {}).values()
        for architecture in trained:
            _check_network(architecture, shape, places[id(architecture)], dataset)
        _check_last_batch(config, dataset, recipe, trained)
        if _is_one_of(LINF_METHODS, chosen["method"], chosen):
            threat = facts.trained_under(config, dataset, recipe)
            _check_linf(config, threat, f"config.recipes.{recipe}.method: {chosen['method']}", dataset)
        if "mix" in chosen:
            _check_generator(config, chosen["mix"]["generator"], dataset, places)
    for name, model in config["models"].items():
        shape = facts.seen_shape(config, model["dataset"])
        _check_network(model["architecture"], shape, f"config.models.{name}.architecture", model["dataset"])
    for name, study in config["studies"].items():
        for key, cohort in study["cohorts"].items():
            needs = studies[name].cohorts[key].needs if name in studies else ()
            for dataset in cohort["datasets"]:
                _check_scored(config, dataset, needs)
                _check_attacks(config, cohort, dataset, f"config.studies.{name}.cohorts.{key}.suite")


# Parameters and norms -------------------------------------------------------------------------------------------------


def _check_together(config: Config) -> None:
    for section, component, values, why in TOGETHER:
        for name, entry in config[section].items():
            if _is_one_of({component: values}, entry.get("family", entry.get("method")), entry):
                named = " with ".join(f"`{key}: {str(value).lower()}`" for key, value in values.items())
                raise RobustlensError(f"config.{section}.{name}: {component} can't have {named}: {why}")
    for name, generator in config["generators"].items():
        if generator.get("family") == "ddpm" and generator["sampling_steps"] > generator["levels"]:
            raise RobustlensError(
                f"config.generators.{name}.sampling_steps: {generator['sampling_steps']} are more than its "
                f"{generator['levels']} `levels`; lower them"
            )


def _is_one_of(components: Mapping[str, Config], name: str, parameters: Config) -> bool:
    return name in components and all(parameters[key] == value for key, value in components[name].items())


def _check_attacks(config: Config, cohort: Config, dataset: str, where: str) -> None:
    threat = cohort.get("threat", config["datasets"][dataset]["threat"])
    for name in config["suites"][cohort["suite"]]["attacks"] if "suite" in cohort else ():
        attack = config["attacks"][name]
        if _is_one_of(LINF_ATTACKS, attack["family"], attack):
            _check_linf(config, threat, f"{where}: {cohort['suite']} has the attack {name}, which", dataset)


def _check_linf(config: Config, threat: str, what: str, dataset: str) -> None:
    if config["threats"][threat]["norm"] != "linf":
        raise RobustlensError(
            f"{what} is only for L-inf, and the threat on {dataset}, {threat}, is not; take pgd or sat"
        )


# Networks -------------------------------------------------------------------------------------------------------------


def _check_network(architecture: Config, shape: tuple[int, int, int], where: str, dataset: str) -> None:
    """shape: channels, height and width of what it sees."""
    channels, sides, family = shape[0], Sides(*shape[1:]), architecture["family"]
    for key, values in architecture.get("normalisation", {}).items():
        if len(values) != channels:
            count = f"{len(values)} number{'s' if len(values) > 1 else ''}"
            raise RobustlensError(
                f"{where}.normalisation.{key}: has {count}, and images of {dataset} have {channels} "
                f"channel{'s' if channels > 1 else ''}; give one per channel"
            )
    if family in WIDE and (architecture["depth"] < 10 or (architecture["depth"] - 4) % 6):
        raise RobustlensError(f"{where}.depth: must be 6 n + 4 (10, 16, 28, 34, 70, ...), got {architecture['depth']}")
    if family == "imagenet-resnet" and architecture["depth"] not in IMAGENET_DEPTHS:
        depths = ", ".join(map(str, IMAGENET_DEPTHS))
        raise RobustlensError(f"{where}.depth: must be one of {depths}, got {architecture['depth']}")
    values = math.prod(shape)
    if family == "mlp" and architecture["inputs"] != values:
        raise RobustlensError(
            f"{where}.inputs: {architecture['inputs']}, and the images of {dataset} have {values} values; correct it"
        )
    if family == "small-cnn" and not all(28 <= side < 32 for side in sides):
        raise RobustlensError(
            f"{where}: small-cnn is for images of 28x28, and those of {dataset} are {sides}; take another family"
        )
    if family == "dm-wide-resnet" and any(side % 4 for side in sides):
        raise RobustlensError(
            f"{where}: dm-wide-resnet halves images twice, which those of {dataset} ({sides}) can't be; take another "
            "family"
        )


def smallest_normalised(architecture: Config, sides: Sides) -> Sides | None:
    """The map that the last BatchNorm of a network sees of one image; None for a network without any."""
    family = architecture["family"]
    if family in ("resnet", "preact-resnet"):
        return sides.halved(len(architecture["blocks"]) - 1)
    if family == "imagenet-resnet":
        return sides.halved(5)
    if family in WIDE:
        return sides.halved(2)
    return None


def _check_last_batch(config: Config, dataset: str, recipe: str, trained: list[Config]) -> None:
    """In training, BatchNorm needs two values of each channel. What a run leaves out is known later."""
    chosen, settings = config["recipes"][recipe], config["datasets"][dataset]
    batch_size, images = facts.training(config, dataset, recipe)["batch_size"], train_images(config, dataset)
    if "mix" in chosen or "leave_out" in chosen or images is None:
        return
    if (images % batch_size or batch_size) > 1:
        return
    sides = Sides(*facts.seen_shape(config, dataset)[1:])
    networks = [a["family"] for a in trained if smallest_normalised(a, sides) == (1, 1)]
    of_features = chosen["method"] == "arat" and chosen["predictor"]
    if networks or of_features:
        where = f"recipes.{recipe}" if "batch_size" in chosen.get("training", {}) else f"datasets.{dataset}"
        what = f"maps of one pixel ({networks[0]} on {sides})" if networks else "features (arat's predictor)"
        other = "`splits.train`" if settings["splits"]["train"] is not None else "`splits.validation`"
        smaller = ", or take a network of fewer stages" if networks else ""
        raise RobustlensError(
            f"config.{where}.training.batch_size: {images} training images of {dataset} in batches of {batch_size} "
            f"leave one for the last batch, and BatchNorm of {what} can't train on a single image; change "
            f"`batch_size` or {other}{smaller}"
        )


def train_images(config: Config, dataset: str) -> int | None:
    """How many images the training split has; None where only the archives, or the user's own files, say."""
    settings = config["datasets"][dataset]
    sizes, train = facts.described(settings["reader"]).get("sizes"), settings["splits"]["train"]
    if train is not None:
        return train
    another = any(kind in archive for archive in settings["archives"].values() for kind in facts.CHECKSUMS)
    if sizes is None or another or "classes" in settings or not sizes["test"]:
        return None
    return sizes["train"] - settings["splits"]["validation"]


# Generators and scores ------------------------------------------------------------------------------------------------


def _check_generator(config: Config, generator: str, dataset: str, places: Mapping[int, str]) -> None:
    shape = facts.shape(config["datasets"][dataset]["reader"])
    architecture = config["generators"][generator].get("selected", {}).get("architecture")
    if architecture:
        _check_network(architecture, shape, places[id(architecture)], dataset)
    name = facts.image_source(config, generator)
    chosen, where, sides = config["generators"][name], f"config.generators.{name}", Sides(*shape[1:])
    if chosen.get("family") != "ddpm":
        return
    multiple = GROUPS if chosen["denoiser"] == "unet" else 2
    if chosen["width"] % multiple:
        raise RobustlensError(
            f"{where}.width: must be a multiple of {multiple} for the denoiser {chosen['denoiser']}, got "
            f"{chosen['width']}"
        )
    halvings = chosen["depth"] - 1
    if chosen["denoiser"] == "unet" and any(side % 2**halvings for side in sides):
        raise RobustlensError(
            f"{where}.depth: a unet of depth {chosen['depth']} halves images {halvings} times, which those of "
            f"{dataset} ({sides}) can't be; lower it"
        )


def _check_scored(config: Config, dataset: str, needs: Iterable[str]) -> None:
    """Generated images, and those that they are compared with, are as many as a score needs."""
    generation, classes = config["datasets"][dataset].get("generation", {}), facts.classes(config, dataset)
    where = f"config.datasets.{dataset}.generation"
    for setting, place in (("generation", where), ("generation.grid", f"{where}.grid")):
        if setting in needs:
            own = generation if setting == "generation" else generation["grid"]
            if own["per_class"] * classes < LEAST_SCORED:
                raise RobustlensError(
                    f"{place}.per_class: {own['per_class']} images of each of {classes} classes are fewer than the "
                    f"{LEAST_SCORED} that a score needs; raise it"
                )
            reference = generation["features"]["reference"]
            count = _images_of(config, dataset, reference)
            if count is not None and count < LEAST_SCORED:
                raise RobustlensError(
                    f"config.datasets.{dataset}.splits.{reference}: {count} images are fewer than the {LEAST_SCORED} "
                    "that scores compare with; raise it"
                )


def _images_of(config: Config, dataset: str, split: str) -> int | None:
    return train_images(config, dataset) if split == "train" else config["datasets"][dataset]["splits"]["test"]
