"""Square: a black-box random search with square patches (Andriushchenko et al. 2020), from pyautoattack."""

from dataclasses import dataclass

import torch
from torch import Tensor

from robustlens.attacks.library import isolated_randomness, library_seed, norm_name, radius
from robustlens.attacks.pgd import Model
from robustlens.attacks.square_patches import SquareOnPatches
from robustlens.attacks.threat import Threat
from robustlens.parameters import PositiveInt


@dataclass(frozen=True)
class Square:
    """Margin loss. Where no query fools the model the image itself is returned."""

    queries: PositiveInt = 5000

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        attack = SquareOnPatches(
            model,
            norm=norm_name(threat),
            n_queries=self.queries,
            eps=radius(threat),
            seed=library_seed(generator),
            resc_schedule=False,
            device=x.device,
        )
        with isolated_randomness(x.device):
            return attack.perturb(x, y)
