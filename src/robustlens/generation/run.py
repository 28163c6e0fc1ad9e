"""Generation from one classifier: make samples, keep them, score them, show them."""

import itertools
import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.metrics import pairwise_distances_argmin_min
from torch import nn

from robustlens.errors import RobustlensError
from robustlens.generation.features import FeatureNetwork, score_names
from robustlens.generation.sampler import Sampler, Samples
from robustlens.generation.scores import (
    Moments,
    frechet_distance,
    inception_score,
    kernel_distance,
    moments,
    two_half_spread,
)

KERNEL_SUBSET_SIZE = 1000  # of the usual protocol of KID; fewer where there are fewer images
KERNEL_SUBSETS = 100


class Reference(NamedTuple):
    """The images that samples are compared with, seen through a feature network.

    features (n, d) and logits (n, K) float64, labels (n,), their moments, and which split of the dataset they are.
    """

    features: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    moments: Moments
    split: str


def generate(
    model: nn.Module,
    train_images: np.ndarray,
    train_labels: np.ndarray,
    sampler: Sampler,
    per_class: int,
    seed: int,
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """per_class samples of each class of train_labels (n,), on the model's device.

    train_images: float32 (n, C, H, W) in [0, 1], of which the starting points are made.
    batch_size: images that are sampled together; with the seed it determines the samples.
    progress: called with (steps done, steps in all) over all batches.
    """
    generator = torch.Generator().manual_seed(seed)
    x, y = sampler.start(np.asarray(train_images), np.asarray(train_labels), per_class, generator)
    device = next(model.parameters()).device
    # A stream of its own: the starting points are drawn on the CPU, the noise where the model is.
    noise_generator = torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=generator)))

    done, total = itertools.count(1), sampler.steps * math.ceil(len(x) / batch_size)

    def after_step() -> None:
        if progress is not None:
            progress(next(done), total)

    return sampler.run(model, x.to(device), y.to(device), batch_size, noise_generator, after_step)


def see_reference(
    images: np.ndarray, labels: np.ndarray, network: FeatureNetwork, split: str, batch_size: int
) -> Reference:
    """The reference made of images float32 (n, C, H, W) in [0, 1]: once a dataset, for it serves every classifier."""
    features, logits = network.features(images, batch_size)
    return Reference(features, logits, np.asarray(labels), moments(features), split)


def score(
    images: np.ndarray,
    labels: np.ndarray,
    reference: Reference,
    network: FeatureNetwork,
    train_images: np.ndarray,
    splits: int = 10,
    seed: int = 0,
    batch_size: int = 100,
) -> dict:
    """Everything one must know about the quality of samples float32 (N, C, H, W); ready for JSON.

    Samples that hold a value that is not finite are left out of every other number and counted in `non_finite`;
    `n_generated` counts the others. Samples are not rounded to 8 bits. The same function applied to test images
    gives the anchor: what real images score.

    names: what to call `frechet`, `score_*` and `kid_*` in a table, which depends on the feature network.
    frechet: Fréchet distance to the reference; frechet_two_half_spread: see `scores.two_half_spread`.
    frechet_per_class: {label: distance} if each class has more samples and more reference images than features have
        dimensions, or else None.
    score_mean, score_std: of the split parts; reference_score_mean, reference_score_std: the same of the reference.
    kid_mean, kid_std: over kid_subsets subsets of kid_subset_size.
    max_probability_mean: of the feature network's softmax. label_agreement: share of the samples that the
        feature network gives their label, or None if its classes are not the dataset's (`inception`).
    nearest_training_distance_median: L2 in pixel space to the nearest of train_images (n, C, H, W); near 0 the samples
        are copies.
    """
    finite = np.isfinite(images).all(axis=(1, 2, 3))
    images, labels = images[finite], labels[finite]
    features, logits = network.features(images, batch_size) if finite.any() else (np.empty((0, 0)),) * 2
    own = moments(features)
    subset_size = min(KERNEL_SUBSET_SIZE, len(features), len(reference.features))
    score_mean, score_std = inception_score(logits, splits, seed)
    reference_score_mean, reference_score_std = inception_score(reference.logits, splits, seed)
    kid_mean, kid_std = kernel_distance(features, reference.features, subset_size, KERNEL_SUBSETS, seed)
    return {
        "names": score_names(network.kind),
        "features": network.kind,
        "dims": network.dims,
        "dtype": "float32 features, float64 statistics",
        "weights_sha256": network.weights_sha256,
        "resize": network.resize,
        "n_generated": len(features),
        "non_finite": int((~finite).sum()),
        "n_reference": len(reference.features),
        "reference_split": reference.split,
        "seed": seed,
        "frechet": frechet_distance(own.mean, own.covariance, reference.moments.mean, reference.moments.covariance),
        "frechet_two_half_spread": two_half_spread(features, reference.moments, seed),
        "frechet_per_class": _frechet_per_class(features, labels, reference),
        "score_mean": score_mean,
        "score_std": score_std,
        "score_splits": splits,
        "reference_score_mean": reference_score_mean,
        "reference_score_std": reference_score_std,
        "kid_mean": kid_mean,
        "kid_std": kid_std,
        "kid_subset_size": subset_size,
        "kid_subsets": KERNEL_SUBSETS,
        "max_probability_mean": float(_max_probability(logits).mean()),
        "label_agreement": float((logits.argmax(axis=1) == labels).mean()) if network.kind == "classifier" else None,
        "nearest_training_distance_median": _nearest_distance_median(images, train_images),
    }


