"""Fits of generators: of densities in a moment, of diffusion models step by step."""

import math

import torch

from robustlens.planning import denoisers
from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.work import Work

FLOAT = 4
# Bytes of training images per second that a density is fitted to. Assumed: reading and writing them takes most of it.
RATE = 20e6
START_UP = "network"
NOTES = (f"Densities are assumed to be fitted to {RATE / 1e6:.0f} MB of images a second.",)


def work(job: Job, known: Known) -> Work | None:
    dataset, parameters = known.dataset(job), job.spec["generator"]["parameters"]
    if job.spec["generator"]["family"] != denoisers.FAMILY:
        return None
    steps, batch = parameters["steps"], parameters["batch_size"]
    return denoisers.work(job, dataset.shape, dataset.classes, "denoising", batch, steps)


def trial(job: Job, known: Known, device: torch.device, budget: float) -> dict[str, float] | None:
    return denoisers.trial(known.work(job).network, "denoising", device, budget)


def seconds(job: Job, known: Known) -> float:
    return 0.0 if known.work(job) else _values(job, known) / RATE


def written(job: Job, known: Known) -> dict[str, float]:
    """The weights, and in the state two networks with the optimizer's two moments; of a density, the images."""
    if found := known.work(job):
        weights = FLOAT * found.network.parameters
        return {"fitted generators": weights, "training states": 4 * weights}
    return {"fitted generators": FLOAT * _values(job, known)}


def _values(job: Job, known: Known) -> float:
    dataset = known.dataset(job)
    return dataset.sizes["train"] * math.prod(dataset.shape)
