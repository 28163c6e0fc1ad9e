"""What `snakemake plan` says that the trainings of the embedded scale take, against what a run of it took.

By hand, on a machine that does nothing else, after `snakemake --cores 1` or `make reproduce`:

    python tests/benchmark/plan_of_embedded.py

The plan is made in a copy of this checkout without results, so that it knows nothing of the run. Exits with 1 where the
two differ by more than a factor of LIMIT.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "workflow"))

from flow import copy_sources  # noqa: E402 - found by the path above

LIMIT = 1.5


def planned(folder: Path) -> dict[tuple[str, str], float]:
    """Seconds of every training, by dataset/recipe and seed."""
    command = [sys.executable, "-m", "snakemake", "plan", "--cores", "1", "--config", "scale=embedded"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "embedded", help="of the finished run")
    results = parser.parse_args().results
    with tempfile.TemporaryDirectory() as folder:
        estimates = planned(copy_sources(Path(folder) / "checkout"))
    times = {run: took(results, run) for run in estimates}
    missing = [run for run, seconds in times.items() if seconds is None]
    if missing:
        print(f"{results}: {len(missing)} of {len(times)} trainings have not run, such as {'/'.join(missing[0])}")
        return 1
    for run, seconds in times.items():
        print(f"{'/'.join(run):30} planned {estimates[run]:7.1f} s   took {seconds:7.1f} s")
    ratio = sum(estimates.values()) / sum(times.values())
    print(f"all {len(times)} trainings: planned {sum(estimates.values()):.0f} s, took {sum(times.values()):.0f} s")
    print(f"planned / took = {ratio:.2f}; the goal is {1 / LIMIT:.2f} to {LIMIT}")
    return 0 if 1 / LIMIT <= ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
