"""The numbers that a reader wants first: which recipes of a study withstand attacks best and worst."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.context import Context
from robustlens.report.summary import accuracy_digits
from robustlens.report.table import Table

MOST = 3  # recipes of equal accuracy that are listed
PICKED = "Picked by measured accuracy: the highest of several numbers is more likely too high than too low."


@dataclass(frozen=True)
class Recipe:
    """One recipe on one dataset, at the first checkpoint of the table. accuracies: by attack, of those measured."""

    label: str
    seeds: int
    accuracies: Mapping[str, Cell]


def headlines(robustness: Path, context: Context) -> Table | None:
    """The most and the least robust recipes of every dataset of a study, and the most accurate without attack.

    robustness: the CSV of the study's table "robustness", whose columns are "<checkpoint>: <attack>", those of the best
    checkpoint first. context: what that table was told. None where nothing was attacked.

    Recipes are compared under AutoAttack where it was measured, otherwise under the attack that leaves the lowest mean
    accuracy, and among those with the most seeds: a single run is more often far above or below its mean. The best one
    with fewer seeds is named apart.
    """
    checkpoint, datasets = accuracies(robustness, context)
    rows, notes, files = [], [], []
    compared = {dataset: attack for dataset, recipes in datasets.items() if (attack := strongest(recipes))}
    if not compared:
        return None
    for dataset, attack in compared.items():
        prefix = f"{dataset}: " if len(datasets) > 1 else ""
        picked = _picked(datasets[dataset], attack)
        measured = [attack, *(["clean"] if any("clean" in r.accuracies for _, r in picked) else [])]
        rows += [(f"{prefix}{why}" if prefix else why[0].upper() + why[1:], recipe) for why, recipe in picked]
        files += [file for _, r in picked for a in measured if a in r.accuracies for file in r.accuracies[a].sources]
        if images := _images(measured, picked):
            notes.append(prefix + images)
    attacks = [*dict.fromkeys(compared.values()), "clean"]
    columns = tuple(Column("without attack" if attack == "clean" else attack) for attack in attacks)
    rows = tuple(
        Row(recipe.label, tuple(replace(recipe.accuracies.get(attack, Cell()), best=False) for attack in attacks), why)
        for why, recipe in rows
    )
    if any(recipe.seeds > 1 for recipes in datasets.values() for recipe in recipes):
        notes.append("± is the standard deviation over seeds (n \u2212 1).")
    on = f" on {next(iter(datasets))}" if len(datasets) == 1 and all(datasets) else ""
    at = f", {checkpoint[0].lower()}{checkpoint[1:]}" if checkpoint else ""
    title = context.caption(f"The most and the least robust recipes{on}: accuracy in %{at}.")
    notes += threats.notes(threats.evaluated(files), context)
    return Table(f"{context.study}-headlines", title, "recipe", columns, rows, (*notes, PICKED))


def accuracies(robustness: Path, context: Context) -> tuple[str, dict[str, list[Recipe]]]:
    """The first checkpoint of the table, and what it has of that: recipes by title of their dataset."""
    with open(robustness, newline="") as file:
        rows = list(csv.DictReader(file))
    checkpoint = rows[0]["column"].rpartition(": ")[0] if rows else ""
    found: dict[str, dict[str, dict[str, Cell]]] = {}
    for row in rows:
        of_checkpoint, _, attack = row["column"].rpartition(": ")
        if of_checkpoint == checkpoint and row["value"]:
            dataset = row["group"] or _title(row["files"], context)
            attack = "clean" if attack.casefold() == "clean" else attack
            found.setdefault(dataset, {}).setdefault(row["row"], {})[attack] = _cell(row)
    return checkpoint, {
        dataset: [
            Recipe(label, max(cell.n_seeds for cell in cells.values()), cells) for label, cells in recipes.items()
        ]
        for dataset, recipes in found.items()
    }


def _title(files: str, context: Context) -> str:
    """Of the dataset in a table of a single one, which doesn't name it."""
    return "".join(map(context.dataset_title, threats.evaluated([files])["dataset"]))


def _cell(row: Mapping[str, str]) -> Cell:
    images = int(row["n_images"]) if row["n_images"] else None
    return Cell(
        value=float(row["value"]),
        std=float(row["std"]) if row["std"] else None,
        digits=accuracy_digits(images),
        unit=row["unit"],
        n_seeds=int(row["n_seeds"] or 1),
        n_images=images,
        sources=tuple(row["files"].split(";")),
        best=row["best"] == "yes",
    )


def strongest(recipes: list[Recipe]) -> str | None:
    """The attack that recipes are compared under; None where none was attacked."""
    attacks = dict.fromkeys(attack for recipe in recipes for attack in recipe.accuracies if attack != "clean")
    # By its whole first word: `autoattack-10` is another attack.
    full = next((attack for attack in attacks if attack.casefold().split()[0] == "autoattack"), None)
    return full or min(attacks, key=lambda attack: _mean(recipes, attack), default=None)


def _mean(recipes: list[Recipe], attack: str) -> float:
    values = [recipe.accuracies[attack].value for recipe in recipes if attack in recipe.accuracies]
    return sum(values) / len(values)


def _picked(recipes: list[Recipe], attack: str) -> list[tuple[str, Recipe]]:
    """Recipes, each with why it is picked."""
    attacked = [recipe for recipe in recipes if attack in recipe.accuracies]
    most = max(recipe.seeds for recipe in attacked)
    main = [recipe for recipe in attacked if recipe.seeds == most]
    fewer = [recipe for recipe in attacked if recipe.seeds < most]
    of = f"{_count(main)} with {'one seed' if most == 1 else f'{most} seeds'}"
    groups = [(f"most robust of {of}", _extreme(main, attack, max))]
    if len(main) > 1:
        groups.append(("least robust of these", _extreme(main, attack, min)))
        groups.append(("most accurate of these without attack", _extreme(main, "clean", max)))
    if fewer:
        groups.append((f"most robust of {_count(fewer)} with fewer seeds", _extreme(fewer, attack, max)))
    return [(_among(why, equal), recipe) for why, equal in groups for recipe in equal[:MOST]]


def _extreme(recipes: list[Recipe], attack: str, which) -> list[Recipe]:
    """Those with the highest (which: max) or lowest (min) accuracy: more than one where it is the same."""
    measured = [recipe for recipe in recipes if attack in recipe.accuracies]
    limit = which((recipe.accuracies[attack].value for recipe in measured), default=None)
    return [recipe for recipe in measured if recipe.accuracies[attack].value == limit]


def _count(recipes: list[Recipe]) -> str:
    return "1 recipe" if len(recipes) == 1 else f"{len(recipes)} recipes"


def _among(why: str, equal: list[Recipe]) -> str:
    if len(equal) <= MOST:
        return why
    return f"{why} ({MOST} of {len(equal)} with the same accuracy)"


def _images(attacks: list[str], picked: list[tuple[str, Recipe]]) -> str:
    """On how many test images each accuracy was measured; the fewest where that differs."""
    parts = []
    for attack in attacks:
        cells = [recipe.accuracies[attack] for _, recipe in picked if attack in recipe.accuracies]
        images = min((cell.n_images for cell in cells if cell.n_images), default=None)
        if images:
            parts.append(f"{images:,} {'without attack' if attack == 'clean' else f'under {attack}'}")
    return f"Test images of each run: {'; '.join(parts)}." if parts else ""
