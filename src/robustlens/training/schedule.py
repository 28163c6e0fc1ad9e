"""Learning rate and momentum of every step, as pure functions of its number: a resumed run needs no state of them."""

import math
from bisect import bisect_right

from robustlens.errors import RobustlensError

# PyTorch's defaults of OneCycleLR, which the code of WEAT (Mirza et al. 2024) leaves in place.
FIRST_SHARE, LAST_SHARE = 1 / 25, 1 / 250_000  # of the largest learning rate
MOMENTUM = 0.95, 0.85  # outside the peak of the learning rate, and at it


class Schedule:
    """`settings` as in the configuration's `training`: `schedule`, `epochs`, `learning_rate`, `momentum`.

    one-cycle: a cosine from lr/25 up to lr over the first `warmup_fraction` of all steps and one down to lr/250,000;
        with `cycle_momentum` the momentum goes 0.95 -> 0.85 -> 0.95 and replaces the configured one, as in the code of
        WEAT (PyTorch's defaults).
    step: multiplied by `factor` after each of the `milestones` (in epochs), or by one factor of a list after each.
    cosine: half a cosine over the steps after the warm-up, from lr to `final_rate`, which the step after the last one
        would have (PyTorch's CosineAnnealingLR, per step).
    `warmup`, of the last two: over its first `epochs` the rate rises in a line from `first_share` of lr to lr, at every
        step or, with `every: epoch`, only between epochs.
    Raises RobustlensError when a one-cycle schedule has not a single step to warm up in, and when nothing is left after
    the warm-up.
    """

    def __init__(self, settings: dict, steps_per_epoch: int):
        self.schedule, self.learning_rate, self.momentum = (
            settings[key] for key in ("schedule", "learning_rate", "momentum")
        )
        self.steps, self.steps_per_epoch = settings["epochs"] * steps_per_epoch, steps_per_epoch
        self.warmup = self.schedule.get("warmup")
        self.warmup_steps = self.warmup["epochs"] * steps_per_epoch if self.warmup else 0
        if self.schedule["name"] == "one-cycle" and self.schedule["warmup_fraction"] * self.steps <= 1:
            raise RobustlensError(
                f"one-cycle schedule: {self.steps} steps ({settings['epochs']} epochs of {steps_per_epoch}) are too "
                f"few for a warm-up of {self.schedule['warmup_fraction']:g} of them; raise `epochs` or "
                "`warmup_fraction`, or use `step`"
            )
        if self.warmup_steps >= self.steps:
            raise RobustlensError(
                f"{self.schedule['name']} schedule: a warm-up of {self.warmup['epochs']} epochs leaves none of "
                f"{settings['epochs']}; lower `warmup.epochs` or raise `epochs`"
            )

    def rates(self, step: int) -> tuple[float, float]:
        """Learning rate and momentum of a step, counted from 0 over the whole run."""
        if self.schedule["name"] == "one-cycle":
            return self._one_cycle(step)
        if step < self.warmup_steps:
            return self._warming_up(step), self.momentum
        if self.schedule["name"] == "step":
            passed = bisect_right(self.schedule["milestones"], step // self.steps_per_epoch)
            factor = self.schedule["factor"]
            part = math.prod(factor[:passed]) if isinstance(factor, list) else factor**passed
            return self.learning_rate * part, self.momentum
        part = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        return _cosine(self.learning_rate, self.schedule["final_rate"], part), self.momentum

    def _warming_up(self, step: int) -> float:
        if self.warmup.get("every") == "epoch":
            step -= step % self.steps_per_epoch
        first = self.warmup["first_share"]
        return self.learning_rate * (first + (1 - first) * step / self.warmup_steps)

    def _one_cycle(self, step: int) -> tuple[float, float]:
        top, last = self.schedule["warmup_fraction"] * self.steps - 1, self.steps - 1
        peak, (outside, inside) = self.learning_rate, MOMENTUM
        if step <= top:
            part = step / top
            rate, momentum = _cosine(peak * FIRST_SHARE, peak, part), _cosine(outside, inside, part)
        else:
            part = (step - top) / (last - top)
            rate, momentum = _cosine(peak, peak * LAST_SHARE, part), _cosine(inside, outside, part)
        return rate, momentum if self.schedule["cycle_momentum"] else self.momentum


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))
