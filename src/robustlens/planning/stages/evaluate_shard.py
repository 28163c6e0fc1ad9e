"""A share of the images of one checkpoint under one attack."""

from pathlib import Path

from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.stages.evaluate import NOTES, ROW, Evaluation, work_of
from robustlens.planning.work import Work

__all__ = ["NOTES", "work", "written"]


def work(job: Job, known: Known) -> Work:
    """The attack on the images of its own batches."""
    return work_of(job, known, [Evaluation(attack, own, Path()) for attack, own in _own(job, known) if own])


def written(job: Job, known: Known) -> dict[str, float]:
    return {"evaluations": sum(own for _, own in _own(job, known)) * ROW}


def _own(job: Job, known: Known) -> list[tuple[dict, int]]:
    """The attack, and how many images this job has of it."""
    test, size, shards = known.dataset(job).sizes["test"], job.spec["batch_size"], job.spec["shards"]
    found = []
    for attack in job.spec["attacks"]:
        images = min(test, attack["samples"] or test)
        starts = range(0, images, size)[job.spec["shard"] - 1 :: shards]
        found.append((attack, sum(min(size, images - start) for start in starts)))
    return found
