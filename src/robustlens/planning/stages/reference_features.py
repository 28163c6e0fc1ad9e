"""Features of the real images that generated ones are compared with."""

from robustlens.planning.dry_run import Job
from robustlens.planning.features import feature_network, looking
from robustlens.planning.known import Known
from robustlens.planning.networks import INCEPTION_LOGITS
from robustlens.planning.work import Work

DOUBLE = 8


def work(job: Job, known: Known) -> Work:
    dataset = known.dataset(job)
    images = dataset.sizes[job.spec["features"]["reference"]]
    return Work(feature_network(job.spec, dataset), looking(images, job.spec["batch_size"]))


def written(job: Job, known: Known) -> dict[str, float]:
    """The features and the logits of each image."""
    dataset = known.dataset(job)
    logits = INCEPTION_LOGITS if job.spec["features"]["kind"] == "inception" else dataset.classes
    images = dataset.sizes[job.spec["features"]["reference"]]
    return {"reference features": images * (feature_network(job.spec, dataset).features + logits) * DOUBLE}
