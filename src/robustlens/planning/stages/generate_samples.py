"""Images generated from a classifier."""

import math

from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.networks import Network
from robustlens.planning.work import FLOAT32, Calls, Work

FLOAT = 4


def work(job: Job, known: Known) -> Work:
    """A gradient of every image in every step, and the energies after the last one."""
    dataset, images = known.dataset(job), generated(job, known)
    batches, steps = math.ceil(images / job.spec["batch_size"]), job.spec["sampler"]["steps"]
    network = Network.of(job.spec["architecture"], dataset.shape, dataset.classes)
    return Work(network, (chains(job, images / batches, (steps + 1) * batches, steps * batches),))


def chains(job: Job, batch: float, forwards: float, gradients: float) -> Calls:
    """Calls of a sampler, in the precision that the job asks for."""
    return Calls("generation", batch, forwards, gradients, precision=job.spec.get("precision", FLOAT32))


def written(job: Job, known: Known) -> dict[str, float]:
    return {"generated images": generated(job, known) * math.prod(known.dataset(job).shape) * FLOAT}


def generated(job: Job, known: Known) -> int:
    """How many images the job generates."""
    return job.spec["per_class"] * known.dataset(job).classes
