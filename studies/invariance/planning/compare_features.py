"""Features of test images and of what PGD-20 makes of them."""

import math

from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.networks import Network
from robustlens.planning.work import Calls, Work
from studies.invariance.features import STEPS


def work(job: Job, known: Known) -> Work:
    """The gradients of the attack, and four passes more: two for features and two for channels."""
    dataset = known.dataset(job)
    images = dataset.sizes["test"]
    batches = math.ceil(images / job.spec["batch_size"])
    gradients = STEPS * batches
    network = Network.of(job.spec["architecture"], dataset.shape, dataset.classes)
    return Work(network, (Calls("predictions", images / batches, gradients + 4 * batches, gradients),))
