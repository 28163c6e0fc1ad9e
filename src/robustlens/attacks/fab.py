"""FAB: fast adaptive boundary attack (Croce and Hein 2020), from pyautoattack."""

from dataclasses import dataclass

import torch
from torch import Tensor

from robustlens.attacks.fab_targets import FABOnTargets
from robustlens.attacks.library import isolated_randomness, library_seed, norm_name, radius, target_classes
from robustlens.attacks.pgd import Model
from robustlens.attacks.threat import Threat
from robustlens.parameters import Flag, PositiveInt


@dataclass(frozen=True)
class FAB:
    """The nearest image beyond the decision boundary. targeted: of each of the min(9, K - 1) likeliest wrong classes.

    Where the nearest one found is outside the ball the image itself is returned.
    """

    steps: PositiveInt = 100
    restarts: PositiveInt = 1
    targeted: Flag = False

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        attack = FABOnTargets(
            model,
            norm=norm_name(threat),
            n_iter=self.steps,
            n_restarts=self.restarts,
            eps=radius(threat),
            targeted=self.targeted,
            n_target_classes=target_classes(model(x[:1]).shape[1]),
            seed=library_seed(generator),
            device=x.device,
        )
        with isolated_randomness(x.device):
            return attack.perturb(x, y)
