"""What a report holds, before it is LaTeX or HTML."""

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from robustlens.analysis.claims import VERDICTS
from robustlens.report.scale import warning

TEMPLATES = Path(__file__).parent / "templates"  # not seen by the code digest: declare them as inputs


@dataclass(frozen=True)
class Document:
    """The parts of a report. Of a table's or a figure's files any one is named; the others lie beside it:
    .tex, .html and .csv of a table, .pdf and .png of a figure.

    animations: .gif files; the figure of the same name is its still, and stands in for it in print.
    datasets: their sheets (`sheet.json`). provenance: what to print at the end, such as the configuration's digest and
    the versions of the libraries.
    """

    title: str
    scale: str
    datasets: list[dict]
    tables: list[Path]
    figures: list[Path]
    claims: Path
    animations: list[Path] = field(default_factory=list)
    provenance: dict[str, str] = field(default_factory=dict)

    @property
    def warning(self) -> str:
        return warning(self.scale)

    @property
    def introduction(self) -> list[str]:
        """Paragraphs of plain text: what this is, and what it was made from."""
        return [
            f"This report was made by robustlens at {self.scale} scale. Its numbers are computed from results that are "
            "kept for each image and from training histories; the CSV beside each table names the files "
            "behind each cell.",
            *(_dataset_sentence(sheet) for sheet in self.datasets),
            _verdict_sentence(self.claims.with_suffix(".csv")),
        ]


def environment(**settings: object) -> Environment:
    """Jinja's environment for the templates of this package; an undefined name is an error."""
    return Environment(
        loader=PackageLoader("robustlens.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **settings,
    )


def _dataset_sentence(sheet: dict) -> str:
    sizes, shape = sheet["sizes"], " \u00d7 ".join(str(n) for n in sheet["shape"])
    name = f"{sheet['title']} ({sheet['citation'].rstrip('.')})"
    return (
        f"{name}: {len(sheet['classes'])} classes, images of {shape} values; "
        f"{sizes['train']} to train, {sizes['validation']} to validate and select checkpoints, {sizes['test']} to test."
    )


def _verdict_sentence(claims: Path) -> str:
    with open(claims, newline="") as file:
        verdicts = Counter(row["text"] for row in csv.DictReader(file) if row["column"] == "verdict")
    counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS)
    return f"Of {verdicts.total()} claims of the paper, these results leave {counts}."
