"""The claims of the energy paper and what these results say of each."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from robustlens.analysis.claims import Claim, Outcome, judge
from robustlens.analysis.claims_energy import claims_on
from robustlens.analysis.energy_data import EnergyData
from robustlens.analysis.frames import read_runs, read_scores
from robustlens.report import names
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.scale import warning
from robustlens.report.table import Table

COLUMNS = (
    Column("statement", wide=0.7),
    Column("verdict"),
    Column("estimate"),
    Column("rule and measurement", wide=1.3),
)
NOTE = (
    "A claim says that a number is above a bound, which is 0 where the rule names no other. It is supported when the "
    "number's whole interval, in brackets, lies above the bound, contradicted when all of it lies below, and open "
    "otherwise. One seed cannot show how much training again would change a number: measured on a single one, a claim "
    "is open whatever its interval. Intervals are at 95 % where the rule says nothing else, and not adjusted for the "
    "number of claims. What the paper says of some of its datasets is not judged on its others."
)


def build(
    scale: str,
    *,
    robustness: Sequence[Path] = (),
    attack_energies: Sequence[Path] = (),
    history: Sequence[Path] = (),
    energies: Sequence[Path] = (),
    scores: Sequence[Path] = (),
    grid: Sequence[Path] = (),
) -> Table:
    """Evaluations under the robustness suites, and lists of `attack-energies.parquet`, `history.parquet`,
    `energies.parquet`, `scores.json` and `grid.parquet` files, of one or more datasets. The claims that need a list
    that is empty are open.
    """
    readers = (read_runs, read_runs, read_runs, read_runs, read_scores, read_runs)
    lists = (robustness, attack_energies, history, energies, scores, grid)
    frames = [read(files) if files else pd.DataFrame() for read, files in zip(readers, lists, strict=True)]
    datasets = list(dict.fromkeys(dataset for frame in frames if len(frame) for dataset in frame["dataset"].unique()))
    rows = []
    for dataset in datasets:
        data = EnergyData(*(frame[frame["dataset"] == dataset] if len(frame) else frame for frame in frames))
        group = names.dataset(dataset) if len(datasets) > 1 else ""
        rows += [_row(claim, judge(claim, data), group) for claim in claims_on(dataset)]
    title = f"Claims of the energy paper and what the results on {names.datasets(datasets)} say of them."
    return Table("energy_claims", f"{title} {warning(scale)}".strip(), "claim", COLUMNS, tuple(rows), (NOTE,))


def _row(claim: Claim, outcome: Outcome, group: str) -> Row:
    measured = not math.isnan(outcome.estimate)
    numbers = {"value": outcome.estimate, "low": outcome.low, "high": outcome.high} if measured else {}
    cells = (
        Cell(text=f"{claim.statement} ({claim.source})"),
        Cell(text=outcome.verdict, verdict=outcome.verdict, sources=outcome.sources),
        Cell(**numbers, digits=_digits(outcome), unit=outcome.unit, sources=outcome.sources),
        Cell(text=f"{claim.rule} {_measurement(outcome) if measured else outcome.detail}."),
    )
    return Row(claim.id, cells, group)


def _measurement(outcome: Outcome) -> str:
    return f"Measured{f', in {outcome.unit}' if outcome.unit else ''}: {outcome.detail}"


def _digits(outcome: Outcome) -> int:
    """Decimals that show two digits of the interval's half width, between 0 and 4."""
    width = (outcome.high - outcome.low) / 2
    if not math.isfinite(width) or width <= 0:
        return 2
    return min(max(1 - math.floor(math.log10(width)), 0), 4)
