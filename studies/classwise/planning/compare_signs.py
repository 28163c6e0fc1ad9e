"""Signs of gradients at the random starts of Temperature-PGD, computed in two ways."""

import math

from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.networks import Network
from robustlens.planning.work import Calls, Work


def work(job: Job, known: Known) -> Work:
    """Two gradients of every test image for each attack."""
    dataset = known.dataset(job)
    images = dataset.sizes["test"]
    batches = math.ceil(images / job.spec["batch_size"])
    gradients = 2 * batches * len(job.spec["attacks"])
    network = Network.of(job.spec["architecture"], dataset.shape, dataset.classes)
    return Work(network, (Calls("predictions", images / batches, gradients, gradients),))
