"""What the jobs that look through networks are told of the configuration.

names: of what a job is for, as attributes (`dataset`, `recipe`, `seed`, ...): the wildcards of its rule.
"""

from typing import Any

from robustlens.configuration import facts
from robustlens.configuration.reading import Config


def of_run(config: Config, names: Any) -> Config:
    return facts.seen(config, names.dataset) | {
        "recipe": names.recipe,
        "seed": int(names.seed),
        "architecture": facts.architecture(config, names.dataset, names.recipe),
    }


def measured(config: Config, names: Any) -> Config:
    return of_run(config, names) | {"batch_size": config["datasets"][names.dataset]["tracking"]["batch_size"]}


def corrected(config: Config, names: Any) -> Config:
    tracking = config["datasets"][names.dataset]["tracking"]
    return of_run(config, names) | {
        "threat": config["threats"][facts.trained_under(config, names.dataset, names.recipe)],
        "tracking": {key: tracking[key] for key in ("attack_steps", "batch_size")},
        "corrections": facts.corrections(config),
    }


def imported(config: Config, names: Any) -> Config:
    model = config["models"][names.model]
    return {
        "model": names.model,
        "dataset": names.dataset,
        "architecture": model["architecture"],
        "weights": {key: value for key, value in model["weights"].items() if key not in ("urls", "by_hand")},
        "citation": model["citation"],
        **({"part": model["part"]} if "part" in model else {}),
    }


def evaluated(config: Config, names: Any) -> Config:
    return of_run(config, names) | {
        "suite": names.suite,
        "threat": {"name": names.threat, **config["threats"][names.threat]},
        "checkpoints": facts.evaluated_checkpoints(config, names.dataset, names.recipe, names.suite),
        "attacks": facts.suite_attacks(config, config["suites"][names.suite]),
        "batch_size": config["datasets"][names.dataset]["evaluation"]["batch_size"],
    }


def certified(config: Config, names: Any) -> Config:
    """names.part: of `certification_parts`."""
    name, number, shards = facts.certification_parts(config)[names.part]
    return of_run(config, names) | {
        "certification": facts.certification(config, name),
        "images": config["certifications"][name].get("images"),
        "checkpoint": facts.certified_checkpoint(config, names.recipe, name),
        "shard": number,
        "shards": shards,
        "batch_size": config["datasets"][names.dataset]["evaluation"]["batch_size"],
    }


def sampled(config: Config, names: Any) -> Config:
    settings = config["datasets"][names.dataset]["generation"]
    return of_run(config, names) | _sampler(settings) | {key: settings[key] for key in ("per_class", "batch_size")}


def grid(config: Config, names: Any) -> Config:
    settings = config["datasets"][names.dataset]["generation"]
    return of_run(config, names) | {
        **_sampler(settings),
        **{key: settings[key] for key in ("grid", "features", "batch_size")},
        "feature_architecture": facts.feature_architecture(config, names.dataset),
    }


def _sampler(settings: Config) -> Config:
    """The precision only where it is not float32, which it was before there was a choice."""
    reduced = {"precision": "bfloat16"} if settings.get("precision") == "bfloat16" else {}
    return {"sampler": settings["sampler"]} | reduced


def features(config: Config, names: Any) -> Config:
    settings = config["datasets"][names.dataset]["generation"]
    return facts.seen(config, names.dataset) | {
        "features": settings["features"],
        "architecture": facts.feature_architecture(config, names.dataset),
        "batch_size": settings["batch_size"],
    }
