"""APGD-T: APGD on the targeted difference of logits ratio (Croce and Hein 2020), from pyautoattack."""

from dataclasses import dataclass

import torch
from pyautoattack.autopgd_base import APGDAttack_targeted
from torch import Tensor

from robustlens.attacks.library import (
    isolated_randomness,
    library_seed,
    norm_name,
    radius,
    require_classes,
    target_classes,
)
from robustlens.attacks.pgd import Model
from robustlens.attacks.threat import Threat
from robustlens.parameters import PositiveInt


@dataclass(frozen=True)
class APGDTargeted:
    """Every one of the min(9, K - 1) likeliest wrong classes is a target in turn; needs 4 classes.

    Where no target fools the model the image itself is returned.
    """

    steps: PositiveInt = 100

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        classes = model(x[:1]).shape[1]
        require_classes(classes, 4, "APGD-T")
        attack = APGDAttack_targeted(
            model,
            n_iter=self.steps,
            norm=norm_name(threat),
            eps=radius(threat),
            n_target_classes=target_classes(classes),
            seed=library_seed(generator),
            device=x.device,
        )
        with isolated_randomness(x.device):
            return attack.perturb(x, y)
