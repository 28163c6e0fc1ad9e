"""Certify the images of a split, in blocks that a job which resumes need not repeat and that several jobs may share."""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import nn

from robustlens.attacks.noise import with_noise
from robustlens.certification.bounds import abstains, decided, lower_bound, radius
from robustlens.certification.counting import class_counts
from robustlens.certification.joining import joined
from robustlens.certification.smoothing import Smoothing
from robustlens.console import Progress, log
from robustlens.data.prepared import Split

# A block has as many images as have the draws of so many batches, so that the last, smaller batch of it matters little.
BATCHES = 10


class Finished(Protocol):
    """The blocks that are done, by name (`evaluation.finished.FinishedBatches`)."""

    batches: dict[str, pd.DataFrame]

    def get(self, name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame: ...


def evenly_spread(size: int, images: int | None) -> np.ndarray:
    """Positions of so many images of a split of `size`, as far apart from one another as can be, from the first on;
    None, or more than there are: all."""
    if images is None or images >= size:
        return np.arange(size)
    return np.arange(images) * size // images


def blocks(positions: np.ndarray, smoothing: Smoothing, batch_size: int) -> list[np.ndarray]:
    """The positions in blocks, which depend on nothing else: whichever jobs certify them, and however often these are
    killed, a forward pass always sees the same noised images."""
    together = math.ceil(BATCHES * batch_size / smoothing.per_image)
    return [positions[start : start + together] for start in range(0, len(positions), together)]


def shard(of_all: Sequence[np.ndarray], number: int, shards: int) -> list[np.ndarray]:
    """The blocks of one of several jobs, counted from 1; none where there are fewer blocks than jobs."""
    return list(of_all[number - 1 :: shards])


def certify(
    model: nn.Module,
    split: Split,
    of_job: Sequence[np.ndarray],
    smoothing: Smoothing,
    classes: int,
    seed: int,
    batch_size: int,
    device: torch.device | str,
    finished: Finished,
) -> pd.DataFrame:
    """One row per image of these blocks, as `certificates` has them, ordered by index. What is finished is used again.

    model: in eval mode, on the device. Says beforehand what it will cost, and then how far it is.
    Raises RobustlensError for all that `class_counts` refuses.
    """
    names = [f"from {block[0]}" for block in of_job]
    left = [block for name, block in zip(names, of_job, strict=True) if name not in finished.batches]
    if left:
        _tell_cost(model, split, left, smoothing, batch_size, device)
    progress, tables = Progress("block", len(of_job)), []
    for number, (name, block) in enumerate(zip(names, of_job, strict=True), 1):
        anew = name not in finished.batches
        compute = partial(_certify_block, model, split, block, smoothing, classes, seed, batch_size, device)
        tables.append(finished.get(name, compute))
        if anew:
            images, right = sum(map(len, tables)), sum(int(table["correct"].sum()) for table in tables)
            progress(number, f"{right} of {images} images have a certificate of the right class")
    return joined([certificates(*_nothing(classes), smoothing), *tables])


def _certify_block(
    model: nn.Module,
    split: Split,
    block: np.ndarray,
    smoothing: Smoothing,
    classes: int,
    seed: int,
    batch_size: int,
    device: torch.device | str,
) -> pd.DataFrame:
    x, index = torch.from_numpy(split.pixels(block)).to(device), split.index[block]
    first, further = class_counts(model, x, index, smoothing, classes, seed, batch_size)
    return certificates(index, split.labels[block], first, further, smoothing)


def certificates(
    index: np.ndarray, labels: np.ndarray, first: np.ndarray, further: np.ndarray, smoothing: Smoothing
) -> pd.DataFrame:
    """One row per image, from the counts (n, K) of its first and of its further draws.

    index, label; predicted: the most frequent class of the first draws, of equal ones the lowest; count: the further
    draws that gave it; p_lower: the lower bound of its probability; radius: certified, in L2, 0 where `abstained`;
    correct: the certificate does not abstain and is of the label; answer: what the smoothed classifier answers where no
    radius is asked for, by the further draws, -1 where they do not decide; sigma, draws, alpha: the settings.
    """
    predicted = first.argmax(1)
    count = further[np.arange(len(further)), predicted]
    p_lower = lower_bound(count, smoothing.draws, smoothing.alpha)
    second, most = np.sort(further, axis=1)[:, -2:].T
    columns = {
        "index": np.asarray(index, dtype=np.int64),
        "label": np.asarray(labels, dtype=np.int64),
        "predicted": predicted,
        "count": count,
        "p_lower": p_lower,
        "radius": radius(p_lower, smoothing.sigma),
        "abstained": abstains(p_lower),
        "correct": ~abstains(p_lower) & (predicted == np.asarray(labels)),
        "answer": np.where(decided(most, second, smoothing.alpha), further.argmax(1), -1),
    }
    return pd.DataFrame(columns).assign(sigma=smoothing.sigma, draws=smoothing.draws, alpha=smoothing.alpha)


def _nothing(classes: int) -> tuple[np.ndarray, ...]:
    """Of no images, so that a job without any writes a table with the same columns."""
    none, counts = np.zeros(0, dtype=np.int64), np.zeros((0, classes), dtype=np.int64)
    return none, none, counts, counts


def _tell_cost(
    model: nn.Module,
    split: Split,
    left: Sequence[np.ndarray],
    smoothing: Smoothing,
    batch_size: int,
    device: torch.device | str,
) -> None:
    """By the time of one batch, after one to warm up."""
    images = sum(map(len, left))
    x = torch.from_numpy(split.pixels(left[0][:1])).to(device)
    random = torch.Generator(device).manual_seed(0)
    for _ in range(2):
        started = time.perf_counter()
        noised = with_noise(x.expand(batch_size, *x.shape[1:]), smoothing.sigma, smoothing.clip, random)
        with torch.no_grad():
            model(noised).argmax(1).cpu()
        seconds = time.perf_counter() - started
    passes = images * smoothing.per_image
    log.info(
        "%d images x (%d + %d) draws are %d forward passes, about %.0f s (%d of them take %.3g s)",
        images,
        smoothing.first_draws,
        smoothing.draws,
        passes,
        passes / batch_size * seconds,
        batch_size,
        seconds,
        extra={"terminal": True},
    )
