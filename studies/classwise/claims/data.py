"""The results that the claims of the class-wise paper are judged on, and how to pick from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from robustlens.analysis.claims import NotMeasured, Outcome, decide
from robustlens.analysis.evaluations import largest, sources
from robustlens.analysis.frames import read_evaluations, read_runs
from robustlens.analysis.measured import of
from robustlens.analysis.statistics import Interval
from robustlens.report import threats
from robustlens.report.context import Context
from studies.classwise.class_names import ClassNames, read_class_names
from studies.classwise.defence import read_defence
from studies.classwise.removal import Removal, read_removal, removals
from studies.classwise.results import CHECKPOINTS, READ, by_recipe
from studies.classwise.temperature import read_sweeps
from studies.classwise.weights import read_norms

NOT_ROBUST = "standard"
EPOCHS = ["epoch", "split", "class_total", "class_robust"]
FEWEST = 2  # defences, for a claim that is about defences


@dataclass(frozen=True)
class ClasswiseData:
    """The results of one dataset; a frame may be empty.

    evaluations: of the best checkpoints, under one threat. norms: of the rows of the last layer, one row per run.
    gains: evaluations under Temperature-PGD and what it is compared with, of the best checkpoints, under one threat.
    defence: of `read_defence`, under one threat. chosen: history of those that go by the validation accuracy of single
    classes while they train. removal: by the recipe that trains on all classes.
    notes: sentences to print below the verdicts.
    """

    evaluations: pd.DataFrame
    history: pd.DataFrame
    norms: pd.DataFrame
    names: ClassNames
    gains: pd.DataFrame = field(default_factory=pd.DataFrame)
    defence: pd.DataFrame = field(default_factory=pd.DataFrame)
    chosen: pd.DataFrame = field(default_factory=pd.DataFrame)
    removal: Mapping[str, Removal] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=())


def read(
    context: Context,
    *,
    evaluations: Sequence[Path] = (),
    history: Sequence[Path] = (),
    weights: Sequence[Path] = (),
    names: Sequence[Path] = (),
    gains: Sequence[Path] = (),
    defence: Sequence[Path] = (),
    chosen: Sequence[Path] = (),
    removal: Sequence[Path] = (),
    removal_history: Sequence[Path] = (),
) -> dict[str, ClasswiseData]:
    """The results of each dataset. evaluations, defence, removal: indexes of suites; gains: those with
    Temperature-PGD; weights: of the best checkpoints; chosen: see ClasswiseData."""
    runs = read_evaluations(evaluations, READ) if evaluations else pd.DataFrame()
    epochs, chosen_epochs = (read_runs(files, EPOCHS) if files else pd.DataFrame() for files in (history, chosen))
    norms, named = read_norms(weights), read_class_names(names)
    swept = read_sweeps(gains) if gains else pd.DataFrame()
    defended = read_defence(context, defence) if defence else pd.DataFrame()
    removed = read_removal(context, removal, removal_history) if removal else pd.DataFrame()
    found = {}
    for dataset in runs["dataset"].unique() if len(runs) else ():
        kept, notes = threats.one(largest(runs[runs["dataset"] == dataset]), context)
        parts = [
            frame[frame["dataset"] == dataset] if len(frame) else frame for frame in (epochs, norms, chosen_epochs)
        ]
        own = threats.of_training(swept[swept["dataset"] == dataset], context) if len(swept) else swept
        best = kept[kept["checkpoint"].isin(CHECKPOINTS)]
        found[dataset] = ClasswiseData(
            best,
            *parts[:2],
            names=named.get(dataset, ClassNames((), {})),
            gains=own,
            defence=_under_one_threat(defended, dataset, context),
            chosen=parts[2],
            removal=removals(context, removed[removed["dataset"] == dataset]) if len(removed) else {},
            notes=tuple(notes),
        )
    return found


def _under_one_threat(rows: pd.DataFrame, dataset: str, context: Context) -> pd.DataFrame:
    rows = rows[rows["dataset"] == dataset] if len(rows) else rows
    return threats.one(rows, context)[0] if len(rows) else rows


def defences(data: ClasswiseData, attack: str) -> dict[str, pd.DataFrame]:
    """Recipe -> rows under an attack, of all that are adversarially trained. Raises NotMeasured without any."""
    rows = of(data.evaluations, attack=attack)
    found = by_recipe(rows[rows["recipe"] != NOT_ROBUST], attack)
    if not found:
        raise NotMeasured(f"adversarially trained recipes under {attack}")
    return found


def of_both(data: ClasswiseData, first: str, second: str) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """The rows of each defence under both attacks. Raises NotMeasured without any that has both."""
    ours, theirs = defences(data, first), defences(data, second)
    found = [(ours[recipe], theirs[recipe]) for recipe in ours if recipe in theirs]
    if not found:
        raise NotMeasured(f"a recipe under both {first} and {second}")
    return found


def in_points(interval: Interval) -> Interval:
    """An interval of shares, times 100."""
    return replace(interval, estimate=100 * interval.estimate, low=100 * interval.low, high=100 * interval.high)


def measured(interval: Interval | None) -> Interval:
    """The interval. Raises NotMeasured where there is none, because the recipes have no seed and image in common or a
    class has no images."""
    if interval is None:
        raise NotMeasured("seeds and images of every class that all of these recipes have")
    return interval


def judged(
    interval: Interval | None, unit: str, detail: str, rows: Sequence[pd.DataFrame], bound: float = 0.0
) -> Outcome:
    """The general rule. Raises NotMeasured as `measured` does."""
    return decide(measured(interval), unit, detail, [file for part in rows for file in sources(part)], bound)
