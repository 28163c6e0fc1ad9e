"""Scores of generated images."""

from robustlens.planning.dry_run import Job
from robustlens.planning.features import scoring
from robustlens.planning.known import Known
from robustlens.planning.stages.generate_samples import generated
from robustlens.planning.work import Work


def work(job: Job, known: Known) -> Work:
    images = sum(generated(source, known) for source in known.sources_by("generate_samples", job))
    return scoring(job.spec, known.dataset(job), images)
