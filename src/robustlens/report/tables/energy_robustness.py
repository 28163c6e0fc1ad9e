"""Clean and robust accuracy of every recipe, at the best and at the last checkpoint (energy paper, main table)."""

import itertools
from pathlib import Path

import pandas as pd

from robustlens.analysis.frames import accuracies, read_runs
from robustlens.report import names
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.published import PublishedNumbers
from robustlens.report.scale import caption
from robustlens.report.summary import RESOLUTION, accuracy_digits, image_count, over_seeds, resolution_note
from robustlens.report.table import Table

CHECKPOINTS = {"best": "Best checkpoint", "last": "Last checkpoint"}
METRICS = {"clean": "clean", "pgd20": "pgd", "autoattack": "autoattack"}  # attack -> published metric
READ = ["checkpoint", "attack", "label", "prediction_adversarial"]


def build(evaluations: list[Path], scale: str, published_file: Path, architectures: dict[str, str]) -> Table:
    """evaluations: files of evaluations under any suite; architectures: dataset -> name in the published file."""
    rates = accuracies(read_runs(evaluations, READ))
    published = PublishedNumbers(published_file)
    datasets = rates["dataset"].unique()
    measured = [pair for pair in itertools.product(CHECKPOINTS, METRICS) if _rows(rates, *pair).size]
    columns = tuple(Column(names.attack(attack), CHECKPOINTS[checkpoint]) for checkpoint, attack in measured)
    rows, notes = [], []
    for dataset in datasets:
        of_dataset = rates[rates["dataset"] == dataset]
        group = names.dataset(dataset) if len(datasets) > 1 else ""
        for recipe in of_dataset["recipe"].unique():
            of_recipe = of_dataset[of_dataset["recipe"] == recipe]
            cells = tuple(
                _cell(of_recipe, checkpoint, attack, published, architectures.get(dataset))
                for checkpoint, attack in measured
            )
            rows.append(Row(names.recipe(recipe), cells, group))
        notes += _notes(of_dataset, f"{group}, " if group else "")
    notes.append(
        "Best checkpoint: highest robust accuracy on the validation split; of Standard, highest accuracy there."
    )
    if "published" in set(rates["checkpoint"]):
        notes.append("Models that others trained stand there as they were published.")
    title = f"Accuracy in % on {names.datasets(datasets)} without and under attack."
    return Table("energy_robustness", caption(title, scale), "recipe", columns, tuple(rows), (*notes, RESOLUTION))


def _cell(
    rates: pd.DataFrame, checkpoint: str, attack: str, published: PublishedNumbers, architecture: str | None
) -> Cell:
    dataset, recipe = rates["dataset"].iloc[0], rates["recipe"].iloc[0]
    rows = _rows(rates, checkpoint, attack)
    images = image_count(rows)
    # The paper's checkpoint is selected by validation robustness: its number belongs to `best`.
    paper = published.find(dataset, architecture, recipe, METRICS[attack]) if checkpoint == "best" else None
    return over_seeds(100 * rows["accuracy"], accuracy_digits(images), "%", rows["source"], images, paper)


def _rows(rates: pd.DataFrame, checkpoint: str, attack: str) -> pd.DataFrame:
    """Of a checkpoint and an attack. The one checkpoint that a model of others has stands with the best ones."""
    checkpoints = ("best", "published") if checkpoint == "best" else (checkpoint,)
    return rates[rates["checkpoint"].isin(checkpoints) & (rates["attack"] == attack)]


def _notes(rates: pd.DataFrame, prefix: str) -> list[str]:
    notes = [prefix + note for note in seeds_notes(rates["seed"], rates["recipe"])]
    for attack in METRICS:
        rows = rates[rates["attack"] == attack]
        if len(rows):
            notes.append(resolution_note(f"{prefix}{names.attack(attack)}", image_count(rows), rows["accuracy"].mean()))
    return notes
