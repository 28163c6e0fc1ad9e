"""Copy the headline numbers of a finished run, study by study, into README.md, between its markers."""

import argparse
import json
import re
import sys
from pathlib import Path

import pandas as pd

from robustlens.analysis.claims import CODE, NOT_MEASURED
from robustlens.report import threats
from robustlens.report.context import Context

MARKERS = ("<!-- numbers: begin -->", "<!-- numbers: end -->")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/embedded"), help="those of a finished run")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--origin", type=Path, help="of record_origin.py; by default docs/recorded/<scale>.json")
    args = parser.parse_args()

    tables = sorted(args.results.glob("studies/*/tables/robustness.csv"))
    if not tables:
        sys.exit(f"{args.results}: no study with a table of robustness; run `make reproduce` first")
    recorded = args.origin or Path("docs/recorded") / f"{args.results.name}.json"
    if not recorded.is_file():
        sys.exit(f"{recorded}: missing; run scripts/record_origin.py first, as `make readme` does")
    origin = json.loads(recorded.read_text())
    blocks = [f"Computed at commit `{origin['commit']}`, in {origin['arithmetic']} arithmetic."]
    for table in tables:
        study = table.parent.parent
        heading = [f"### {study.name}", ""] if len(tables) > 1 else []
        blocks.append("\n".join([*heading, *numbers(table), *verdicts(study / "claims.csv")]))
        blocks[-1] += "\n\n" + behind(origin["studies"][study.name])

    begin, end = MARKERS
    text = args.readme.read_text()
    if not re.search(f"{begin}.*{end}", text, flags=re.DOTALL):
        sys.exit(f"{args.readme}: no place for the numbers; add the lines {begin} and {end}")
    block = begin + "\n" + "\n\n".join(blocks) + "\n" + end
    args.readme.write_text(re.sub(f"{begin}.*{end}", lambda _: block, text, flags=re.DOTALL))


def behind(study: dict[str, str | int]) -> str:
    """What a test compares with the present parameters of the same jobs."""
    return f"Behind them: {study['jobs']} jobs, whose parameters have the digest `{study['parameters']}`."


def numbers(file: Path) -> list[str]:
    """The table of the recipes with the most seeds, and where the others are."""
    table = pd.read_csv(file, keep_default_na=False, na_values={c: "" for c in ("value", "std", "n_seeds", "n_images")})
    table["text"] = [printed(value, std) for value, std in zip(table["value"], table["std"], strict=True)]
    seeds = table.groupby(["group", "row"], sort=False)["n_seeds"].max().astype(int)
    most = seeds.max()
    shown, further = seeds[seeds == most], seeds[seeds < most]
    columns = list(dict.fromkeys(table["column"]))
    images = table.groupby("column", sort=False)["n_images"].max().astype(int)
    first = columns[0].rpartition(": ")[0]
    counted = [f"{c.rpartition(': ')[2]} on {images[c]:,}" for c in columns if c.rpartition(": ")[0] == first]
    spread = f"mean ± standard deviation over {most} seeds" if most > 1 else "one seed"
    labels = ["dataset", "recipe"] if any(table["group"]) else ["recipe"]
    lines = [
        f"Accuracy in %, {spread}; test images: {'; '.join(counted)}.",
        "",
        row([*labels, *columns]),
        "|---" * (len(labels) + len(columns)) + "|",
    ]
    for (group, recipe), cells in table.groupby(["group", "row"], sort=False):
        if (group, recipe) in shown.index:
            texts = cells.set_index("column")["text"].reindex(columns, fill_value=printed(float("nan"), 0))
            lines.append(row([*([group] if len(labels) > 1 else []), recipe, *texts]))
    if len(further):
        count = f"{len(further)} further recipe" + ("s" if len(further) > 1 else "")
        number, same = ("one seed", "seed") if further.max() == 1 else ("fewer seeds", "seeds")
        is_in = "are" if len(further) > 1 else "is"
        lines += ["", f"{count} with {number} {is_in} in `{file}`"]
        differences = file.with_name("differences.csv")
        lines[-1] += (
            f" and, compared on the same {same} with what they change or with a baseline, in `{differences}`."
            if differences.exists()
            else "."
        )
    return [*lines, *(line for note in other_threats(file, table) for line in ("", note))]


def other_threats(file: Path, table: pd.DataFrame) -> list[str]:
    """Which recipes were trained under another threat than they are evaluated under."""
    results = file.parents[3]
    certificate = (results / "provenance" / file.relative_to(results)).with_suffix(".json")
    if not certificate.is_file():
        sys.exit(f"{certificate}: missing; run `make reproduce` again, which makes the table with it")
    context = Context.from_json(json.loads(certificate.read_text())["parameters"]["context"])
    files = [path for paths in table["files"].dropna() for path in paths.split(";")]
    return threats.notes(threats.evaluated(files), context)


def verdicts(file: Path) -> list[str]:
    """How many of the paper's claims are supported, contradicted and open; nothing for a study that judges none."""
    if not file.exists():
        return []
    everything = pd.read_csv(file)
    claims, checks = (everything[everything["about"].eq(CODE) == code] for code in (False, True))
    found = claims["verdict"].value_counts()
    counts = ", ".join(f"{count} {verdict}" for verdict, count in found.items())
    if missing := int((claims["why_open"] == NOT_MEASURED).sum()):
        counts += f"; {missing} of the open ones {'is' if missing == 1 else 'are'} not measured at this scale"
    if len(checks):
        counts += f"; not counted, because it only checks the code: {', '.join(checks['id'].unique())}"
    return ["", f"Claims of the paper: {counts} (`{file}` says which, by which rule)."]


def printed(value: float, std: float) -> str:
    """As in the tables: without a spread for one seed, and a dash for what was not measured."""
    if pd.isna(value):
        return "\u2013"
    return f"{value:.1f}" if pd.isna(std) else f"{value:.1f} ± {std:.1f}"


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


if __name__ == "__main__":
    main()
