"""Where the time of the embedded scale's last run went, by the benchmark files and logs that it left."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import pandas as pd
from checkout import ROOT
from matplotlib.figure import Figure
from workers import Skipped

RESULTS = ROOT / "results" / "embedded"
PICTURE = ROOT / "docs" / "pictures" / "profile.png"
CORES = 2  # those that README.md speaks of, a job on each
STEPS, TRACKING = "trainings: steps", "trainings: validation, observers"
AUTOATTACK, ATTACKS = "AutoAttack", "other attacks"
OTHER, DRAWN = "generators, distances, certificates", "tables, figures, claims"
START, BETWEEN = "starting and ending Python", "Snakemake, and cores that wait"
PARTS = {STEPS: "#0072B2", TRACKING: "#56B4E9", AUTOATTACK: "#D55E00", ATTACKS: "#E69F00", OTHER: "#009E73",
         DRAWN: "#CC79A7", START: "#666666", BETWEEN: "#cccccc"}  # fmt: skip
OF_REPORT = ("studies", "claims", "report", "report-pdf")  # folders, or names, of logs
LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (.*)")
ATTACK = re.compile(r"attack \d+/\d+, ETA \S+  seed\d+ \S+ (\S+): (.*)")


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """Core-seconds of each part. Raises Skipped where nothing has run."""
    files = sorted(RESULTS.glob("benchmarks/**/*.tsv"))
    if quick or not files:
        raise Skipped(f"there is no finished run of the embedded scale in {RESULTS}: `make reproduce` makes one")
    found = profile(files)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    draw(found).savefig(PICTURE, dpi=150, metadata={"Software": None})
    return found


def profile(files: Iterable[Path]) -> dict:
    """files: benchmark files; the log of each job has the same name in logs/."""
    seconds, times, peaks = Counter(), [], []
    for file in files:
        job = file.relative_to(RESULTS / "benchmarks").with_suffix("")
        took, peak = benchmark(file)
        inside = Counter(by_log(job))
        seconds += inside + Counter({START: max(0.0, took - inside.total())})
        times.append((file.stat().st_mtime - took, file.stat().st_mtime))
        peaks.append((peak, str(job)))
    wall = covered(times)
    seconds[BETWEEN] += max(0.0, CORES * wall - seconds.total())
    return {"jobs": len(times), "minutes": wall / 60, "peak_mb": max(peaks), "seconds": {p: seconds[p] for p in PARTS}}


def benchmark(file: Path) -> tuple[float, float]:
    """Seconds and MB of a job by Snakemake's benchmark file."""
    with open(file, newline="") as lines:
        row = next(csv.DictReader(lines, delimiter="\t"))
    return float(row["s"]), float(row["max_rss"]) if row["max_rss"] not in ("", "-", "NA") else 0.0


def by_log(job: Path) -> dict[str, float]:
    """Seconds from a log's first line to its last, by what was done in them; a second is the finest that it tells."""
    found = [*filter(None, map(LINE.match, (RESULTS / "logs" / f"{job}.log").read_text().splitlines()))]
    times = [datetime.fromisoformat(match[1]).timestamp() for match in found]
    inside, stage = times[-1] - times[0], job.parts[0]
    if stage == "train":
        timing = pd.read_parquet(RESULTS / "runs" / job.relative_to("train") / "timing.parquet")
        steps = min(inside, float(timing["seconds"].sum()))
        return {STEPS: steps, TRACKING: inside - steps}
    if stage != "evaluate":
        return {DRAWN if stage in OF_REPORT else OTHER: inside}
    seconds = Counter()
    for before, time, line in zip(times, times[1:], found[1:], strict=False):
        attack = ATTACK.match(line[2])
        name, result = attack.groups() if attack else ("", "")
        waited = result == "made by another process"
        seconds[BETWEEN if waited else AUTOATTACK if name.startswith("autoattack") else ATTACKS] += time - before
    return seconds


def covered(times: list[tuple[float, float]]) -> float:
    """Seconds in which any job ran: what is made in several goes has pauses."""
    total, until = 0.0, 0.0
    for start, end in sorted(times):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def table(found: dict) -> str:
    total = sum(found["seconds"].values())
    peak, job = found["peak_mb"]
    lines = [
        f"Embedded scale, {CORES} cores: {found['jobs']} jobs in {found['minutes']:.1f} minutes in which one ran; "
        f"the largest, {job}, had {peak:.0f} MB",
        "",
        "| where the time went | core-seconds | share |",
        "|---|---|---|",
    ]
    lines += [f"| {part} | {seconds:.0f} | {seconds / total:.0%} |" for part, seconds in found["seconds"].items()]
    return "\n".join(lines) + "\n"


def draw(found: dict) -> Figure:
    """One stacked bar."""
    figure = Figure(figsize=(8, 2.2), layout="constrained")
    axes = figure.add_subplot()
    left, total = 0.0, sum(found["seconds"].values())
    for part, seconds in found["seconds"].items():
        bar = axes.barh(0, seconds, left=left, color=PARTS[part], edgecolor="white", label=part)
        if seconds > 0.04 * total:
            axes.bar_label(bar, [f"{seconds / total:.0%}"], label_type="center", color="white", fontsize=9)
        left += seconds
    axes.set(yticks=[], xlabel="core-seconds", xlim=(0, left), ylim=(-0.5, 0.5))
    axes.spines[["top", "left", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return figure
