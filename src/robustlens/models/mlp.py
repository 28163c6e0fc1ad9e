"""A multi-layer perceptron, for small images."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustlens.parameters import PositiveInt, PositiveInts


@dataclass(frozen=True)
class MLP:
    """Parameters of the perceptron.

    inputs: values of an image, channels x height x width. widths: outputs of each hidden layer, which ends in a ReLU.
    """

    inputs: PositiveInt
    widths: PositiveInts = (128, 128)

    def build(self, channels: int, classes: int) -> nn.Module:
        """A network from images (B, channels, H, W) in [0, 1] with `inputs` values each to logits (B, classes)."""
        return Perceptron((self.inputs, *self.widths), classes)


class Perceptron(nn.Module):
    def __init__(self, sizes: tuple[int, ...], classes: int):
        super().__init__()
        pairs = itertools.pairwise(sizes)
        self.hidden = nn.Sequential(*(layer for pair in pairs for layer in (nn.Linear(*pair), nn.ReLU())))
        self.linear = nn.Linear(sizes[-1], classes)

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features (B, widths[-1])."""
        return self.hidden(torch.flatten(x, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))
