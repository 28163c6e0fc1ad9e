"""What tests of tables share: cells by name, small evaluations written by hand, and an interval to compare with."""

import csv
import io
import math
from pathlib import Path

import pandas as pd
from scipy import stats
from synthetic import THREAT, write_evaluations

from robustlens.analysis.claims import Claim, Outcome
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.ledger import Ledger


def cells(table):
    """(row, column) -> the row of the CSV."""
    return {(row["row"], row["column"]): row for row in csv.DictReader(io.StringIO(table.to_csv()))}


def by_claim(ledger):
    """Its name -> the row of the CSV."""
    return {row["id"]: row for row in csv.DictReader(io.StringIO(ledger.to_csv()))}


def outcome(verdict, told):
    return Outcome(1.0, 0.5, 1.5, told, verdict, told, why_open="one seed" if verdict == "open" else "")


def ledger_of(study, verdicts, dataset="", told="It is so."):
    """A ledger of claims with these verdicts, by name, of which nothing else is told."""
    entries = tuple(
        (dataset, Claim(name, told, told, told, None), outcome(verdict, told)) for name, verdict in verdicts.items()
    )
    columns = (Column("statement", wide=1.0), Column("verdict"))
    rows = tuple(
        Row(name, (Cell(text=told), Cell(text=verdict, verdict=verdict))) for name, verdict in verdicts.items()
    )
    return Ledger(f"{study}-claims", f"Claims of {study}.", "claim", columns, rows, entries=entries)


def index_of(folder, recipe, seed, right, dataset="digits", threat=THREAT, suite="brief"):
    """The index of a suite. right: (checkpoint, attack) -> {index: whether the image is classified correctly}."""
    rows = [
        {"checkpoint": c, "attack": a, "index": i, "label": 4, "prediction_adversarial": 4 if ok else 7}
        for (c, a), images in right.items()
        for i, ok in images.items()
    ]
    return write_evaluations(folder, pd.DataFrame(rows), recipe, seed, dataset, suite, threat)


def files_of(index, *evaluations):
    """The paths of the files of some evaluations, each a checkpoint and an attack."""
    return [(Path(index).parent / checkpoint / f"{attack}.parquet").as_posix() for checkpoint, attack in evaluations]


def write(folder, dataset, recipe, seed, name, frame):
    """A file of a run."""
    path = folder / dataset / recipe / f"seed{seed}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False)
    return path


def t_interval(values):
    """Of the mean of independent values, by hand."""
    n = len(values)
    mean = sum(values) / n
    half = stats.t.ppf(0.975, n - 1) * math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    return mean - half, mean + half
