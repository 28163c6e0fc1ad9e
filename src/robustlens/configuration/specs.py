"""What the jobs that look through networks are told of the configuration.

names: of what a job is for, as attributes (`dataset`, `recipe`, `seed`, ...): the wildcards of its rule.
"""

from collections.abc import Sequence
from typing import Any

from robustlens.configuration import facts
from robustlens.configuration.reading import Config
from robustlens.errors import RobustlensError


def of_recipe(config: Config, names: Any) -> Config:
    return facts.seen(config, names.dataset) | {
        "recipe": names.recipe,
        "architecture": facts.architecture(config, names.dataset, names.recipe),
    }


def of_run(config: Config, names: Any) -> Config:
    return of_recipe(config, names) | {"seed": int(names.seed)}


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


def evaluated(config: Config, names: Any, seeds: Sequence[int] = ()) -> Config:
    """seeds: of the runs that one job evaluates; none for a job that evaluates the run of `names.seed`."""
    runs = of_recipe(config, names) | {"seeds": list(seeds)} if seeds else of_run(config, names)
    return runs | {
        "suite": names.suite,
        "threat": {"name": names.threat, **config["threats"][names.threat]},
        "checkpoints": facts.evaluated_checkpoints(config, names.dataset, names.recipe, names.suite),
        "attacks": facts.suite_attacks(config, config["suites"][names.suite]),
        "batch_size": config["datasets"][names.dataset]["evaluation"]["batch_size"],
    }


def shard(config: Config, names: Any) -> Config:
    """names.checkpoint, attack, images and shard: of `facts.shards`."""
    number, shards = map(int, names.shard.split("-of-"))
    if number > shards:
        raise RobustlensError(f"{names.shard}: the last of {shards} jobs is {shards}-of-{shards}")
    samples = None if names.images == "all" else int(names.images)
    weights = facts.weights_of(config, names.dataset, names.recipe, names.checkpoint)
    return of_run(config, names) | {
        "threat": {"name": names.threat, **config["threats"][names.threat]},
        "checkpoints": [[names.checkpoint, weights]],
        "attacks": [facts.attack(config, names.attack) | {"samples": samples, "best_only": False}],
        "batch_size": config["datasets"][names.dataset]["evaluation"]["batch_size"],
        "shard": number,
        "shards": shards,
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
