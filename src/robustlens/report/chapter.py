"""One study's part of a report, and what its ledger of claims comes to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from robustlens.analysis.claims import (
    CODE,
    CONTRADICTED,
    NOT_LEARNED,
    NOT_MEASURED,
    OPEN,
    SINGLE_SEED,
    SUPPORTED,
    UNDERPOWERED,
)
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.headlines import headlines
from robustlens.report.ledger import of_paper, one_line_each, read_ledger
from robustlens.report.lists import listed
from robustlens.report.table import Table

HEADLINES = "robustness"  # the table, of those that every study may have, that the headline numbers are from
WHY_OPEN = {  # after how many they are
    UNDERPOWERED: "with the bound in their interval",
    SINGLE_SEED: "of one seed",
    NOT_MEASURED: "not measured",
    NOT_LEARNED: "of networks that learned too little",
}


class Fact(NamedTuple):
    """A label and the lines beside it. measured: of this run on this machine, and another one's is another."""

    label: str
    lines: Sequence[str]
    measured: bool = False


@dataclass(frozen=True)
class Chapter:
    """Of a table's or a figure's files any one is named; the others lie beside it: .tex, .html and .csv of a table and
    of the claims, .pdf and .png of a figure.

    study: its name. title, paper: as it declares them. animations: .gif files; the figure of the same name is its
    still, and stands in for it in print. claims: None where the study judges none. robustness: what the table of that
    name was told; None where there is no such table. forest: the figure of the claims. setup: how the results were
    made. further_tables, further_figures: those of the appendix, which also has the rules of the claims.
    """

    study: str
    title: str
    paper: str
    tables: list[Path] = field(default_factory=list)
    figures: list[Path] = field(default_factory=list)
    animations: list[Path] = field(default_factory=list)
    claims: Path | None = None
    robustness: Context | None = None
    forest: Path | None = None
    setup: Sequence[Fact] = ()
    further_tables: list[Path] = field(default_factory=list)
    further_figures: list[Path] = field(default_factory=list)

    @property
    def heading(self) -> str:
        """The title; a study without a folder is called by its name alone."""
        return self.title if self.title == self.study else f"{self.study}: {self.title}"

    @property
    def headlines(self) -> Table | None:
        """See `robustlens.report.headlines`; None for a study without a table of robustness, too."""
        return headlines(self.accuracies, self.robustness) if self.accuracies and self.robustness else None

    @property
    def accuracies(self) -> Path | None:
        """The CSV of the table of robustness."""
        tables = [path for path in (*self.tables, *self.further_tables) if path.stem == HEADLINES]
        return tables[0].with_suffix(".csv") if tables else None

    @property
    def judged(self) -> list[dict[str, str]]:
        """The rows of the ledger."""
        return read_ledger(self.claims.with_suffix(".csv")) if self.claims else []

    @property
    def each_claim(self) -> Table | None:
        """One line per claim; None for a study that judges none."""
        caption = f"Claims of {self.paper}: what was measured, its interval, and the bound that it has to be above."
        return one_line_each(self.judged, f"{self.study}-each-claim", caption) if self.claims else None

    @property
    def has_appendix(self) -> bool:
        return bool(self.further_tables or self.further_figures or self.claims)

    @property
    def verdicts(self) -> list[str]:
        """Sentences: how many claims are supported, contradicted and open, and which are contradicted."""
        if self.claims is None:
            return ["No claims are judged in this study."]
        rows = self.judged
        refuted = [_name(row) for row in rows if row["verdict"] == CONTRADICTED]
        found = [f"Contradicted by these results: {', '.join(refuted)}."] if refuted else []
        return [count(rows, self.paper), *found]


def count(rows: Sequence[Mapping[str, str]], paper: str) -> str:
    """Sentences that count the verdicts of `rows`, and name what only checks the code; paper: whose claims they are,
    such as "the energy paper"."""
    checks, rows = [row for row in rows if row["about"] == CODE], of_paper(rows)
    verdicts = Counter(row["verdict"] for row in rows)
    claims = "1 claim" if verdicts.total() == 1 else f"{verdicts.total()} claims"
    reasons = Counter(row["why_open"] for row in rows if row["verdict"] == OPEN)
    several = len({(row.get("study"), row["id"]) for row in rows}) < len(rows)
    each = ", counted once for every dataset that they are judged on" if several else ""
    said = listed([f"{n} {WHY_OPEN[why]}" for why, n in reasons.most_common()])
    return (
        f"Of {claims} of {paper}{each}, these results support {verdicts[SUPPORTED]}, contradict "
        f"{verdicts[CONTRADICTED]} and leave {verdicts[OPEN]} open{f' ({said})' if said else ''}.{_not_counted(checks)}"
    )


def _not_counted(checks: Sequence[Mapping[str, str]]) -> str:
    """A sentence on the claims that are not about the paper, with their verdicts; empty where there are none."""
    if not checks:
        return ""
    told: dict[str, Counter] = {}
    for row in checks:
        told.setdefault(row["id"], Counter())[row["verdict"]] += 1
    parts = [
        f"{name} ({', '.join(f'{n} {verdict}' for verdict, n in verdicts.items())})" for name, verdicts in told.items()
    ]
    return f" Not counted, because it is proven and only checks the code: {'; '.join(parts)}."


def study_of(path: Path) -> str:
    """The study that a result is of: the folder below `studies/` in its path. Raises RobustlensError without one."""
    for folder in path.parents:
        if folder.parent.name == "studies":
            return folder.name
    raise RobustlensError(f"{path}: not a study's result; those are in results/<scale>/studies/<study>/")


def _name(row: Mapping[str, str]) -> str:
    return f"{row['id']} ({row['dataset']})" if row["dataset"] else row["id"]
