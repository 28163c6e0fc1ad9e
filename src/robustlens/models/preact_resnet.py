"""Pre-activation residual networks for CIFAR (He et al. 2016, "Identity mappings in deep residual networks").

As in Rice et al. 2020 (github.com/locuslab/robust_overfitting) and AWP (Wu et al. 2020): BatchNorm and ReLU before each
convolution, a projection shortcut of the activated input, and a last BatchNorm and ReLU before the global average
pooling, which kuangliu's network of the same name does without. `PreActResNet()` is PreActResNet-18 (11.17 M
parameters at 10 classes). Inputs are normalised inside the model only if the architecture says so; Rice et al. do.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.models.stages import pooled, stage
from robustlens.parameters import PositiveInt, PositiveInts


@dataclass(frozen=True)
class PreActResNet:
    """Parameters of a pre-activation ResNet.

    blocks: blocks in each stage; every stage after the first halves the resolution and doubles the width.
    width: channels of the stem and of the first stage.
    """

    blocks: PositiveInts = (2, 2, 2, 2)
    width: PositiveInt = 64

    def build(self, channels: int, classes: int) -> nn.Module:
        """A network from images (B, channels, H, W) in [0, 1] to logits (B, classes)."""
        return PreActNetwork(tuple(self.blocks), self.width, channels, classes)


class PreActBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(activated))))
        return out + (x if self.shortcut is None else self.shortcut(activated))


class PreActNetwork(nn.Module):
    def __init__(self, blocks: tuple[int, ...], width: int, channels: int, classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.stages, inputs = [], width
        for number, count in enumerate(blocks):
            outputs = width * 2**number
            self.stages.append(f"layer{number + 1}")
            self.add_module(self.stages[-1], stage(PreActBlock, inputs, outputs, count, stride=1 if number == 0 else 2))
            inputs = outputs
        self.bn = nn.BatchNorm2d(inputs)
        self.linear = nn.Linear(inputs, classes)

    def features(self, x: Tensor) -> Tensor:
        """Pooled penultimate features (B, channels of the last stage)."""
        out = self.conv1(x)
        for name in self.stages:
            out = getattr(self, name)(out)
        return pooled(F.relu(self.bn(out)))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))
