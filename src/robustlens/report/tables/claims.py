"""The claims of a paper and what a study's results say of each."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from robustlens.analysis.claims import Claim, Outcome, judge
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.context import Context
from robustlens.report.figure import Drawing
from robustlens.report.forest import counted, forest
from robustlens.report.ledger import Ledger, digits, measurement

COLUMNS = (
    Column("statement", wide=0.75),
    Column("verdict"),
    Column("estimate"),
    Column("rule and measurement", wide=1.25),
)
NOTE = (
    "A claim says that a number is above a bound, which is 0 where the rule names none. It is supported when the "
    "number's whole interval, in brackets, lies above the bound, contradicted when all of it lies below, and open "
    "otherwise. One seed cannot show how much training again would change a number: measured on a single one, a claim "
    "is open whatever its interval. Intervals are at 95 % unless the rule says otherwise, and not adjusted for the "
    "number of claims. What the paper says of some of its datasets is not judged on its others."
)


def build(context: Context, claims: Sequence[Claim], paper_datasets: Sequence[str], data: Mapping[str, Any]) -> Ledger:
    """The ledger. claims: all of the paper; paper_datasets: those that it has results on.

    data: dataset -> what the claims are judged on. Its attribute `notes`, if it has one, is sentences that are printed
    below the table, before those on evaluations under another threat than the training's.
    """
    entries = tuple(
        (context.dataset_title(dataset) if len(data) > 1 else "", claim, judge(claim, of_dataset))
        for dataset, of_dataset in data.items()
        for claim in claims_on(dataset, claims, paper_datasets)
    )
    rows = [_row(claim, outcome, group) for group, claim, outcome in entries]
    files = [file for row in rows for cell in row.cells for file in cell.sources]
    title = f"Claims of {context.paper} and what the results on {context.datasets_titles(data)} say of them."
    notes = dict.fromkeys(note for of_dataset in data.values() for note in getattr(of_dataset, "notes", ()))
    return Ledger(
        context.label,
        context.caption(title),
        "claim",
        COLUMNS,
        tuple(rows),
        (NOTE, *notes, *threats.notes(threats.evaluated(files), context)),
        entries,
    )


def picture(context: Context, ledger: Ledger) -> Drawing:
    """Estimate, interval, bound and verdict of every claim of the ledger, at a glance."""
    caption = (
        f"{counted(ledger.entries)} Each line is a claim of {context.paper}: what was measured, its interval, and the "
        "bound that the number has to be above. Dotted: measured with one seed, and open whatever it says."
    )
    return forest(ledger.entries, "Claims at a glance", context.caption(caption))


def claims_on(dataset: str, claims: Sequence[Claim], paper_datasets: Sequence[str]) -> list[Claim]:
    """Without those that the paper claims of other datasets of its own. On a dataset that it does not have, all."""
    return [c for c in claims if not c.datasets or dataset in c.datasets or dataset not in paper_datasets]


def _row(claim: Claim, outcome: Outcome, group: str) -> Row:
    measured = not math.isnan(outcome.estimate)
    numbers = {"value": outcome.estimate, "low": outcome.low, "high": outcome.high} if measured else {}
    cells = (
        Cell(text=f"{claim.statement} ({claim.source})"),
        Cell(text=outcome.verdict, verdict=outcome.verdict, sources=outcome.sources),
        Cell(**numbers, digits=digits(outcome.low, outcome.high), unit=outcome.unit, sources=outcome.sources),
        Cell(text=f"{claim.rule} {measurement(outcome)}"),
    )
    return Row(claim.id, cells, group)
