"""Whether a generator copies its training images: how near the generated images are to them, and how near real images
are that it has not seen."""

import math
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from robustlens.closeness.norms import norm_called, vectors
from robustlens.errors import RobustlensError

NEAR = 0.01  # the share of the held-out real images that are called near
ROWS, VALUES = 2048, 2**22  # of a block of images, at most: three blocks of float64 take 96 MiB


class Copying(NamedTuple):
    """median, held_out_median: distance of the generated and of the held-out images to the nearest training image of
    their class. ratio: the former by the latter, NaN where that is 0; of a generator that copies nothing it is near 1.
    near: the distance below which NEAR of the held-out images are; share_near: the share of the generated images
    there, NEAR where they are as real ones are. copies, held_out_copies: shares at distance 0.
    images, held_out_images: their numbers.
    """

    median: float
    held_out_median: float
    ratio: float
    near: float
    share_near: float
    copies: float
    held_out_copies: float
    images: int
    held_out_images: int


def copying(
    images: np.ndarray,
    labels: np.ndarray,
    held_out: np.ndarray,
    held_out_labels: np.ndarray,
    train: np.ndarray,
    train_labels: np.ndarray,
    norm: str = "l2",
) -> Copying:
    """The distances of generated images to the training images of their generator, compared with those of real images
    that are not among them. The measure is ours.

    All must have been scaled in the same way. Images that were rounded to 255 levels after they were copied from others
    with fewer levels are at a small distance, not at 0. Of a large pool, take a `drawing.subsample`.
    Raises RobustlensError where there are no images on one side, and for a class without training images.
    """
    own = nearest_distances(images, labels, train, train_labels, norm)
    others = nearest_distances(held_out, held_out_labels, train, train_labels, norm)
    for distances, whose in ((own, "generated"), (others, "held-out")):
        if not len(distances):
            raise RobustlensError(f"no {whose} images to measure copying with; take at least one")
    near, median = float(np.quantile(others, NEAR)), float(np.median(others))
    return Copying(
        median=float(np.median(own)),
        held_out_median=median,
        ratio=float(np.median(own)) / median if median else math.nan,
        near=near,
        share_near=float((own < near).mean()),
        copies=float((own == 0).mean()),
        held_out_copies=float((others == 0).mean()),
        images=len(own),
        held_out_images=len(others),
    )


def nearest_distances(
    images: np.ndarray, labels: np.ndarray, train: np.ndarray, train_labels: np.ndarray, norm: str
) -> np.ndarray:
    """The distance of each image to the nearest training image of its class, float64 (N,); exactly 0 for a copy.

    Differences are taken pixel by pixel: |x|^2 - 2 x.y + |y|^2, which is faster, loses small distances. Memory beside
    the images is bounded (ROWS, VALUES).
    Raises RobustlensError for a class without training images, and for values that are not finite.
    """
    metric, distances = norm_called(norm).metric, np.full(len(images), np.inf)
    for label in np.unique(labels):
        own, others = np.flatnonzero(labels == label), np.flatnonzero(train_labels == label)
        if not len(others):
            raise RobustlensError(f"class {label} has no training images that its images could be copies of")
        for where in _blocks(own, images):
            rows = vectors(images[where])
            for training in _blocks(others, train):
                nearest = cdist(rows, vectors(train[training]), metric).min(axis=1)
                distances[where] = np.minimum(distances[where], nearest)
    if not np.isfinite(distances).all():
        raise RobustlensError("distances to training images that are not finite; look for NaN and infinite values")
    return distances


def _blocks(positions: np.ndarray, images: np.ndarray) -> list[np.ndarray]:
    size = max(1, min(ROWS, VALUES // max(1, math.prod(images.shape[1:]))))
    return [positions[start : start + size] for start in range(0, len(positions), size)]
