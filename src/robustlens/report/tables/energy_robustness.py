"""Clean and robust accuracy of every recipe, at the best and at the last checkpoint (energy paper, main table)."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.frames import accuracies, read_runs
from robustlens.report import names
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.published import PublishedNumbers
from robustlens.report.scale import caption
from robustlens.report.summary import RESOLUTION, accuracy_digits, image_count, over_seeds, resolution_note, seeds_note
from robustlens.report.table import Table

CHECKPOINTS = {"best": "Best checkpoint", "last": "Last checkpoint"}
METRICS = {"clean": "clean", "pgd20": "pgd", "autoattack": "autoattack"}  # attack -> published metric
READ = ["checkpoint", "attack", "label", "prediction_adversarial"]


def build(evaluations: list[Path], scale: str, published_file: Path, architectures: dict[str, str]) -> Table:
    """evaluations: `robustness.parquet` files; architectures: dataset -> name in the published file."""
    rates = accuracies(read_runs(evaluations, READ))
    published = PublishedNumbers(published_file)
    datasets = rates["dataset"].unique()
    columns = tuple(Column(names.attack(a), group) for group in CHECKPOINTS.values() for a in METRICS)
    rows, notes = [], []
    for dataset in datasets:
        of_dataset = rates[rates["dataset"] == dataset]
        for recipe in of_dataset["recipe"].unique():
            of_recipe = of_dataset[of_dataset["recipe"] == recipe]
            cells = tuple(
                _cell(of_recipe, checkpoint, attack, published, architectures.get(dataset))
                for checkpoint in CHECKPOINTS
                for attack in METRICS
            )
            rows.append(Row(names.recipe(recipe), cells, dataset if len(datasets) > 1 else ""))
        notes += _notes(of_dataset, f"{dataset}, " if len(datasets) > 1 else "")
    notes.append(
        "Best checkpoint: highest robust accuracy on the validation split; of Standard, highest accuracy there."
    )
    title = f"Accuracy in % on {', '.join(datasets)} without and under attack."
    return Table("energy_robustness", caption(title, scale), "recipe", columns, tuple(rows), (*notes, RESOLUTION))


def _cell(
    rates: pd.DataFrame, checkpoint: str, attack: str, published: PublishedNumbers, architecture: str | None
) -> Cell:
    dataset, recipe = rates["dataset"].iloc[0], rates["recipe"].iloc[0]
    rows = rates[(rates["checkpoint"] == checkpoint) & (rates["attack"] == attack)]
    images = image_count(rows)
    # The paper's checkpoint is selected by validation robustness: its number belongs to `best`.
    paper = published.find(dataset, architecture, recipe, METRICS[attack]) if checkpoint == "best" else None
    return over_seeds(100 * rows["accuracy"], accuracy_digits(images), "%", rows["source"], images, paper)


def _notes(rates: pd.DataFrame, prefix: str) -> list[str]:
    notes = [prefix + seeds_note(rates["seed"])]
    for attack in METRICS:
        rows = rates[rates["attack"] == attack]
        if len(rows):
            notes.append(resolution_note(f"{prefix}{names.attack(attack)}", image_count(rows), rows["accuracy"].mean()))
    return notes
