"""Energies of all training images under the best checkpoint of a run."""

import math

from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.networks import Network
from robustlens.planning.work import Calls, Work


def work(job: Job, known: Known) -> Work:
    """One pass of every training image."""
    dataset = known.dataset(job)
    images = dataset.sizes["train"]
    batches = math.ceil(images / job.spec["batch_size"])
    network = Network.of(job.spec["architecture"], dataset.shape, dataset.classes)
    return Work(network, (Calls("predictions", images / batches, batches),))
