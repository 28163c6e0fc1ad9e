"""Learning-rate schedules, stepped once per optimiser step."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR


def build_schedule(settings: dict, optimizer: Optimizer, epochs: int, steps_per_epoch: int) -> LRScheduler:
    """`settings` as in the configuration's `training.schedule`.

    one-cycle: cosine from lr/25 up to lr over the first `warmup_fraction` of all steps and down to lr/250,000;
        with `cycle_momentum` the momentum goes 0.95 -> 0.85 -> 0.95 and replaces the optimiser's, as in the energy
        paper's code (PyTorch's defaults).
    step: multiplied by `factor` after each of the `milestones` (in epochs).
    """
    if settings["name"] == "one-cycle":
        return OneCycleLR(
            optimizer,
            max_lr=optimizer.param_groups[0]["lr"],
            total_steps=epochs * steps_per_epoch,
            pct_start=settings["warmup_fraction"],
            cycle_momentum=settings["cycle_momentum"],
        )
    milestones = [epoch * steps_per_epoch for epoch in settings["milestones"]]
    return MultiStepLR(optimizer, milestones, gamma=settings["factor"])
