"""A share of the generated images of each class: those that a discriminator takes for real, or any."""

import numpy as np
import torch
from torch import nn

from robustlens.discrimination.accuracy import TOGETHER
from robustlens.discrimination.sides import REAL
from robustlens.errors import RobustlensError
from robustlens.seeds import derive
from robustlens.training.images import Images


@torch.no_grad()
def realness(model: nn.Module, images: Images) -> np.ndarray:
    """The probability of being real that a discriminator gives each image, float64 (N,), in their order.

    model: in eval mode, logits (B, 2). Of images that it was trained on it has learnt that they are generated: only the
    scores of such images, or only those of others, can be compared with one another.
    """
    scores = []
    for where in torch.arange(len(images), device=images.device).split(TOGETHER):
        scores.append(model(images.batch(where)).double().softmax(dim=1)[:, REAL].cpu())
    return torch.cat(scores).numpy()


def most_real(scores: np.ndarray, labels: np.ndarray, share: float) -> np.ndarray:
    """Positions of the images of each class with the highest scores, class after class, and within each the highest
    first; of equal ones the first. labels: int (N,). share: of each class, above 0, up to 1; rounded.

    Raises RobustlensError for a share that leaves a class without images, and for scores that are not finite.
    """
    if len(scores) != len(labels) or not np.isfinite(scores).all():
        raise RobustlensError(
            f"selection: needs a finite score for each of {len(labels)} images, got {len(scores)}, of which "
            f"{int(np.isfinite(scores).sum())} are finite; train the discriminator again with a lower `learning_rate`"
        )
    best_first = np.lexsort((np.arange(len(scores)), -scores, labels))
    return _of_each_class(best_first, labels, share)


def any_share(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Positions of as many images of each class as `most_real` chooses, at random, class after class."""
    mixed = np.random.default_rng(derive(seed, "any share")).permutation(len(labels))
    return _of_each_class(mixed[np.argsort(labels[mixed], kind="stable")], labels, share)


def _of_each_class(ordered: np.ndarray, labels: np.ndarray, share: float) -> np.ndarray:
    """The first ones of each class of all positions, which are given class after class."""
    if not 0 < share <= 1:
        raise RobustlensError(f"selection: the share must be above 0 and at most 1, got {share:g}")
    classes, starts, counts = np.unique(labels[ordered], return_index=True, return_counts=True)
    chosen = np.floor(share * counts + 0.5).astype(int)
    if not chosen.all():
        label = classes[chosen == 0][0]
        raise RobustlensError(
            f"selection: a share of {share:g} leaves none of the {counts[classes == label][0]} images of class "
            f"{label}; raise it, or generate more images"
        )
    return np.concatenate([ordered[start : start + count] for start, count in zip(starts, chosen, strict=True)])
