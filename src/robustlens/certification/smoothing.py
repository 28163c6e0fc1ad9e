"""Randomised smoothing with Gaussian noise (Cohen et al. 2019): certified L2 radii."""

import math
from dataclasses import dataclass

from robustlens.errors import RobustlensError
from robustlens.parameters import Flag, Positive, PositiveInt


@dataclass(frozen=True)
class Smoothing:
    """The smoothed classifier gives the class that the classifier f most often gives to x + sigma N(0, 1).

    Its class at x is the most frequent of `first_draws`. Of `draws` further ones, k have that class; p is the lower
    confidence bound of its probability at the one-sided level alpha. With p of at least 1/2 the class is the same
    within the L2 radius sigma Phi^-1(p), else the certificate abstains: each certificate is wrong with a probability of
    at most alpha.

    sigma: in units of the [0, 1] pixel range. clip: noised images are cut to [0, 1]. The certificate still holds,
    because the cut counts as the first layer of f, which should be trained with it (the method `smoothing` is).
    Defaults: those of Carmon et al. (2019).
    """

    sigma: Positive
    first_draws: PositiveInt = 100
    draws: PositiveInt = 10_000
    alpha: Positive = 0.001
    clip: Flag = True

    def __post_init__(self):
        if not 0 < self.alpha < 0.5:
            raise RobustlensError(f"smoothing: alpha must be above 0 and below 0.5, got {self.alpha}")
        if self.first_draws > self.draws:
            raise RobustlensError(
                f"smoothing: {self.draws} draws are fewer than the {self.first_draws} first_draws, which only choose "
                "the class; raise `draws` or lower `first_draws`"
            )
        # Of N draws that all agree the bound is alpha^(1/N), which must be 1/2 at least.
        needed = math.ceil(math.log(self.alpha) / math.log(0.5))
        if self.draws < needed:
            raise RobustlensError(
                f"smoothing: with {self.draws} draws at alpha {self.alpha} every certificate would abstain; raise "
                f"`draws` to {needed} at least"
            )

    @property
    def per_image(self) -> int:
        """All draws of an image."""
        return self.first_draws + self.draws
