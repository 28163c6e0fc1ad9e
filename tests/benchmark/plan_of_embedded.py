"""What `snakemake plan` says that the trainings of the embedded scale take, against what a run of it took here.

The plan is made in a copy of this checkout without results, so that it knows nothing of the run.
"""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from checkout import ROOT, without_results
from workers import Skipped

LIMIT = 1.5  # the factor by which the two may differ
RESULTS = ROOT / "results" / "embedded"


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """Seconds of all trainings, planned and taken. Raises Skipped where they have not all run."""
    if quick:
        raise Skipped("a plan of tiny data says nothing")
    if not any(RESULTS.glob("benchmarks/train/*/*/*.tsv")):
        raise Skipped(f"there is no finished run of the embedded scale in {RESULTS}: `make reproduce` makes one")
    checkout = without_results(folder / "checkout")
    say("planning the embedded scale")
    estimates = planned(checkout)
    times = {run: took(RESULTS, run) for run in estimates}
    missing = [run for run, seconds in times.items() if seconds is None]
    if missing:
        raise Skipped(f"{len(missing)} of {len(times)} trainings have not run, such as {'/'.join(missing[0])}")
    runs = [{"run": "/".join(run), "planned": estimates[run], "took": times[run]} for run in times]
    return {"runs": runs, "planned": sum(estimates.values()), "took": sum(times.values())}


def planned(folder: Path) -> dict[tuple[str, str], float]:
    """Seconds of every training, by dataset/recipe and seed."""
    command = [sys.executable, "-m", "snakemake", "plan", "--cores", "1", "--config", "scale=embedded"]
    process = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if process.returncode:
        raise SystemExit(f"snakemake plan failed:\n{process.stdout[-2000:]}")
    estimates = json.loads((folder / "results/embedded/plan.json").read_text())["estimates"]
    trainings = [estimate for estimate in estimates if estimate["rule"] == "train"]
    return {name(estimate["wildcards"]): estimate["seconds"] for estimate in trainings}


def name(wildcards: dict[str, str]) -> tuple[str, str]:
    return f"{wildcards['dataset']}/{wildcards['recipe']}", f"seed{wildcards['seed']}"


def took(results: Path, run: tuple[str, str]) -> float | None:
    """Seconds by Snakemake's benchmark file, None where that run has not been."""
    file = results / "benchmarks" / "train" / run[0] / f"{run[1]}.tsv"
    if not file.exists():
        return None
    with open(file, newline="") as lines:
        return float(next(csv.DictReader(lines, delimiter="\t"))["s"])


def table(found: dict) -> str:
    return (
        f"Plan of the embedded scale: {len(found['runs'])} trainings\n\n"
        "| planned, s | took, s | planned / took |\n|---|---|---|\n"
        f"| {found['planned']:.0f} | {found['took']:.0f} | {found['planned'] / found['took']:.2f} |\n"
    )
