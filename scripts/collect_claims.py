"""Put the claims of all studies together, one after another: .tex, .csv (with the study of every row) and .html."""

import csv
import html
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.atomic import replacing
from robustlens.console import job, parser
from robustlens.provenance import Certificate
from robustlens.report.chapter import study_of
from robustlens.report.escape import latex
from robustlens.report.ledger import LEDGER_HEADER, read_ledger

FORMATS = ("tex", "csv", "html")

arguments = parser(__doc__)
for suffix in FORMATS:
    arguments.add_argument(f"--studies_{suffix}", type=Path, nargs="*", default=[], help="those of each study")
    arguments.add_argument(f"--{suffix}", required=True, type=Path, help="file to write")
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = args.spec
studies = {suffix: getattr(args, f"studies_{suffix}") for suffix in FORMATS}
collected = {suffix: getattr(args, suffix) for suffix in FORMATS}


def write_texts(path: Path, ledgers: list[Path], heading: str) -> None:
    """Under a heading for each study where there are several, so that the ledger of a single one stays as it is."""
    texts = [ledger.read_text() for ledger in ledgers]
    if len(texts) > 1:
        said = {".tex": latex, ".html": html.escape}[path.suffix]
        names = [heading.format(said(study_of(ledger))) for ledger in ledgers]
        texts = [f"{name}\n{text}" for name, text in zip(names, texts, strict=True)]
    with replacing(path) as temporary:
        temporary.write_text("".join(texts))


def write_rows(path: Path, ledgers: list[Path]) -> None:
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, ["study", *LEDGER_HEADER], lineterminator="\n")
        writer.writeheader()
        for ledger in ledgers:
            writer.writerows({"study": study_of(ledger), **row} for row in read_ledger(ledger))


with job("claims", args.log):
    certificate = Certificate(spec, [path for paths in studies.values() for path in paths])
    write_rows(collected["csv"], studies["csv"])
    write_texts(collected["tex"], studies["tex"], r"\subsection*{{{}}}")
    write_texts(collected["html"], studies["html"], "<h2>{}</h2>")
    certificate.write(args.certificate, list(collected.values()))
