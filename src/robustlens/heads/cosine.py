"""The last layer of hypersphere embedding (HE: Pang et al. 2020, "Boosting Adversarial Training with Hypersphere
Embedding")."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Cosine:
    """Logits are the cosines between the feature and the rows of the classes, without a bias."""

    def build(self, features: int, classes: int) -> nn.Linear:
        return CosineLinear(features, classes)


class CosineLinear(nn.Linear):
    """Features (B, d) to cosines (B, K) in [-1, 1].

    The lengths of the rows count as constants in the gradient, so that rows of length 1 get the gradient of a plain
    linear layer. The authors' code overwrites the rows by unit ones in every forward pass. Here a method does so after
    its steps, and rows of another length, such as an average of unit rows, give cosines all the same.
    """

    def __init__(self, features: int, classes: int):
        super().__init__(features, classes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        lengths = self.weight.detach().norm(dim=1, keepdim=True)
        return F.linear(F.normalize(features, dim=1), self.weight / lengths)