def save_samples(path: Path, samples: Samples) -> None:
    """The samples as .npz arrays, without pickle; the file appears whole or not at all. Same samples, same bytes."""
    chain = {f"chain_{name}": samples.chain[name].to_numpy() for name in samples.chain}
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(partial, "wb") as file:
            np.savez(file, allow_pickle=False, images=samples.images, labels=samples.labels, **chain)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_samples(path: Path) -> Samples:
    """What `save_samples` wrote. Raises RobustlensError if the file is missing or is not such a file."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            chain = {name.removeprefix("chain_"): arrays[name] for name in arrays.files if name.startswith("chain_")}
            return Samples(arrays["images"], arrays["labels"], pd.DataFrame(chain))
    except FileNotFoundError:
        raise RobustlensError(f"{path}: no samples here; generate them first") from None
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise RobustlensError(f"{path}: not a file of samples ({error}); delete it and generate them anew") from None


def sample_grid(images: np.ndarray, labels: np.ndarray, per_class: int, path: Path, class_names: list[str]) -> None:
    """A PNG with a row a class: the first per_class of the images (N, C, H, W) in [0, 1] of each label (N,).

    A class with fewer leaves the rest of its row white. class_names: indexed by label. One channel is shown in grey.
    """
    channels, height, width = images.shape[1:]
    classes = np.unique(labels)
    mosaic = np.ones((len(classes) * (height + 1) - 1, per_class * (width + 1) - 1, channels))
    for row, y in enumerate(classes):
        for column, image in enumerate(images[labels == y][:per_class]):
            top, left = row * (height + 1), column * (width + 1)
            mosaic[top : top + height, left : left + width] = image.transpose(1, 2, 0)

    cell = 0.45  # inches
    figure = Figure(figsize=(cell * per_class + 1.0, cell * len(classes)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(mosaic.squeeze(2) if channels == 1 else mosaic, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks([row * (height + 1) + (height - 1) / 2 for row in range(len(classes))])
    axes.set_yticklabels([class_names[y] for y in classes])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def _frechet_per_class(features: np.ndarray, labels: np.ndarray, reference: Reference) -> dict[str, float] | None:
    distances = {}
    for y in np.unique(labels):
        own, others = features[labels == y], reference.features[reference.labels == y]
        if min(len(own), len(others)) <= features.shape[1]:
            return None
        own, others = moments(own), moments(others)
        distances[str(y)] = frechet_distance(own.mean, own.covariance, others.mean, others.covariance)
    return distances


def _max_probability(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits.max(axis=1) - np.logaddexp.reduce(logits, axis=1))


def _nearest_distance_median(images: np.ndarray, train_images: np.ndarray) -> float:
    flat, train = (np.asarray(i).reshape(len(i), -1) for i in (images, train_images))
    _, distances = pairwise_distances_argmin_min(flat, train)
    return float(np.median(distances))
