"""The claims of a paper as a table, and as a CSV file of one row per claim."""

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from robustlens.analysis.claims import Claim, Outcome
from robustlens.errors import RobustlensError
from robustlens.report.table import Table

LEDGER_HEADER = (
    *(
        "dataset",
        "id",
        "statement",
        "source",
        "verdict",
        "why_open",
        "estimate",
        "low",
        "high",
        "bound",
        "unit",
        "times_n",
    ),
    *("rule", "measurement", "files"),
)


@dataclass(frozen=True)
class Ledger(Table):
    """entries: of each row its dataset (empty where there is one alone), the claim and what the numbers say of it."""

    entries: tuple[tuple[str, Claim, Outcome], ...] = ()

    def to_csv(self) -> str:
        """One row per claim; what is missing is empty, and files are separated by semicolons.

        why_open: as `analysis.claims` names the reasons. times_n: of an underpowered one, how many times as many of
        what the interval is over (seeds, images, points) would do, if estimate and spread stayed as they are.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(LEDGER_HEADER)
        writer.writerows(_fields(*entry) for entry in self.entries)
        return out.getvalue()


def measurement(outcome: Outcome) -> str:
    """What was measured, or why it was not, as a sentence."""
    if math.isnan(outcome.estimate):
        return f"{outcome.detail}."
    return f"Measured{f', in {outcome.unit}' if outcome.unit else ''}: {outcome.detail}."


def read_ledger(file: Path) -> list[dict[str, str]]:
    """The rows of a ledger's CSV, by LEDGER_HEADER; that of several studies also has a first column `study`.

    Raises RobustlensError for a file of other columns, such as an earlier version's.
    """
    with open(file, newline="") as opened:
        reader = csv.DictReader(opened)
        columns = tuple(name for name in reader.fieldnames or () if name != "study")
        if columns != LEDGER_HEADER:
            raise RobustlensError(f"{file}: not the columns of a ledger; delete it and run the same command again")
        return list(reader)


def _fields(dataset: str, claim: Claim, outcome: Outcome) -> Iterator[str]:
    yield from (dataset, claim.id, claim.statement, claim.source, outcome.verdict, outcome.why_open)
    bound = math.nan if math.isnan(outcome.estimate) else outcome.bound
    yield from map(_printed, (outcome.estimate, outcome.low, outcome.high, bound))
    yield from (outcome.unit, _printed(outcome.times_n), claim.rule, measurement(outcome), ";".join(outcome.sources))


def _printed(value: float) -> str:
    return f"{value:.10g}" if math.isfinite(value) else ""
