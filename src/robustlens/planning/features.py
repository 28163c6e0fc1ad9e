"""The work of looking at images through a feature network, and of scoring them by what it sees."""

import math

from robustlens.planning.datasets import Dataset
from robustlens.planning.networks import INCEPTION, INCEPTION_LOGITS, Network
from robustlens.planning.work import Calls, Work


def feature_network(spec: dict, dataset: Dataset) -> Network:
    """The network that a job's specification asks for: Inception, or a classifier of this dataset."""
    if spec["features"]["kind"] == "inception":
        return Network(INCEPTION, (3, 299, 299), INCEPTION_LOGITS)
    return Network.of(spec["architecture"], dataset.shape, dataset.classes)


def looking(images: int, batch_size: int) -> tuple[Calls, ...]:
    """One pass of every image."""
    batches = math.ceil(images / batch_size)
    return (Calls("features", images / batches, batches),)


def scoring(spec: dict, dataset: Dataset, images: int) -> Work:
    """The features of that many images; on the processor, their statistics and the nearest training image of each."""
    network, reference = feature_network(spec, dataset), dataset.sizes[spec["features"]["reference"]]
    subset = min(1000, images, reference)
    nearest = 2.0 * images * dataset.sizes["train"] * math.prod(dataset.shape)
    covariances = 2.0 * (2 * images + reference) * network.features**2
    frechet = 3 * 13.0 * network.features**3  # of all images and of two halves; 13 d^3 each
    kernel = 100 * 3 * 2.0 * subset**2 * network.features
    processor = nearest + covariances + frechet + kernel
    return Work(network, looking(images, spec["batch_size"]), processor)
