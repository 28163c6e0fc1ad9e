"""How real each image of a pool looks to a discriminator that has learnt to tell the pool from the training images."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from robustlens.data.prepared import PreparedDataset, Split
from robustlens.discrimination.discriminator import Discriminator, Training, train
from robustlens.discrimination.selection import realness
from robustlens.discrimination.sides import Sides
from robustlens.errors import RobustlensError
from robustlens.models.inference import InferenceModel
from robustlens.seeds import derive
from robustlens.training.images import Images
from robustlens.training.state import RunState


class Scores(NamedTuple):
    """realness: of each image of the pool, float64 (N,). accuracy: balanced, under attack, from 0 to 1, on validation
    images and as many of the pool, which the discriminator was trained on."""

    realness: np.ndarray
    accuracy: float


def score(
    settings: Discriminator,
    data: PreparedDataset,
    pool: Split,
    build: Callable[[], nn.Module],
    seed: int,
    device: torch.device,
    state: RunState,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[int, int, dict], None] = lambda *_: None,
) -> Scores:
    """Train one discriminator, at the last radius and with the first number of steps of `settings`, and ask it.

    All images of the pool are trained on and judged: one that was held out would look more real than the others, of
    which the discriminator has learnt that they are generated. So scores rank the images of one pool, and say nothing
    of another one.
    data: its training images are the real side, and its validation images what the accuracy is measured on; test images
    are not looked at. build, state, stop, report: see `discriminator.Training` and `discriminator.train`.
    Raises RobustlensError for networks that don't take such images, a dataset without validation images, and a side
    with fewer images than it has in a batch.
    """
    validation = data.splits["validation"]
    if not len(validation.labels):
        raise RobustlensError("selected: the dataset has no validation images; raise `splits.validation`")
    generated = Images(pool, device)
    parts = {
        "train": Sides(generated, Images(data.splits["train"], device)),
        "validation": Sides(_some(pool, len(validation.labels), seed, device), Images(validation, device)),
    }
    training = Training(settings, settings.epsilons[-1:], settings.steps[0], parts, build, seed)
    _check_fit(training.network, generated)
    (weights,) = train(training, state, stop, report)
    training.network.load_state_dict(weights)
    return Scores(realness(InferenceModel(training.network), generated), training.measured[0][0])


def _some(pool: Split, most: int, seed: int, device: torch.device) -> Images:
    random = np.random.default_rng(derive(seed, "some of the pool"))
    where = random.choice(len(pool.labels), min(most, len(pool.labels)), replace=False)
    return Images(pool.at(np.sort(where)), device)


def _check_fit(network: nn.Module, images: Images) -> None:
    first = images.batch(torch.arange(1, device=images.device))
    try:
        with torch.no_grad():
            network.eval()(first)
    except RuntimeError as error:
        raise RobustlensError(
            f"selected.architecture: takes no images of shape {list(first.shape[1:])} ({str(error).splitlines()[0]}); "
            "give one for the images of this dataset"
        ) from error
