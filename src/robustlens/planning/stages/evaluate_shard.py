"""A share of the images of one checkpoint under one attack."""

from pathlib import Path

from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.stages.evaluate import NOTES, ROW, SHARED, Evaluation, work_of
from robustlens.planning.work import Work

__all__ = ["NOTES", "left", "work", "written"]


def work(job: Job, known: Known) -> Work:
    """The attack on the images of its own batches."""
    return work_of(job, known, [one for one in [_own(job, known)] if one.images])


def left(job: Job, known: Known) -> Work:
    """Nothing where the evaluation is there already, of a run that is not trained again."""
    return work_of(job, known, [one for one in [_own(job, known)] if one.images and _is_missing(one, job, known)])


def written(job: Job, known: Known) -> dict[str, float]:
    one = _own(job, known)
    return {"evaluations": one.images * ROW if _is_missing(one, job, known) else 0}


def _own(job: Job, known: Known) -> Evaluation:
    """The attack, how many images this job has of it, and the file of the evaluation that they will be joined to."""
    test, size, shards = known.dataset(job).sizes["test"], job.spec["batch_size"], job.spec["shards"]
    (attack,) = job.spec["attacks"]
    images = min(test, attack["samples"] or test)
    starts = range(0, images, size)[job.spec["shard"] - 1 :: shards]
    subset = f".{images}" if images < test else ""
    folder = next(Path(path.replace(SHARED, "/evaluations/")).parent for path in job.outputs if SHARED in path)
    own = sum(min(size, images - start) for start in starts)
    return Evaluation(attack, own, folder / f"{attack['name']}{subset}.parquet")


def _is_missing(one: Evaluation, job: Job, known: Known) -> bool:
    return not one.file.exists() or any(source.key() in known.to_run for source in known.sources(job))
