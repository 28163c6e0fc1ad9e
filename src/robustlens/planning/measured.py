"""What earlier runs took, by the certificates that they left, which also say what ran, and on what."""

import contextlib
import csv
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from robustlens.errors import RobustlensError
from robustlens.planning.dry_run import Job
from robustlens.planning.work import Work

# The wildcards that a measured job shares with the one to be estimated, after all of them and all but the seed.
ALIKE = (("dataset", "recipe", "suite"), ("dataset", "suite"), ("dataset",))

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, RobustlensError)


@dataclass(frozen=True)
class Measurement:
    """What a job took, and the FLOPs of all its work by the parameters it had (0 without a network).

    whole: whether the seconds are those of the process, with the time that it took to start and to wait for a GPU.
    """

    job: Job
    seconds: float
    flops: float
    whole: bool = False

    def scaled(self, flops: float, start_up: float) -> float:
        """Seconds of a process that does that many FLOPs: in proportion, except for the start."""
        work = max(0.0, self.seconds - start_up) if self.whole else self.seconds
        return start_up + (work * flops / self.flops if self.flops else work)


def measurements(jobs: list[Job], work_of: Callable[[Job], Work | None], on_gpu: bool) -> list[Measurement]:
    """Of the jobs that have run with a GPU (`on_gpu`), or of those that have run without one. A file that can't be
    read, or one of older code with other parameters, is ignored."""
    found = []
    for job in jobs:
        if job.certificate:
            with contextlib.suppress(*UNREADABLE):
                parts = [(part, json.loads(Path(part.certificate).read_text())) for part in job.parts()]
                if all(bool(record["device"].get("accelerator")) == on_gpu for _, record in parts):
                    took = [_took(part, record) for part, record in parts]
                    works = [work_of(replace(part, spec=record["parameters"])) for part, record in parts]
                    flops = sum(work.flops for work in works if work)
                    found.append(Measurement(job, sum(s for s, _ in took), flops, any(whole for _, whole in took)))
    return found


def _took(job: Job, record: dict) -> tuple[float, bool]:
    """Seconds, and whether they are of the whole process.

    The certificate's seconds start when the job has its GPU. Those of a training that was stopped and resumed are of
    its last session; if all its epochs together took longer, even without what was tracked after them, that counts. A
    certificate without seconds leaves Snakemake's benchmark file, which times the whole process of the last session.
    """
    if "wall_seconds" not in record:
        with open(job.benchmark, newline="") as file:
            return float(next(csv.DictReader(file, delimiter="\t"))["s"]), True
    seconds = float(record["wall_seconds"])
    for timing in (path for path in job.outputs if Path(path).name == "timing.parquet"):
        seconds = max(seconds, float(pd.read_parquet(timing)["seconds"].sum()))
    return seconds, False


def by_measurements(job: Job, flops: float, measured: list[Measurement], start_up: float) -> tuple[float, bool] | None:
    """Seconds of a job by the median of those most like it, in proportion to the FLOPs except for the start-up; and
    whether this same job was measured, with the same work. None if nothing like it was measured."""
    of_rule = [m for m in measured if m.job.rule == job.rule]
    every = tuple(job.wildcards)
    for names in (every, tuple(name for name in every if name != "seed"), *ALIKE):
        if alike := [m for m in of_rule if _same(m.job, job, names)]:
            seconds = statistics.median(m.scaled(flops, start_up) for m in alike)
            return seconds, names is every and alike[0].flops == flops
    return None


def _same(one: Job, other: Job, names: tuple[str, ...]) -> bool:
    return all(one.wildcards.get(name) == other.wildcards.get(name) for name in names)
