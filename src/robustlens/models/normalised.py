"""Input normalisation inside a model, so that images, attacks and epsilon stay in [0, 1]."""

import torch
from torch import Tensor, nn


class Normalised(nn.Module):
    """The network on (x - mean) / std. The constants belong to the architecture: they are not among the weights.

    mean, std: one number per channel.
    """

    def __init__(self, network: nn.Module, mean: list[float], std: list[float]):
        super().__init__()
        self.network = network
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    @property
    def linear(self) -> nn.Linear:
        return self.network.linear

    def features(self, x: Tensor) -> Tensor:
        """Pooled penultimate features (B, d)."""
        return self.network.features((x - self.mean) / self.std)

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x - self.mean) / self.std)
