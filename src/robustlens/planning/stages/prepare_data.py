"""Prepared datasets: decoding images and writing them as arrays."""

from robustlens.planning.datasets import Dataset, expected
from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known

# Bytes of prepared images per second: decoding, writing, checksums. Assumed.
RATE = 20e6
NOTES = (
    f"Preparing a dataset is assumed to write {RATE / 1e6:.0f} MB/s of images. A dataset of image files needs twice "
    "its disk space while it is prepared.",
)


def dataset(job: Job) -> Dataset:
    return expected(job.spec)


def seconds(job: Job, known: Known) -> float:
    return dataset(job).bytes / RATE


def written(job: Job, known: Known) -> dict[str, float]:
    return {"prepared datasets": dataset(job).bytes}
