"""Compare the tables and claims of a finished run with the recorded ones, cell by cell, or record them."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from robustlens.atomic import replacing

PLACE = ["study", "table", "group", "row", "column"]
VALUES = ["value", "std", "n_seeds", "n_images", "low", "high", "text"]
Cells = dict[tuple[str, ...], dict[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/embedded"), help="those of a finished run")
    parser.add_argument("--recorded", type=Path, help="CSV file; by default docs/recorded/<scale>.csv")
    parser.add_argument("--record", action="store_true", help="write that file")
    args = parser.parse_args()

    file = args.recorded or Path("docs/recorded") / f"{args.results.name}.csv"
    found = measured(args.results)
    if found.empty:
        sys.exit(f"{args.results}: no tables; run `make reproduce` first")
    if args.record:
        with replacing(file) as path:
            found.to_csv(path, index=False, lineterminator="\n")
        return
    if not file.exists():
        sys.exit(f"{file}: nothing is recorded; `make readme` records the results of a finished run")
    recorded = by_place(read(file))
    lines = list(differences(recorded, by_place(found)))
    if lines:
        print(*lines, sep="\n")
        sys.exit(f"{len(lines)} differences from {file}; docs/determinism.md says what has to be equal where")
    print(f"All {len(recorded)} cells of {args.results} are those of {file}.")


def measured(results: Path) -> pd.DataFrame:
    """What all tables and claims of a scale's results say: one row per cell that is not empty, without the files that
    it came from and without the statements of claims, which no run changes."""
    files = [*results.glob("studies/*/tables/*.csv"), *results.glob("studies/*/claims.csv")]
    parts = [pd.DataFrame(columns=PLACE + VALUES)]
    for file in sorted(files):
        study = file.relative_to(results / "studies").parts[0]
        cells = claims(read(file)) if file.stem == "claims" else read(file)
        parts.append(cells.assign(study=study, table=file.stem)[PLACE + VALUES])
    cells = pd.concat(parts, ignore_index=True)
    return cells[(cells[VALUES] != "").any(axis=1)]


def claims(ledger: pd.DataFrame) -> pd.DataFrame:
    """A ledger, one row per claim, as cells: its verdict, its estimate, and its rule with what was measured."""
    names = pd.DataFrame({"group": ledger["dataset"], "row": ledger["id"], "number": range(len(ledger))})
    numbers = {"value": ledger["estimate"], "low": ledger["low"], "high": ledger["high"]}
    parts = [
        names.assign(column="verdict", text=ledger["verdict"]),
        names.assign(column="estimate", **numbers),
        names.assign(column="rule and measurement", text=ledger["rule"] + " " + ledger["measurement"]),
    ]
    cells = pd.concat(parts).sort_values("number", kind="stable")
    return cells.reindex(columns=[*PLACE[2:], *VALUES]).fillna("")


def read(file: Path) -> pd.DataFrame:
    """All as text: numbers are compared as they were printed."""
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def by_place(cells: pd.DataFrame) -> Cells:
    return cells.set_index(PLACE)[VALUES].to_dict("index")


def differences(recorded: Cells, found: Cells) -> Iterator[str]:
    """One line per value that differs, in the recorded order; then the cells that are new."""
    for place in [*recorded, *(place for place in found if place not in recorded)]:
        study, table, *names = place
        cell = f"{study}/{table}: {', '.join(filter(None, names))}"
        if place not in found or place not in recorded:
            yield f"{cell}: {'not here' if place in recorded else 'not recorded'}"
            continue
        for name in VALUES:
            ours, theirs = found[place][name], recorded[place][name]
            if ours != theirs:
                yield f"{cell}: {name} {ours or 'none'}, recorded {theirs or 'none'}"


if __name__ == "__main__":
    main()
