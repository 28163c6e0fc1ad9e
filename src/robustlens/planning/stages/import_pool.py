"""Pools of images from published sample sets: reading the whole set, and writing some of it as arrays."""

import math
from pathlib import Path

from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known

LABEL = 8  # bytes
RECEIPT = "receipt.json"
READINGS = 3  # to verify a file, for its certificate, and for its images
RATE = 200e6  # bytes per second, with their SHA-256 or their copying. Assumed.
NOTES = (f"Published sample sets are assumed to be read {READINGS} times at {RATE / 1e6:.0f} MB/s.",)


def seconds(job: Job, known: Known) -> float | None:
    """None for a folder, and for a set of unknown size that is not there yet."""
    published = _published(job)
    return (READINGS * published + _written(job, known)) / RATE if published else None


def written(job: Job, known: Known) -> dict[str, float]:
    return {"generated images": _written(job, known)}


def fetched(job: Job) -> list[dict]:
    """A folder that has to be put there by hand; files are fetched or verified by a job of their own."""
    name, downloads = job.spec["sample_set"].get("folder"), Path("results/downloads", job.spec["generator"])
    if name is None or (downloads / name).is_dir():
        return []
    return [{"folder": downloads.name, "file": name, "bytes": None, "by_hand": True}]


def _written(job: Job, known: Known) -> float:
    """One byte per pixel value and an 8-byte label per image; of a whole set, the size of its files."""
    dataset, per_class = known.dataset(job), job.spec["per_class"]
    return _published(job) if per_class is None else per_class * dataset.classes * (math.prod(dataset.shape) + LABEL)


def _published(job: Job) -> float:
    """Bytes of the files, as the configuration says or as they are in place; 0 where one of them is unknown."""
    names = (Path(path).parent.name for path in job.inputs if Path(path).name == RECEIPT)
    folder = Path("results/downloads", next(names, ""))
    sizes = [archive.get("bytes") or _size(folder / archive["file"]) for archive in job.spec["archives"]]
    return sum(sizes) if all(sizes) else 0


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
