"""Post-hoc logit adjustment (Menon et al. 2021), with a prior of ours."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustlens.parameters import Numbers

SMALLEST = 1e-12  # is added to pi^tau, as in the released code


@dataclass(frozen=True)
class LogitAdjusted:
    """Logits z_c - log(pi_c^tau). The strength is tau; 0 changes nothing.

    In the paper pi are the shares of the classes among the training images. Where all classes have as many, that does
    nothing. Ours is what an attacked classifier says instead: the mean softmax of each class on adversarial images.
    """

    strengths: Numbers = (0, 0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.6, 1.8, 2)

    @torch.no_grad()
    def correct(self, layer: nn.Linear, strength: float, prior: Tensor) -> None:
        layer.bias -= torch.log(prior**strength + SMALLEST).to(layer.bias.dtype)
