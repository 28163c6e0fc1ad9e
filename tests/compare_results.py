"""Whether two runs of the same configuration have the same results, byte for byte (docs/determinism.md).

python tests/compare_results.py results/embedded /elsewhere/results/embedded

What measures time or the machine differs between any two runs and is left out, by name: whole folders, columns of
seconds, and entries of certificates.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

TIMES = ("logs", "benchmarks", "state", "plan.txt", "plan.json")  # at the top of the results of a scale
SECONDS = {"timing.parquet": ["seconds", "images_per_second"], "grid.parquet": ["seconds"]}
OF_A_JOB = ("wall_seconds",)  # of a certificate
# The report says how long its jobs took and where, in lines marked so; the PDF is those of report.tex, typeset.
MEASURED = re.compile(r"<tr class=.measured.>|% measured$")
SCRIPT = re.compile(r'<a href="(?:\.\./)+(?:src|studies)/[^"]*">([^<]*)</a>')  # where the results are in a checkout
REPORT = ("report.html", "report.tex", "report.pdf")


def compared(folder: Path) -> dict[str, Path]:
    """The files below that have to be the same, by their names relative to it."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path for name, path in found.items() if name.split("/")[0] not in TIMES}


def differences(one: Path, other: Path) -> Iterator[str]:
    """What differs between the results of two runs: one line per file."""
    ours, theirs = compared(one), compared(other)
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in theirs or name not in ours:
            yield f"{name}: only in {one if name in ours else other}"
        elif problem := difference(ours[name], theirs[name]):
            yield f"{name}: {problem}"


def difference(one: Path, other: Path) -> str | None:
    """How a file differs from another of the same name; None when it is the same but for its times."""
    if one.name in SECONDS:
        return None if timeless(one).equals(timeless(other)) else "differs beyond its seconds"
    if one.name in REPORT:
        same = one.suffix == ".pdf" or unmeasured(one) == unmeasured(other)
        return None if same else "differs"
    if one.suffix == ".json" and "provenance" in one.parts:
        return None if certificate(one) == certificate(other) else _entries(certificate(one), certificate(other))
    return None if one.read_bytes() == other.read_bytes() else "differs"


def timeless(table: Path) -> pd.DataFrame:
    """A table without its columns of seconds."""
    return pd.read_parquet(table).drop(columns=SECONDS[table.name])


def unmeasured(report: Path) -> list[str]:
    """The lines of a report without those that tell of times and machines, and without links to the checkout."""
    return [SCRIPT.sub(r"\1", line) for line in report.read_text().splitlines() if not MEASURED.search(line)]


def certificate(path: Path) -> dict:
    """A certificate without its time, the number of the GPU that it had and the digests of files that hold times, and
    with the files of the checkout by their names alone: their paths depend on the folder of the run."""
    record = {key: value for key, value in json.loads(path.read_text()).items() if key not in OF_A_JOB}
    record["device"] = {key: value for key, value in record.get("device", {}).items() if key != "visible"}
    for role in ("inputs", "outputs"):
        files = {
            name: None if Path(name).name in (*SECONDS, *REPORT) else digest
            for name, digest in record.get(role, {}).items()
        }
        record[role] = {_place(name): digest for name, digest in files.items()}
    return record


def _place(name: str) -> str:
    return name if name.startswith("results/") else Path(name).name


def _entries(one: dict, other: dict) -> str:
    return "differs in " + ", ".join(key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one", type=Path, help="results/<scale> of one run")
    parser.add_argument("other", type=Path, help="results/<scale> of another one")
    args = parser.parse_args()
    found = list(differences(args.one, args.other))
    names = compared(args.one)
    timed = sum(path.name in (*SECONDS, *REPORT) or name.startswith("provenance/") for name, path in names.items())
    print("\n".join(found) or f"The same: {len(names)} files, {timed} of them but for their times.")
    return 1 if found or not names else 0


if __name__ == "__main__":
    sys.exit(main())
