"""Scores of real images, which the scores of generated ones are compared with."""

from robustlens.planning.dry_run import Job
from robustlens.planning.features import scoring
from robustlens.planning.known import Known
from robustlens.planning.work import Work


def work(job: Job, known: Known) -> Work:
    """Of the test images, or of the validation images if the reference are the test images."""
    dataset = known.dataset(job)
    return scoring(
        job.spec, dataset, dataset.sizes["validation" if job.spec["features"]["reference"] == "test" else "test"]
    )
