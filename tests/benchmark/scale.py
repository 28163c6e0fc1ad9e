"""Scale: time and memory of Snakemake from 300 to 10,000 jobs: to read the rules, to see what there is to do, and to
see that there is nothing to do."""

import contextlib
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from checkout import without_results
from dry_run import count, with_trainings
from memory import watched

import robustlens.planning.dry_run as planned

TRAININGS = (104, 1560, 5356)  # of the paper scale with more seeds: about 300, 3,000 and 10,000 jobs
TIMES = 2  # the faster one counts: what else the machine does can only slow it down
MOST_MS = 15  # per job
MOST_GROWTH = 1.3  # of the time of one further job, between the first two sizes and the last two: 1 is linear
STEPS = {"reading": ["--list-rules"], "dry run": ["-n"], "no-op": ["-n"]}
NOTHING = "Nothing to be done (all requested files are present and up to date)."
# Accepts files that are there as results, as after a run. Snakemake's own pause of 0.1 s per job is left out.
TOUCH = """
from snakemake.executors.touch import Executor
import snakemake.cli
Executor.SLEEPING_TIME = 0
snakemake.cli.main()
"""


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """Each size in a copy of this checkout of its own: seconds and peak memory of every step."""
    sizes = TRAININGS[:1] if quick else TRAININGS
    return {"cases": [case(folder / str(trainings), trainings, quick, say) for trainings in sizes]}


def case(folder: Path, trainings: int, quick: bool, say: Callable[[str], None]) -> dict:
    """One size: reading and dry run from nothing, and the dry run of a finished run."""
    checkout = without_results(folder / "checkout")
    overlay = with_trainings(checkout, trainings)
    (folder / "overlay.json").write_text(json.dumps(overlay))
    found = {}
    for step, arguments in STEPS.items():
        if step == "no-op":
            say(f"{trainings} trainings: the files of a finished run")
            finish(checkout)
        turns = []
        for number in range(1 if quick else TIMES):
            say(f"{trainings} trainings: {step}, {number + 1}")
            turn, text = snakemake(checkout, [sys.executable, "-m", "snakemake", *arguments])
            turns.append(turn)
            if step == "dry run":
                found |= {"jobs": count("total", text), "trainings": count("train", text)}
            if step == "no-op" and (NOTHING not in text or "missing provenance" in text):
                raise SystemExit(f"with every file there, snakemake -n found something to do:\n{text[-2000:]}")
        found[step] = min(turns, key=lambda turn: turn["processor_seconds"])
    return found


def finish(checkout: Path) -> None:
    """Every output there, empty, and accepted by Snakemake with the parameters and the code that it has now."""
    with contextlib.chdir(checkout):
        jobs = planned.dry_run("Snakefile", [str(checkout.parent / "overlay.json")], {}, ["all"])
    for path in (checkout / output for job in jobs for output in job.outputs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    # Many cores and the simple scheduler: it chooses anew after every batch, among all jobs that are left.
    options = ["--touch", "--forceall", "--scheduler", "greedy"]
    snakemake(checkout, [sys.executable, "-c", TOUCH, *options], cores=100_000)


def snakemake(checkout: Path, command: list[str], cores: int = 1) -> tuple[dict, str]:
    """Seconds, those of the processor, peak memory in bytes (None: unknown), and what it said."""
    command = [*command, "--cores", str(cores), "--configfile", str(checkout.parent / "overlay.json")]
    with open(checkout.parent / "output", "w+") as output:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen(command, cwd=checkout, stdout=output, stderr=subprocess.STDOUT)
        seconds, memory = watched(process)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{text[-2000:]}")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "processor_seconds": processor, "memory_bytes": memory}, text


def ms_a_job(found: dict, step: str) -> list[float]:
    """Of every size: the processor's milliseconds for a step, all of them, by its jobs. Snakemake computes in one
    thread, so that on a calm machine they are what a user waits for."""
    return [1000 * case[step]["processor_seconds"] / case["jobs"] for case in found["cases"]]


def ms_a_further_job(found: dict, step: str) -> list[float]:
    """From every size to the next one: what one job more takes, so that what any command takes does not count."""
    return [
        1000 * (large[step]["processor_seconds"] - small[step]["processor_seconds"]) / (large["jobs"] - small["jobs"])
        for small, large in pairwise(found["cases"])
    ]


def growth(found: dict, step: str) -> float | None:
    """What a further job takes at the largest sizes, by what it takes at the smallest; None for fewer than three."""
    further = ms_a_further_job(found, step)
    return further[-1] / further[0] if len(further) > 1 else None


def table(found: dict) -> str:
    lines = [
        "Scale: `snakemake --list-rules`, `snakemake -n` from nothing, and `snakemake -n` when all is done: seconds, "
        "processor seconds, and processor milliseconds per job",
        "",
        "| jobs | of them trainings | reading | dry run | no-op | peak memory of each, MB |",
        "|---|---|---|---|---|---|",
    ]
    each = {step: ms_a_job(found, step) for step in ("dry run", "no-op")}
    for number, case in enumerate(found["cases"]):
        cells = []
        for step in STEPS:
            seconds = f"{case[step]['seconds']:.1f} s, {case[step]['processor_seconds']:.1f} s"
            cells.append(seconds + (f", {each[step][number]:.1f} ms" if step in each else ""))
        memory = ", ".join(f"{(case[step]['memory_bytes'] or 0) / 1e6:.0f}" for step in STEPS)
        lines.append(f"| {case['jobs']:,} | {case['trainings']:,} | {' | '.join(cells)} | {memory} |")
    if len(found["cases"]) > 2:
        lines.append("")
        for step in each:
            further = ", then ".join(f"{ms:.2f} ms" for ms in ms_a_further_job(found, step))
            lines.append(f"* {step}: a further job takes {further}: {growth(found, step):.2f} times as much")
    return "\n".join(lines) + "\n"
