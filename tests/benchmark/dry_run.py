"""Dry runs: how long Snakemake thinks before the first job starts, at the scale of the papers and far beyond it."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
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
        many.write_text(json.dumps(many_seeds(checkout)))
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


def many_seeds(checkout: Path) -> dict:
    """An overlay: the study of the paper scale with as many seeds as make RUNS trainings of its main recipes."""
    settings = yaml.safe_load((checkout / "studies/energy/config.yaml").read_text())
    study = settings["scales"]["paper"]["studies"]["energy"]
    seeds = math.ceil(RUNS / (len(study["datasets"]) * len(study["cohorts"]["main"]["recipes"])))
    return {"scales": {"paper": {"studies": {"energy": {"seeds": list(range(seeds))}}}}}


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
        f"| scale | jobs | of them trainings | seconds, median of {len(found['cases'][0]['seconds'])} | ms a job "
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
