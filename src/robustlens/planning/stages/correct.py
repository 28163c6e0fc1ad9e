"""Corrections of a last layer, each with all its strengths on the validation images."""

import math

from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.networks import Network
from robustlens.planning.work import Calls, Work


def work(job: Job, known: Known) -> Work:
    """An attack and two predictions per strength, and one more attack, with its predictions, for the prior."""
    dataset, tracking = known.dataset(job), job.spec["tracking"]
    images = dataset.sizes["validation"]
    batches = math.ceil(images / tracking["batch_size"])
    strengths = sum(len(correction["parameters"]["strengths"]) for correction in job.spec["corrections"].values())
    gradients = (strengths + 1) * tracking["attack_steps"] * batches
    calls = Calls("tracking", images / batches, gradients + (2 * strengths + 1) * batches, gradients)
    return Work(Network.of(job.spec["architecture"], dataset.shape, dataset.classes), (calls,))


def written(job: Job, known: Known) -> dict[str, float]:
    return {"weights of runs": 4 * len(job.spec["corrections"]) * known.work(job).network.parameters}
