"""Write docs/data-licences.md: where each dataset comes from, who is to be cited, and what its licence says."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CATALOGUE = ROOT / "src" / "robustlens" / "data" / "catalogue"
HEAD = """# Data: sources, citations, licences

Written by `scripts/document_data.py` from `src/robustlens/data/catalogue/`. robustlens distributes no data: each
archive is fetched from where its authors have put it, when a run needs it. What its licence allows is between them and
you; this page says what they state, and is not legal advice. A report cites the datasets of its run in the same words.

| dataset | reader | licence, as stated | to cite | home |
|---|---|---|---|---|
"""


def page() -> str:
    entries = {
        path.stem.replace("_", "-"): yaml.safe_load(path.read_text()) for path in sorted(CATALOGUE.glob("*.yaml"))
    }
    rows = [row(reader, entry) for reader, entry in entries.items() if not entry.get("own")]
    return HEAD + "\n".join(rows) + "\n"


def row(reader: str, entry: dict) -> str:
    cells = (entry["title"], f"`{reader}`", entry["licence"], entry["citation"], entry["homepage"])
    return f"| {' | '.join(' '.join(str(cell).split()).replace('|', '&#124;') for cell in cells)} |"


if __name__ == "__main__":
    (ROOT / "docs" / "data-licences.md").write_text(page())
