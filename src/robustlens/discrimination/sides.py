"""The two sides that a discriminator tells apart, each split for training, choices and the final measurement."""

from typing import NamedTuple

import numpy as np
import torch

from robustlens.data.prepared import Split
from robustlens.errors import RobustlensError
from robustlens.seeds import derive
from robustlens.training.images import Images

SHARES = {"train": 40, "validation": 10, "test": 50}  # per cent of the images of each class, on each side


class Sides(NamedTuple):
    """The classes of a discriminator: the position of a side is its label."""

    generated: Images
    real: Images


REAL = Sides._fields.index("real")


def parts(real: Split, generated: Split, seed: int, device: torch.device) -> dict[str, Sides]:
    """Both sides by the names of SHARES, on the device. The images of a part are read into memory.

    real: images that the generator was not fitted to; of its own training images, a copy of one would be no generated
    image. generated: fresh samples, as images of the same shape. Labels are only used to split each class alike.
    Raises RobustlensError for images of different shapes, and where a part gets none.
    """
    shapes = [side.images.shape[1:] for side in (real, generated)]
    if shapes[0] != shapes[1]:
        raise RobustlensError(
            f"real images of shape {shapes[0]} and generated ones of shape {shapes[1]} can't be compared; take "
            "generated images of the same dataset, with the same crop"
        )
    of_generated, of_real = (
        {part: Images(side.at(where), device) for part, where in positions(side.labels, seed, name).items()}
        for side, name in ((generated, "generated"), (real, "real"))
    )
    return {part: Sides(of_generated[part], of_real[part]) for part in SHARES}


def positions(labels: np.ndarray, seed: int, side: str) -> dict[str, np.ndarray]:
    """Ascending positions of the images of each part: of each class so many per cent, at random, rounded.

    labels: int (N,). side: `real` or `generated`, of which each is split at random by itself.
    Raises RobustlensError where a part gets no image.
    """
    random = np.random.default_rng(derive(seed, "sides", side))
    found: dict[str, list[np.ndarray]] = {part: [] for part in SHARES}
    for label in np.unique(labels):
        mixed, start, end = random.permutation(np.flatnonzero(labels == label)), 0, 0
        for part, share in SHARES.items():
            end += share
            found[part].append(mixed[_rounded(len(mixed) * start) : _rounded(len(mixed) * end)])
            start = end
    for part, chosen in found.items():
        if not sum(map(len, chosen)):
            raise RobustlensError(
                f"{len(labels)} {side} images leave none for {part} ({SHARES[part]} % of each class); take more"
            )
    return {part: np.sort(np.concatenate(chosen)) for part, chosen in found.items()}


def _rounded(hundredths: int) -> int:
    return (hundredths + 50) // 100
