"""Lengths in pixel units that can't be meant, because images are in [0, 1]: most are in units of 0 to 255."""

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from robustlens.configuration import facts
from robustlens.configuration.reading import Config
from robustlens.errors import RobustlensError
from robustlens.parameters import fraction

LEVELS = 255
OF_THREAT = ("epsilon", "step_size")
# Standard deviations of noise in images, by the section of the configuration, the component and its parameter.
NOISE = (
    *(("recipes", "smoothing", "sigma"), ("certifications", "smoothing", "sigma")),
    *(("generators", "kde", "bandwidth"), ("attacks", "friendly-pgd", "noise")),
)


def check(config: Config, runs: Iterable[tuple[str, str]]) -> None:
    """Raise RobustlensError for the first length that is more than two images can be apart, and for a normalisation in
    other units than the images'.

    runs: (dataset, recipe) of all trainings; what an L2 radius is compared with are the images of these and of the
    evaluations.
    """
    for name, threat in config["threats"].items():
        if threat["norm"] == "linf":
            for key in OF_THREAT:
                _check_length(threat[key], f"config.threats.{name}.{key}", 1.0)
    for name, dataset in _l2_threats(config, runs):
        for key in OF_THREAT:
            _check_l2(config, config["threats"][name][key], f"config.threats.{name}.{key}", dataset)
    for name, generator in config["generators"].items():
        if generator.get("selected", {}).get("norm") == "linf":
            _check_length(generator["selected"]["epsilon"], f"config.generators.{name}.selected.epsilon", 1.0)
    for dataset, recipe in runs:
        generator = config["recipes"][recipe].get("mix", {}).get("generator")
        selected = config["generators"][generator].get("selected", {}) if generator else {}
        if selected.get("norm") == "l2":
            _check_l2(config, selected["epsilon"], f"config.generators.{generator}.selected.epsilon", dataset)
    _check_discrimination(config)
    for section, component, parameter in NOISE:
        for name, entry in config[section].items():
            if component in (entry.get("method"), entry.get("family")):
                _check_length(entry[parameter], f"config.{section}.{name}.{parameter}", 1.0)
    for name, dataset in config["datasets"].items():
        if "generation" in dataset:
            noise = dataset["generation"]["sampler"]["noise"]
            _check_length(noise, f"config.datasets.{name}.generation.sampler.noise", 1.0)
    for architecture, where in architectures(config):
        for key, values in architecture.get("normalisation", {}).items():
            for number, value in enumerate(values):
                _check_normalisation(value, f"{where}.normalisation.{key}[{number}]")


def architectures(config: Config) -> Iterable[tuple[Config, str]]:
    """Every architecture of the configuration, with its place."""
    for section in ("datasets", "recipes", "models"):
        for name, entry in config[section].items():
            if "architecture" in entry:
                yield entry["architecture"], f"config.{section}.{name}.architecture"
            for part, architecture in entry.get("parts", {}).items():
                yield architecture, f"config.{section}.{name}.parts.{part}"
    for name, generator in config["generators"].items():
        if "architecture" in generator.get("selected", {}):
            yield generator["selected"]["architecture"], f"config.generators.{name}.selected.architecture"


def _l2_threats(config: Config, runs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The names of the threats in L2, each with a dataset whose images are trained on or evaluated under it."""
    used = [(facts.trained_under(config, dataset, recipe), dataset) for dataset, recipe in runs]
    for study in config["studies"].values():
        for cohort in study["cohorts"].values():
            used += [(cohort.get("threat", config["datasets"][d]["threat"]), d) for d in cohort["datasets"]]
    return [(name, dataset) for name, dataset in dict.fromkeys(used) if config["threats"][name]["norm"] == "l2"]


def _check_discrimination(config: Config) -> None:
    """Its radii are in the norm of each dataset's threat. Studies say which datasets it looks at: the widest counts."""
    norms = {name: config["threats"][dataset["threat"]]["norm"] for name, dataset in config["datasets"].items()}
    most = max((1.0 if norm == "linf" else _diameter(config, dataset) for dataset, norm in norms.items()), default=1.0)
    for number, epsilon in enumerate(config["discrimination"].get("epsilons", [])):
        _check_length(epsilon, f"config.discrimination.epsilons[{number}]", most, "which no two images are apart")


def _check_l2(config: Config, value: Any, where: str, dataset: str) -> None:
    _check_length(
        value, where, _diameter(config, dataset), f"the distance of a black image of {dataset} from a white one"
    )


def _diameter(config: Config, dataset: str) -> float:
    return math.sqrt(math.prod(facts.seen_shape(config, dataset)))


def _check_length(value: Any, where: str, most: float, what: str = "the whole range of a pixel") -> None:
    if fraction(value) > most:
        raise RobustlensError(f"{where}: {value} is more than {most:.4g}, {what}; {_instead(value, most)}")


def _check_normalisation(value: float, where: str) -> None:
    if not 0 <= value <= 1:
        hint = f"did you mean {value / LEVELS:.3g}?" if 0 < value <= LEVELS else "correct it"
        raise RobustlensError(f"{where}: {value} is not between 0 and 1, and images are in [0, 1]; {hint}")


def _instead(value: Any, most: float) -> str:
    """What may be meant: 8/255 for 8 and for 255/8."""
    exact = Fraction(str(value))
    if exact.numerator == LEVELS and exact.denominator > 1:
        return f"did you mean {exact.denominator}/{LEVELS}?"
    if exact / LEVELS > most:
        return "correct it"
    return f"did you mean {exact}/{LEVELS}?" if exact.denominator == 1 else f"did you mean {float(exact / LEVELS):.4g}?"
