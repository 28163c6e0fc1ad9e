"""Pools of images from generators: drawing them and writing them as arrays."""

import math

import torch

from robustlens.generators.pool import CHUNK_VALUES
from robustlens.planning import denoisers
from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.work import Work

# Bytes of images per second: a full Gaussian of 5,000 images of 3x32x32 values, the slowest that was timed. Assumed.
RATE = 2e6
START_UP = "network"
NOTES = (
    f"Generators are assumed to draw {RATE / 1e6:.0f} MB/s of images, and diffusion models as fast as their networks.",
    "A classifier that labels generated images is not counted.",
)


def work(job: Job, known: Known) -> Work | None:
    if job.spec["generator"]["family"] != denoisers.FAMILY:
        return None
    dataset = known.dataset(job)
    images, most = job.spec["per_class"] * dataset.classes, max(1, CHUNK_VALUES // math.prod(dataset.shape))
    chunks = math.ceil(images / most)
    passes = chunks * job.spec["generator"]["parameters"]["sampling_steps"]
    return denoisers.work(job, dataset.shape, dataset.classes, "sampling", images / chunks, passes)


def trial(job: Job, known: Known, device: torch.device, budget: float) -> dict[str, float] | None:
    return denoisers.trial(known.work(job).network, "sampling", device, budget)


def seconds(job: Job, known: Known) -> float:
    return _bytes(job, known) / RATE


def written(job: Job, known: Known) -> dict[str, float]:
    return {"generated images": _bytes(job, known)}


def _bytes(job: Job, known: Known) -> float:
    """One byte per pixel value, and an 8-byte label per image."""
    dataset = known.dataset(job)
    return job.spec["per_class"] * dataset.classes * (math.prod(dataset.shape) + 8)
