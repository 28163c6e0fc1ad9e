"""Pools of selected images: a discriminator that is trained and judges all images, and copying those that are kept."""

import math

from robustlens.discrimination.accuracy import TOGETHER
from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.networks import Network
from robustlens.planning.work import Calls, Work

FLOAT, LABEL = 4, 8  # bytes
KIND = "generated images"
READINGS = 2  # for the certificate, and to copy
RATE = 200e6  # bytes per second, with their SHA-256 or their copying. Assumed.
START_UP = "network"
NOTES = (f"Pools to select from are assumed to be read {READINGS} times at {RATE / 1e6:.0f} MB/s.",)


def work(job: Job, known: Known) -> Work | None:
    """None where images are taken by chance. On validation, there are as many images of the pool as real ones."""
    if "discriminator" not in job.spec:
        return None
    dataset, settings = known.dataset(job), job.spec["discriminator"]
    (steps,) = settings["steps"]
    attacks, pool = steps * settings["attack_steps"], _bytes(job, known) / (math.prod(dataset.shape) + LABEL)
    validated = settings["validation_steps"]
    calls = (
        Calls("training", 2 * settings["batch_size"], attacks, attacks, trained=steps),
        Calls("tracking", 2 * dataset.sizes["validation"], validated + 2, validated),
        Calls("predictions", min(TOGETHER, pool), pool / min(TOGETHER, pool) if pool else 0),
    )
    return Work(Network.of(job.spec["architecture"], dataset.shape, 2), calls)


def seconds(job: Job, known: Known) -> float:
    return (READINGS + job.spec["share"]) * _bytes(job, known) / RATE


def written(job: Job, known: Known) -> dict[str, float]:
    """The state has the network, the optimizer's two moments and, in the end, the weights once more."""
    found, images = known.work(job), {KIND: job.spec["share"] * _bytes(job, known)}
    return images | ({"training states": 4 * FLOAT * found.network.parameters} if found else {})


def _bytes(job: Job, known: Known) -> float:
    """Of the pool to select from; 0 where its size is unknown."""
    return sum(known.written(source).get(KIND, 0.0) for source in known.sources(job))
