"""Generators whose images are selected from those of another one: what can be wrong with them before any job."""

from collections.abc import Iterable
from math import prod

from robustlens.configuration import facts
from robustlens.configuration.reading import Config
from robustlens.configuration.references import known
from robustlens.errors import RobustlensError
from robustlens.parameters import resolve

OF_GENERATOR = ("selected", "seed", "label")
NEEDED_BY_REALNESS = ("norm", "epsilon", "steps", "batch_size", "architecture")


def check_form(name: str, generator: Config) -> None:
    """Raise RobustlensError for keys that don't belong to a selection; otherwise the defaults of its discriminator are
    in it afterwards. Its architecture is not looked at."""
    where, selected = f"config.generators.{name}", generator["selected"]
    for key, what in (("family", "is fitted"), ("sample_set", "is published")):
        if key in generator:
            raise RobustlensError(
                f"{where}: has a `{key}`, which {what}, and is `selected` from others; take one of the two out"
            )
    if generator["per_class"] is not None:
        raise RobustlensError(f"{where}.per_class: how many images are kept follows from `share`; take it out")
    known((key for key in generator if key != "per_class"), OF_GENERATOR, "key", where)
    where = f"{where}.selected"
    if selected["by"] != facts.BY_REALNESS:
        for key in selected:
            if key not in facts.OF_SELECTED:
                raise RobustlensError(f"{where}.{key}: only `by: {facts.BY_REALNESS}` trains anything; take it out")
        return
    for key in NEEDED_BY_REALNESS:
        if key not in selected:
            raise RobustlensError(f"{where}: by {facts.BY_REALNESS} needs `{key}`")
    resolved = resolve("discrimination", "discriminator", facts.discriminator(selected), where)
    selected.update({key: resolved[key] for key in facts.DISCRIMINATOR_DEFAULTS})


def check(config: Config, runs: Iterable[tuple[str, str]]) -> None:
    """Raise RobustlensError for a discriminator that is made for images of another size than the runs' ones.

    runs: (dataset, recipe) of all trainings.
    """
    for dataset, recipe in runs:
        generator = config["recipes"][recipe].get("mix", {}).get("generator")
        if generator in facts.selected_pools(config):
            inputs = config["generators"][generator]["selected"].get("architecture", {}).get("inputs")
            values = prod(facts.shape(config["datasets"][dataset]["reader"]))
            if inputs not in (None, values):
                raise RobustlensError(
                    f"config.generators.{generator}.selected.architecture.inputs: {inputs}, and the images of "
                    f"{dataset} have {values} values; correct it, or select by another entry for this dataset"
                )
