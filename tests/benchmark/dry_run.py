"""Dry runs: how long Snakemake thinks before the first job starts, at the scale of the papers and far beyond it."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median

import yaml
from checkout import without_results
from memory import watched

TIMES = 3
RUNS = 3000  # trainings of the generated configuration


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """Seconds, jobs and peak memory of each dry run, in a copy of this checkout without results."""
    checkout = without_results(folder / "checkout")
    if quick:
        cases = {"embedded": ["--config", "scale=embedded"]}
    else:
        many = folder / "many.json"
        many.write_text(json.dumps(with_trainings(checkout, RUNS)))
        paper = ["--config", "scale=paper"]
        cases = {"paper": paper, f"paper, {RUNS:,} runs": [*paper, "--configfile", str(many)]}
    found = []
    for name, arguments in cases.items():
        turns = []
        for number in range(1 if quick else TIMES):
            say(f"dry run of {name}, {number + 1}")
            turns.append(dry_run(checkout, arguments))
        found.append({"name": name, **turns[0], "seconds": [turn["seconds"] for turn in turns]})
        found[-1]["memory_bytes"] = max(turn["memory_bytes"] or 0 for turn in turns) or None
    return {"cases": found}


def with_trainings(checkout: Path, count: int) -> dict:
    """An overlay: the studies of the paper scale with as many seeds as make this many trainings of all of them. Cohorts
    that have seeds of their own keep them."""
    studies = studies_of_paper(checkout)
    of_a_seed = {
        run
        for study in studies.values()
        for cohort in study["cohorts"].values()
        if "seeds" not in cohort
        for run in product(cohort.get("datasets", study["datasets"]), cohort["recipes"])
    }
    seeds = list(range(math.ceil(count / len(of_a_seed))))
    return {"scale": "paper", "scales": {"paper": {"studies": {name: {"seeds": seeds} for name in studies}}}}


def studies_of_paper(checkout: Path) -> dict[str, dict]:
    """As the studies' own files have them."""
    files = [yaml.safe_load(file.read_text()) for file in sorted(checkout.glob("studies/*/config.yaml"))]
    scales = [file.get("scales", {}).get("paper", {}) for file in files]
    return {name: study for scale in scales for name, study in scale.get("studies", {}).items()}


def dry_run(checkout: Path, arguments: list[str]) -> dict:
    """One `snakemake -n` as a user types it."""
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", *arguments]
    with open(checkout.parent / "output", "w+") as output:
        process = subprocess.Popen(command, cwd=checkout, stdout=output, stderr=subprocess.STDOUT)
        seconds, most = watched(process)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(f"snakemake -n {' '.join(arguments)} failed:\n{text[-2000:]}")
    return {"seconds": seconds, "memory_bytes": most, "jobs": count("total", text), "trainings": count("train", text)}


def count(rule: str, text: str) -> int:
    """Jobs of a rule, by Snakemake's table of them."""
    return int(re.search(rf"^{rule} +(\d+)$", text, re.MULTILINE).group(1))


def table(found: dict) -> str:
    lines = [
        "Dry runs, from nothing: `snakemake -n`",
        "",
        f"| scale | jobs | of them trainings | seconds, median of {len(found['cases'][0]['seconds'])} | ms per job "
        "| peak memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    for case in found["cases"]:
        seconds = median(case["seconds"])
        memory = "-" if case["memory_bytes"] is None else f"{case['memory_bytes'] / 1e6:.0f}"
        lines.append(
            f"| {case['name']} | {case['jobs']:,} | {case['trainings']:,} | {seconds:.1f} "
            f"| {1000 * seconds / case['jobs']:.1f} | {memory} |"
        )
    return "\n".join(lines) + "\n"
