"""How good samples are, in the numbers of one feature network."""

import numpy as np
from sklearn.metrics import pairwise_distances_argmin_min

from robustlens.generation.features import FeatureNetwork, score_names
from robustlens.generation.reference import Reference
from robustlens.generation.scores import frechet_distance, inception_score, kernel_distance, moments, two_half_spread

KERNEL_SUBSET_SIZE = 1000  # of the usual protocol of KID; fewer where there are fewer images
KERNEL_SUBSETS = 100
KERNEL_SUBSETS_OF_CLASS = 10  # fewer, because there may be 200 classes


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
    kid_per_class: {label: distance}, each over kid_subsets_per_class subsets of as many images as each of the two sides
        has, at most 1,000; None if a class has fewer than two samples or reference images.
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
        "kid_per_class": _kernel_per_class(features, labels, reference, seed),
        "kid_subsets_per_class": KERNEL_SUBSETS_OF_CLASS,
        "max_probability_mean": float(_max_probability(logits).mean()),
        "label_agreement": float((logits.argmax(axis=1) == labels).mean()) if network.kind == "classifier" else None,
        "nearest_training_distance_median": _nearest_distance_median(images, train_images),
    }


def _frechet_per_class(features: np.ndarray, labels: np.ndarray, reference: Reference) -> dict[str, float] | None:
    distances = {}
    for y in np.unique(labels):
        own, others = features[labels == y], reference.features[reference.labels == y]
        if min(len(own), len(others)) <= features.shape[1]:
            return None
        own, others = moments(own), moments(others)
        distances[str(y)] = frechet_distance(own.mean, own.covariance, others.mean, others.covariance)
    return distances


def _kernel_per_class(
    features: np.ndarray, labels: np.ndarray, reference: Reference, seed: int
) -> dict[str, float] | None:
    """Unlike the Fréchet distance, it is unbiased and defined for fewer images than dimensions."""
    distances = {}
    for y in np.unique(labels):
        own, others = features[labels == y], reference.features[reference.labels == y]
        size = min(KERNEL_SUBSET_SIZE, len(own), len(others))
        if size < 2:
            return None
        distances[str(y)], _ = kernel_distance(own, others, size, KERNEL_SUBSETS_OF_CLASS, seed)
    return distances


def _max_probability(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits.max(axis=1) - np.logaddexp.reduce(logits, axis=1))


def _nearest_distance_median(images: np.ndarray, train_images: np.ndarray) -> float:
    flat, train = (np.asarray(i).reshape(len(i), -1) for i in (images, train_images))
    _, distances = pairwise_distances_argmin_min(flat, train)
    return float(np.median(distances))
