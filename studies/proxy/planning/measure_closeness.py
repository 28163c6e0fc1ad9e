"""How close generated images are to real ones: distances of pixels, and passes of the feature network."""

import math

from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known

# Of pairs of images with 3,072 values each, compared one by one: 1,000 x 1,000 took 1.3 s. Assumed.
RATE = 1e6 * 3072 / 1.3
START_UP = "network"
NOTES = (f"Distances between images are assumed to take {RATE / 1e9:.1f} billion values a second.",)


def seconds(job: Job, known: Known) -> float:
    """Copies are looked for in `most` images and in all test images, each among the training images of its class. The
    passes of the feature network are few beside it."""
    dataset, settings = known.dataset(job), job.spec["closeness"]
    searched = (settings["most"] + dataset.sizes["test"]) * dataset.sizes["train"] / dataset.classes
    matched = 2 * 2 * settings["draws"] * dataset.classes * settings["per_class"] ** 2
    return (searched + matched) * math.prod(dataset.shape) / RATE
