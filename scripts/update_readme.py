"""Copy the headline numbers of a finished run into README.md, between its markers."""

import argparse
import re
from pathlib import Path

import pandas as pd

MARKERS = ("<!-- numbers: begin -->", "<!-- numbers: end -->")

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--table", type=Path, default=Path("results/embedded/tables/energy-robustness.csv"))
parser.add_argument("--claims", type=Path, default=Path("results/embedded/claims.csv"))
parser.add_argument("--readme", type=Path, default=Path("README.md"))
args = parser.parse_args()


def printed(value: float, std: float) -> str:
    """As in the tables: without a spread for one seed, and a dash for what was not measured."""
    if pd.isna(value):
        return "\u2013"
    return f"{value:.1f}" if pd.isna(std) else f"{value:.1f} ± {std:.1f}"


table = pd.read_csv(args.table)
table["text"] = [printed(value, std) for value, std in zip(table["value"], table["std"], strict=True)]
seeds = table.groupby("row", sort=False)["n_seeds"].max().astype(int)
main, further = seeds[seeds == seeds.max()], seeds[seeds < seeds.max()]
columns = list(dict.fromkeys(table["column"]))
images = table.groupby("column", sort=False)["n_images"].max().astype(int)
counted = ", ".join(f"{column.split(': ')[1]} on {n:,}" for column, n in images.items() if column.startswith("Best"))
lines = [
    f"Accuracy in %, mean ± standard deviation over {seeds.max()} seeds; test images: {counted}.",
    "",
]
lines += ["| recipe | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
for recipe, cells in table[table["row"].isin(main.index)].groupby("row", sort=False):
    lines.append(f"| {recipe} | " + " | ".join(cells.set_index("column")["text"][columns]) + " |")
if len(further):
    number = "one seed" if further.max() == 1 else "fewer seeds"
    differences = args.table.with_name("energy-differences.csv")
    lines += [
        "",
        f"{len(further)} further recipes with {number} are in `{args.table}` and, compared on the same "
        f"{'seed' if further.max() == 1 else 'seeds'} with what they change or with TRADES, in `{differences}`.",
    ]

claims = pd.read_csv(args.claims)
verdicts = claims[claims["column"] == "verdict"]["text"].value_counts()
counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
lines += ["", f"Claims of the paper on these digits: {counts} (`{args.claims}` says which, by which rule)."]

begin, end = MARKERS
text = args.readme.read_text()
block = begin + "\n" + "\n".join(lines) + "\n" + end
args.readme.write_text(re.sub(f"{begin}.*{end}", lambda _: block, text, flags=re.DOTALL))
