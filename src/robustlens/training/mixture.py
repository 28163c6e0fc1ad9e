"""Batches of two sources: real training images, and images from a generator (PORT: Sehwag et al. 2022)."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from robustlens.data.pool import load_pool
from robustlens.data.prepared import Split
from robustlens.errors import RobustlensError
from robustlens.seeds import generator
from robustlens.training.images import Images
from robustlens.training.optional import Part
from robustlens.training.parallel import Processes

__all__ = ["Mixture", "load_pool"]

POOL_SHARE = 0.2  # of the memory that the training images have left free on a GPU


class Mixture:
    """The loss is gamma L(real) + (1 - gamma) L(generated), each the mean over its part of the batch. A source without
    weight is left out.

    settings: a recipe's `mix`. To every batch of real images belong `ratio` times as many generated ones. Of these, the
    order is shuffled anew in every epoch, within which none comes again before all others of the pool have come. An
    epoch is a pass over the real images: it sees part of a larger pool, and a smaller one several times.
    Raises RobustlensError for a pool that is smaller than a batch's part, and where generated images alone are fewer
    in an epoch's last batch than processes.
    """

    def __init__(self, settings: dict, pool: Split, batch_size: int, images: int, seed: int, processes: Processes):
        """images: the real ones, of an epoch."""
        self.settings, self.seed, self.pool = settings, seed, Images(pool, processes.device, POOL_SHARE)
        self.steps_per_epoch = math.ceil(images / batch_size)
        self.per_batch = round(settings["ratio"] * batch_size)
        if not 0 < self.per_batch <= len(self.pool):
            raise RobustlensError(
                f"mix: a batch of {batch_size} real images needs {self.per_batch} generated ones, of {len(self.pool)} "
                f"in the pool of {settings['generator']}; change `ratio`, `batch_size` or the generator's `per_class`"
            )
        fewest = self._generated(images % batch_size or batch_size)
        if settings["gamma"] == 0 and fewest < processes.count:
            raise RobustlensError(
                f"mix: the last batch of an epoch has {fewest} generated images for {processes.count} processes; raise "
                "`ratio`, or change `batch_size`"
            )
        self._order = lru_cache(maxsize=1)(self._shuffled)

    def parts(self, train: Images, batch: Tensor, number: int) -> list[Part]:
        """batch: positions (B,) of the real images. number: of steps done before, over all epochs."""
        epochs_before, step = divmod(number, self.steps_per_epoch)
        start, count = step * self.per_batch, self._generated(len(batch))
        generated = self._order(epochs_before + 1)[start : start + count]
        gamma = self.settings["gamma"]
        real = Part(train, batch, gamma, augmented=True, real=True)
        others = Part(self.pool, generated, 1 - gamma, augmented=self.settings["augmented"], real=False)
        return [part for part in (real, others) if part.weight > 0]

    def _generated(self, real: int) -> int:
        """How many belong to so many real images."""
        return max(1, round(self.settings["ratio"] * real))

    def _shuffled(self, epoch: int) -> Tensor:
        """Positions in the pool, for all steps of an epoch, counted from 1."""
        passes, needed = [], self.steps_per_epoch * self.per_batch
        while sum(map(len, passes)) < needed:
            random = generator(self.seed, "pool", epoch, len(passes))
            passes.append(torch.randperm(len(self.pool), generator=random))
        return torch.cat(passes)[:needed].to(self.pool.device)
