"""Tau-normalisation of the classifier (Kang et al. 2020, "Decoupling Representation and Classifier")."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustlens.parameters import Numbers


@dataclass(frozen=True)
class TauNormalised:
    """Logits f . w_c / |w_c|^tau of a feature f, without the bias, as in the released code. The strength is tau."""

    strengths: Numbers = (0, 0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.6, 1.8, 2)

    @torch.no_grad()
    def correct(self, layer: nn.Linear, strength: float, prior: Tensor) -> None:
        layer.weight /= layer.weight.norm(dim=1, keepdim=True) ** strength
        layer.bias.zero_()
