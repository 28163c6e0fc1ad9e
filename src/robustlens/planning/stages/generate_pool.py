"""Pools of images from generators: drawing them and writing them as arrays."""

import math

from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known

# Bytes of images per second: a full Gaussian of 5,000 images of 3x32x32 values, the slowest that was timed. Assumed.
RATE = 2e6
NOTES = (f"Generators are assumed to draw {RATE / 1e6:.0f} MB/s of images.",)


def seconds(job: Job, known: Known) -> float:
    return _bytes(job, known) / RATE


def written(job: Job, known: Known) -> dict[str, float]:
    return {"generated images": _bytes(job, known)}


def _bytes(job: Job, known: Known) -> float:
    """One byte per pixel value, and an 8-byte label per image."""
    dataset = known.dataset(job)
    return job.spec["per_class"] * dataset.classes * (math.prod(dataset.shape) + 8)
