"""How often a classifier gives each class to an image under noise."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from robustlens.attacks.noise import with_noise
from robustlens.certification.smoothing import Smoothing
from robustlens.errors import RobustlensError
from robustlens.evaluation.guards import check_images, check_logits, check_model
from robustlens.seeds import generator

# What a generator draws depends on how many numbers it is asked for at once. So it is asked for the noise of so many
# images, whatever the batch.
TOGETHER = 100


def class_counts(
    model: nn.Module, x: Tensor, index: np.ndarray, smoothing: Smoothing, classes: int, seed: int, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """How many of the first draws and of the further draws of each image the model gives each class: int64 (n, classes)
    both.

    model: in eval mode, on the device of the images x (n, C, H, W) in [0, 1], where the noise is drawn, too. index: of
    each image, int (n,). The noise of an image follows from the seed and its index alone, on one kind of device; first
    and further draws have streams of their own. batch_size: noised images per forward pass, of one image or of several.
    Raises RobustlensError for a model in train mode, images outside [0, 1], logits that are not finite or are
    probabilities, and another number of classes.
    """
    check_model(model)
    check_images(x)
    counts = np.zeros(2 * len(x) * classes, dtype=np.int64)
    for noised, rows in _batches(_draws(x, index, smoothing, seed), batch_size):
        with torch.no_grad():
            logits = model(noised)
        check_logits(logits)
        if logits.shape[1] != classes:
            raise RobustlensError(f"the model tells {logits.shape[1]} classes apart, the dataset has {classes}")
        counts += np.bincount(rows * classes + logits.argmax(1).cpu().numpy(), minlength=len(counts))
    first, further = counts.reshape(2, len(x), classes)
    return first, further


def _draws(x: Tensor, index: np.ndarray, smoothing: Smoothing, seed: int) -> Iterator[tuple[Tensor, int]]:
    """Noised copies of an image, and the row of the counts that they belong to: of the first draws of all images, then
    of the further ones."""
    streams = (("first", smoothing.first_draws), ("further", smoothing.draws))
    for number, (stream, draws) in enumerate(streams):
        for position, image in enumerate(index):
            random = generator(seed, "certification", stream, int(image), device=x.device)
            for start in range(0, draws, TOGETHER):
                copies = x[position].expand(min(TOGETHER, draws - start), *x.shape[1:])
                yield with_noise(copies, smoothing.sigma, smoothing.clip, random), number * len(x) + position


def _batches(draws: Iterable[tuple[Tensor, int]], batch_size: int) -> Iterator[tuple[Tensor, np.ndarray]]:
    """The same images in batches of that size, the last one smaller, with the row of each."""
    images: list[Tensor] = []
    rows: list[np.ndarray] = []
    waiting = 0
    for noised, row in draws:
        images.append(noised)
        rows.append(np.full(len(noised), row))
        waiting += len(noised)
        while waiting >= batch_size:
            together, of_each = torch.cat(images), np.concatenate(rows)
            yield together[:batch_size], of_each[:batch_size]
            images, rows, waiting = [together[batch_size:]], [of_each[batch_size:]], waiting - batch_size
    if waiting:
        yield torch.cat(images), np.concatenate(rows)
