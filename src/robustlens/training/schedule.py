"""Learning-rate schedules, stepped once per optimiser step."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR

from robustlens.errors import RobustlensError


def build_schedule(settings: dict, optimizer: Optimizer, epochs: int, steps_per_epoch: int) -> LRScheduler:
    """`settings` as in the configuration's `training.schedule`.

    one-cycle: cosine from lr/25 up to lr over the first `warmup_fraction` of all steps and down to lr/250,000;
        with `cycle_momentum` the momentum goes 0.95 -> 0.85 -> 0.95 and replaces the optimiser's, as in the energy
        paper's code (PyTorch's defaults).
    step: multiplied by `factor` after each of the `milestones` (in epochs).
    Raises RobustlensError when a one-cycle schedule has not a single step to warm up in.
    """
    if settings["name"] == "one-cycle":
        steps = epochs * steps_per_epoch
        if settings["warmup_fraction"] * steps <= 1:
            raise RobustlensError(
                f"one-cycle schedule: {steps} steps ({epochs} epochs of {steps_per_epoch}) are too few for a warm-up "
                f"of {settings['warmup_fraction']:g} of them; raise `epochs` or `warmup_fraction`, or use `step`"
            )
        return OneCycleLR(
            optimizer,
            max_lr=optimizer.param_groups[0]["lr"],
            total_steps=steps,
            pct_start=settings["warmup_fraction"],
            cycle_momentum=settings["cycle_momentum"],
        )
    milestones = [epoch * steps_per_epoch for epoch in settings["milestones"]]
    return MultiStepLR(optimizer, milestones, gamma=settings["factor"])
