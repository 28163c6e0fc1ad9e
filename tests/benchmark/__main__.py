"""Speed and memory of this project, measured here: docs/benchmarks.md says how."""

import argparse
import json
import os
import platform
import re
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import certification
import chain
import dry_run
import evaluation
import frechet
import numpy as np
import picture
import plan_of_embedded
import portable
import portable_autoattack
import preparation
import profile_of_run
import scale
import speed
import steps
import torch
from line_up import problems
from report import COMPARISONS, goals, goals_list, speed_table
from threadpoolctl import threadpool_limits
from workers import Failed, Skipped

from robustlens.atomic import replacing
from robustlens.provenance import device_facts

ROOT = Path(__file__).parents[2]
# Besides the speed of training: what has a `measure` and a `table`. The last three of those that have peers set in this
# process what a job sets, so that peers in the parts before them have glibc's defaults.
PARTS = {
    "preparation": preparation,
    "chain": chain,
    "frechet": frechet,
    "portable": portable,
    "certification": certification,
    "steps": steps,
    "evaluation": evaluation,
    "portable_autoattack": portable_autoattack,
    "dry_run": dry_run,
    "scale": scale,
    "plan": plan_of_embedded,
    "profile": profile_of_run,
}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make benchmark", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="try everything once, on tiny data: no measurement")
    parser.add_argument("--minutes", type=float, default=5, help="about how long it may take on a processor (5)")
    parser.add_argument("--threads", type=int, default=2, help="of each contestant (2)")
    names = ["speed", *PARTS]
    parser.add_argument("--only", nargs="+", metavar="PART", choices=names, default=names, help=", ".join(names))
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "benchmarks", help="folder of the JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    threadpool_limits(arguments.threads)  # of numpy, too
    machine = device_facts() | {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    name = machine["accelerator"] or machine["processor"]
    gpu = machine["accelerator"] is not None

    os.environ.setdefault(
        "ROBUSTLENS_JOBS_PER_GPU", "100"
    )  # contestants share it, and only one of them computes at a time

    found, parts, left_out = [], {}, {"skipped": {}, "failed": {}}
    if "speed" in arguments.only:
        for problem in problems(gpu, arguments.threads, arguments.minutes, arguments.quick):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    found.append(speed.measure(problem, Path(folder), say))
                except Failed as reason:
                    left_out["failed"][problem.name] = str(reason)
    for part in [part for part in PARTS if part in arguments.only]:
        with tempfile.TemporaryDirectory() as folder:
            try:
                parts[part] = PARTS[part].measure(Path(folder), arguments.quick, say)
            except (Skipped, Failed) as reason:
                left_out["skipped" if isinstance(reason, Skipped) else "failed"][part] = str(reason)
    judged = [] if arguments.quick else goals(found, parts, gpu)

    now = datetime.now(UTC)
    record = {"time": now.isoformat(timespec="seconds"), "quick": arguments.quick, "machine": machine}
    record |= {"speed": found, **parts, **left_out, "goals": judged}
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    path = arguments.results / f"{'quick-' if arguments.quick else ''}{slug}-{now:%Y%m%d-%H%M%S}.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")

    if judged and {"speed", *(goal.part for goal in COMPARISONS)} <= {*arguments.only}:
        picture.draw(judged, name).savefig(picture.FILE, dpi=150, metadata={"Software": None})

    print(f"{name}, torch {torch.__version__}, {arguments.threads} threads\n")
    tables = [speed_table(problem, gpu) for problem in found]
    tables += [PARTS[part].table(measured) for part, measured in parts.items()]
    tables += [
        f"* {part}: {kind}: {reason}\n" for kind, reasons in left_out.items() for part, reason in reasons.items()
    ]
    print("\n".join(tables))
    print("Tried once, on tiny data: these are not measurements." if arguments.quick else goals_list(judged))
    print(f"\n{path}")
    broken = left_out["failed"] or any(problem["failed"] or not problem["rows"] for problem in found)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
