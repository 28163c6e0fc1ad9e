"""Recipes that differ in one number of their mixture: the weight of the real images, or how many are generated."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from robustlens.analysis.frames import read_runs
from robustlens.report.cells import Cell
from robustlens.report.context import Context
from robustlens.report.summary import accuracy_digits, over_seeds
from studies.proxy.results import of_attack

REAL_ALONE = 1.0  # the weight of the real images where there are no others
MATCHED = "real images alone, matched"
MATCHED_GENERATED = "generated images alone, matched"
HISTORY = ["epoch", "split", "robust_accuracy"]


@dataclass(frozen=True)
class Curve:
    """label: of the generator. recipes: by the number that they differ in, rising. matched: the recipe of real images
    alone with as many images a step and as many steps; generated_matched: that of generated ones alone. None where none
    is known."""

    label: str
    recipes: Mapping[float, str]
    matched: str | None
    generated_matched: str | None = None

    def all_recipes(self) -> list[str]:
        return [*self.recipes.values(), *filter(None, (self.matched, self.generated_matched))]


def weight_curves(context: Context, recipes: Iterable[str]) -> list[Curve]:
    """Over gamma, the weight of the real images, for each generator and training method that two or more of the recipes
    mix with, with as many generated images as real ones. Real images alone, without twice as many of them a step, are
    the end of each curve where they are known.

    What a mixture `changes` is known as matched, and what that changes as real images alone: their method is the
    mixture's. Generated images alone are matched where there are two for each real one of a step."""
    known, found = set(recipes), []
    for (_, alone), members in _alike(context, recipes, ("generator",)).items():
        as_many = [recipe for recipe in members if context.mix(recipe)["ratio"] == 1]
        by_weight = _by(as_many, lambda recipe: context.mix(recipe)["gamma"])
        if len(by_weight) > 1:
            ends = {REAL_ALONE: alone} if alone in known else {}
            matched = [name for name in members if (mix := context.mix(name))["ratio"] == 2 and mix["gamma"] == 0]
            curve = _curve(context, by_weight | ends, as_many)
            found.append(replace(curve, generated_matched=matched[0] if matched else None))
    return found


def size_curves(context: Context, recipes: Iterable[str]) -> list[Curve]:
    """Over the number of generated images of each class, for each generator, weight and training method."""
    found = []
    for members in _alike(context, recipes, ("fit", "gamma")).values():
        by_size = _by(members, lambda recipe: context.mix(recipe)["per_class"])
        if len(by_size) > 1 and None not in by_size:
            found.append(_curve(context, by_size, members))
    return found


def _alike(context: Context, recipes: Iterable[str], keys: tuple[str, ...]) -> dict[tuple, list[str]]:
    """Recipes with a mixture, by these settings of it and by the recipe of real images alone at their origin."""
    found: dict[tuple, list[str]] = {}
    for recipe in recipes:
        if mix := context.mix(recipe):
            origin = [recipe, *_unmixed(context, recipe)][-1]
            found.setdefault((*(mix[key] for key in keys), origin), []).append(recipe)
    return found


def _unmixed(context: Context, recipe: str) -> list[str]:
    """What a recipe changes, what that changes, and so on: those without generated images."""
    chain, other = [], context.changes(recipe)
    while other is not None and other not in chain:
        chain.append(other)
        other = context.changes(other)
    return [name for name in chain if not context.mix(name)]


def _by(members: Iterable[str], number) -> dict[float, str]:
    """The first recipe of each number."""
    found: dict[float, str] = {}
    for recipe in members:
        found.setdefault(number(recipe), recipe)
    return found


def _curve(context: Context, recipes: Mapping[float, str], members: list[str]) -> Curve:
    most = max(members, key=lambda recipe: context.mix(recipe)["per_class"] or 0)
    unmixed = _unmixed(context, members[0])
    label = context.mix(most)["label"]
    return Curve(label, dict(sorted(recipes.items())), unmixed[0] if len(unmixed) > 1 else None)


def of_shared_seeds(runs: pd.DataFrame, curve: Curve) -> pd.DataFrame:
    """The rows of a curve's recipes, and of what it is matched with, of the seeds that all of the curve have."""
    seeds = [set(runs[runs["recipe"] == recipe]["seed"]) for recipe in curve.recipes.values()]
    return runs[runs["recipe"].isin(curve.all_recipes()) & runs["seed"].isin(set.intersection(*seeds))]


# What validation images say ------------------------------------------------------------------------------------------


def read_validation(histories: Iterable[Path]) -> pd.DataFrame:
    """One row per run, of its best epoch (the first one of the highest robust accuracy on validation images): dataset,
    recipe, seed, epoch, robust_accuracy (0..1) and source."""
    rows = read_runs(histories, HISTORY)
    rows = rows[rows["split"] == "validation"].sort_values("epoch", kind="stable")
    best = rows.sort_values("robust_accuracy", ascending=False, kind="stable").groupby("source", sort=False).head(1)
    return best.drop(columns="split").reset_index(drop=True)


def chosen(curve: Curve, validation: pd.DataFrame) -> dict[int, float]:
    """Seed -> the number whose run has the highest robust accuracy on validation images; of equal ones the largest.
    Only seeds that all recipes of the curve have. validation: of one dataset."""
    table = pd.DataFrame(
        {
            number: validation[validation["recipe"] == recipe].set_index("seed")["robust_accuracy"]
            for number, recipe in curve.recipes.items()
        }
    ).dropna()
    return {int(seed): float(max(row.index[row == row.max()])) for seed, row in table.sort_index().iterrows()}


def of_choice(runs: pd.DataFrame, curve: Curve, choice: Mapping[int, float], attack: str) -> pd.DataFrame:
    """The rows of each seed's own choice, as if they were of one recipe."""
    parts = [of_attack(runs, curve.recipes[number], attack) for number in choice.values()]
    own = [part[part["seed"] == seed] for seed, part in zip(choice, parts, strict=True)]
    return pd.concat(own) if own else runs.iloc[:0]


def accuracy_cell(rows: pd.DataFrame) -> Cell:
    """Mean and standard deviation over the seeds, in %. rows: of one recipe under one attack, with points."""
    images = int(rows["index"].nunique()) or None
    return over_seeds(
        rows.groupby("seed")["points"].mean(), accuracy_digits(images), "%", rows["source"].unique(), images
    )
