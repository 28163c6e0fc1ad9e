"""What earlier runs took: Snakemake's benchmark files, with the certificates that say what ran, and on what."""

import contextlib
import csv
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from robustlens.errors import RobustlensError
from robustlens.planning.dry_run import Job
from robustlens.planning.work import Work

# The wildcards that a measured job shares with the one to be estimated, the best choice first.
ALIKE = (("dataset", "recipe", "suite", "seed"), ("dataset", "recipe", "suite"), ("dataset", "suite"), ("dataset",))


UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, RobustlensError)


@dataclass(frozen=True)
class Measurement:
    """What a job took, and the FLOPs that it did by the parameters it had (0 without a network)."""

    job: Job
    seconds: float
    flops: float


def measurements(jobs: list[Job], work_of: Callable[[Job], Work | None], on_gpu: bool) -> list[Measurement]:
    """Of those jobs that have run with a GPU, or without one. A file that can't be read, or one of older code with
    other parameters, counts as none."""
    found = []
    for job in jobs:
        if job.benchmark and job.certificate:
            with contextlib.suppress(*UNREADABLE):
                record = json.loads(Path(job.certificate).read_text())
                with open(job.benchmark, newline="") as file:
                    seconds = float(next(csv.DictReader(file, delimiter="\t"))["s"])
                if bool(record["device"].get("accelerator")) == on_gpu:
                    work = work_of(replace(job, spec=record["parameters"]))
                    found.append(Measurement(job, seconds, work.flops if work else 0.0))
    return found


def by_measurements(job: Job, flops: float, measured: list[Measurement], start_up: float) -> tuple[float, bool] | None:
    """Seconds of a job by the median of those most like it, but for their start-up in proportion to the FLOPs; and
    whether it is this very job that was measured, with the same work. None where nothing like it was."""
    for names in ALIKE:
        alike = [m for m in measured if m.job.rule == job.rule and _same(m.job, job, names)]
        if alike:
            seconds = statistics.median(
                start_up + max(0.0, m.seconds - start_up) * flops / m.flops if m.flops else m.seconds for m in alike
            )
            return seconds, names == ALIKE[0] and alike[0].flops == flops
    return None


def _same(one: Job, other: Job, names: tuple[str, ...]) -> bool:
    return all(one.wildcards.get(name) == other.wildcards.get(name) for name in names)
