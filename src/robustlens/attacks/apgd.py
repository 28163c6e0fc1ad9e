"""APGD: PGD with an automatic step size (Croce and Hein 2020), untargeted, from pyautoattack."""

from dataclasses import dataclass

import torch
from pyautoattack.autopgd_base import APGDAttack
from torch import Tensor

from robustlens.attacks.library import isolated_randomness, library_seed, norm_name, radius, require_classes
from robustlens.attacks.pgd import Model
from robustlens.attacks.threat import Threat
from robustlens.parameters import OneOf, PositiveInt


@dataclass(frozen=True)
class APGD:
    """loss: cross-entropy (`ce`) or difference of logits ratio (`dlr`, needs 3 classes).

    Where no restart fools the model the image itself is returned.
    """

    loss: OneOf("ce", "dlr") = "ce"
    steps: PositiveInt = 100
    restarts: PositiveInt = 1

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        if self.loss == "dlr":
            require_classes(model(x[:1]).shape[1], 3, "APGD-DLR")
        attack = APGDAttack(
            model,
            n_iter=self.steps,
            n_restarts=self.restarts,
            norm=norm_name(threat),
            eps=radius(threat),
            loss=self.loss,
            seed=library_seed(generator),
            device=x.device,
        )
        with isolated_randomness(x.device):
            return attack.perturb(x, y)
