"""The claims of a paper as a table, and as a CSV file of one row per claim."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from robustlens.analysis.claims import CODE, Claim, Outcome
from robustlens.errors import RobustlensError
from robustlens.report.cells import MISSING, Cell, Column, Row, decimals_of_interval, number
from robustlens.report.escape import latex
from robustlens.report.table import Table

LEDGER_HEADER = (
    *(
        "dataset",
        "id",
        "statement",
        "source",
        "about",
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


CHECK = "checks the code"  # of a claim that is not about the paper


@dataclass(frozen=True)
class Ledger(Table):
    """entries: of each row its dataset (empty where there is one alone), the claim and what the numbers say of it."""

    entries: tuple[tuple[str, Claim, Outcome], ...] = ()

    def to_latex(self) -> str:
        """A paragraph per claim, in small type: as columns, sentences would take three times as many pages."""
        lines = [
            r"\begingroup\footnotesize\setlength{\parskip}{3pt plus 1pt}\raggedright",
            rf"\par {latex(self.caption)}",
        ]
        opened = ""
        for group, claim, outcome in self.entries:
            if group != opened:
                lines.append(rf"\par\medskip\textit{{{latex(group)}}}")
                opened = group
            lines.append(_paragraph(claim, outcome))
        return "\n".join([*lines, *(rf"\par {latex(note)}" for note in self.notes), r"\par\endgroup"]) + "\n"

    def to_csv(self) -> str:
        """One row per claim; what is missing is empty, and files are separated by semicolons.

        about: "paper", or "code" (see Claim). why_open: as `analysis.claims` names the reasons. times_n: of an
        underpowered one, how many times as many of what the interval is over (seeds, images, points) would do, if
        estimate and spread stayed as they are.
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


def of_paper(rows: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The rows that count: without what only checks our code."""
    return [row for row in rows if row["about"] != CODE]


def one_line_each(rows: Sequence[Mapping[str, str]], name: str, caption: str) -> Table:
    """What the rows of a ledger's CSV say of each claim, without how it is judged."""
    columns = (Column("statement", wide=1.0), Column("estimate"), Column("bound"), Column("verdict"))
    return Table(name, caption, "claim", columns, tuple(map(_line, rows)))


def estimate(row: Mapping[str, str]) -> Cell:
    """Of a claim, with its interval; an empty cell where nothing was measured."""
    value, low, high = (float(row[key]) if row[key] else math.nan for key in ("estimate", "low", "high"))
    return Cell(value=value, low=low, high=high, digits=digits(low, high), unit=row["unit"])


def digits(low: float, high: float) -> int:
    """Decimals that show two digits of the half width of an interval, between 0 and 4; 2 where it has no width."""
    return decimals_of_interval(low, high, 4 if low < high and math.isfinite(high - low) else 2)


def with_unit(row: Mapping[str, str]) -> str:
    """The estimate of a claim as readers see it, such as "1.2 [0.8, 1.6] nat"."""
    return f"{estimate(row)} {row['unit']}".strip() if row["estimate"] else MISSING


def _paragraph(claim: Claim, outcome: Outcome) -> str:
    """What the ledger says of a claim: statement, verdict, estimate, rule and measurement."""
    cell = Cell(outcome.estimate, digits(outcome.low, outcome.high), low=outcome.low, high=outcome.high)
    estimated = "" if math.isnan(outcome.estimate) else f", {cell} {outcome.unit}".rstrip()
    said = f"{claim.statement} ({claim.source})"
    how = f"{claim.rule} {measurement(outcome)}"
    verdict = rf"\textbf{{{latex(outcome.verdict)}}}{latex(estimated)}"
    return rf"\par\hangindent=1em \textbf{{{latex(claim.id)}}}: {latex(said)}: {verdict}. {latex(how)}"


def _line(row: Mapping[str, str]) -> Row:
    why = "".join(f" ({told})" for told in (row["why_open"], CHECK if row["about"] == CODE else "") if told)
    cells = (
        Cell(text=row["statement"]),
        Cell(text=with_unit(row)),
        Cell(text=bound(row)),
        Cell(text=f"{row['verdict']}{why}", verdict=row["verdict"]),
    )
    return Row(row["id"].replace("-", " "), cells, row["dataset"])


def bound(row: Mapping[str, str]) -> str:
    """What the estimate of a claim has to be above, with the decimals of its rule."""
    return number(float(row["bound"]), len(row["bound"].partition(".")[2])) if row["bound"] else MISSING


def _fields(dataset: str, claim: Claim, outcome: Outcome) -> Iterator[str]:
    yield from (dataset, claim.id, claim.statement, claim.source, claim.about, outcome.verdict, outcome.why_open)
    bound = math.nan if math.isnan(outcome.estimate) else outcome.bound
    yield from map(_printed, (outcome.estimate, outcome.low, outcome.high, bound))
    yield from (outcome.unit, _printed(outcome.times_n), claim.rule, measurement(outcome), ";".join(outcome.sources))


def _printed(value: float) -> str:
    return f"{value:.10g}" if math.isfinite(value) else ""
