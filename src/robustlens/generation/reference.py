"""The images that samples are compared with, seen through a feature network once."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from robustlens.atomic import replacing
from robustlens.generation.features import FeatureNetwork
from robustlens.generation.scores import Moments, moments


class Reference(NamedTuple):
    """The images that samples are compared with, seen through a feature network.

    features (n, d) and logits (n, K) float64, labels (n,), their moments, and which split of the dataset they are.
    """

    features: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    moments: Moments
    split: str


def see_reference(
    images: np.ndarray, labels: np.ndarray, network: FeatureNetwork, split: str, batch_size: int
) -> Reference:
    """The reference made of images float32 (n, C, H, W) in [0, 1]: once per dataset, for all classifiers."""
    features, logits = network.features(images, batch_size)
    return Reference(features, logits, np.asarray(labels), moments(features), split)


def save_reference(path: Path, reference: Reference) -> None:
    """The reference as .npz arrays, without pickle; the moments follow from the features."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        arrays = {"features": reference.features, "logits": reference.logits, "labels": reference.labels}
        np.savez(file, allow_pickle=False, split=np.array(reference.split), **arrays)


def load_reference(path: Path) -> Reference:
    """What `save_reference` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        features = arrays["features"]
        return Reference(features, arrays["logits"], arrays["labels"], moments(features), str(arrays["split"]))
