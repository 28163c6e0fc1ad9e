"""Evaluations written by hand for the tests of this study."""

import pandas as pd
from synthetic import ATTACK_LABELS, LABELS, THREAT, THREATS, write_evaluations

from robustlens.report.context import Context, Recipe
from robustlens.study.declaration import USES


def rows(labels, predictions, recipe="sat", seed=0, attack="pgd20", dataset="digits"):
    """One row per image of one recipe and seed under one attack, best checkpoint."""
    columns = {"checkpoint": "best", "attack": attack, "index": range(len(labels)), "label": labels}
    columns |= {"prediction_adversarial": predictions, "recipe": recipe, "seed": seed, "dataset": dataset}
    return pd.DataFrame(columns).assign(threat=THREAT, source=f"{dataset}/{recipe}/seed{seed}/{attack}")


def right(recipe, seed, rates, images=10, attack="pgd20"):
    """As `rows`, of classes 0, 1, ... with `images` images each, of which these shares are classified correctly, the
    others as the next class."""
    labels = [c for c in range(len(rates)) for _ in range(images)]
    wrong = [(c + 1) % len(rates) for c in labels]
    ok = [i < round(images * rate) for rate in rates for i in range(images)]
    predictions = [c if good else w for c, good, w in zip(labels, ok, wrong, strict=True)]
    return rows(labels, predictions, recipe, seed, attack)


def write(folder, frames, dataset="digits"):
    """The indexes of suites of frames of `rows`, one per recipe and seed."""
    paths = []
    for (recipe, seed), frame in pd.concat(frames).groupby(["recipe", "seed"], sort=False):
        own = frame.drop(columns=["recipe", "seed", "dataset", "threat", "source"])
        paths.append(write_evaluations(folder, own, recipe, int(seed), dataset))
    return paths


def context(name, **changes):
    look = {"colour": "#0072B2", "threats": {"digits": THREAT}}
    recipes = {recipe: Recipe(label, **look) for recipe, (label, _) in LABELS.items()}
    fields = {"recipes": recipes, "attacks": ATTACK_LABELS, "threats": THREATS, "uses": USES}
    return Context(name, "classwise", **fields | changes)
