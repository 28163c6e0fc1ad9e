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

table = pd.read_csv(args.table)
table["text"] = [f"{v:.1f} ± {s:.1f}" for v, s in zip(table["value"], table["std"], strict=True)]
columns = list(dict.fromkeys(table["column"]))
images = table.groupby("column", sort=False)["n_images"].max().astype(int)
counted = ", ".join(f"{column.split(': ')[1]} on {n:,}" for column, n in images.items() if column.startswith("Best"))
lines = [
    f"Accuracy in %, mean ± standard deviation over {table['n_seeds'].max()} seeds; test images: {counted}.",
    "",
]
lines += ["| recipe | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
for recipe, cells in table.groupby("row", sort=False):
    lines.append(f"| {recipe} | " + " | ".join(cells.set_index("column")["text"][columns]) + " |")

claims = pd.read_csv(args.claims)
verdicts = claims[claims["column"] == "verdict"]["text"].value_counts()
counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
lines += ["", f"Claims of the paper on these digits: {counts} (`{args.claims}` says which, by which rule)."]

begin, end = MARKERS
text = args.readme.read_text()
block = begin + "\n" + "\n".join(lines) + "\n" + end
args.readme.write_text(re.sub(f"{begin}.*{end}", lambda _: block, text, flags=re.DOTALL))
