"""CIFAR-style residual networks (He et al. 2016, as used by the adversarial-training literature).

3x3 stem of stride 1, no max-pooling, post-activation basic blocks, global average pooling. `ResNet()` is the
ResNet-18 of the four papers (11.17 M parameters at 10 classes); smaller `blocks` and `width` give the networks
of the smaller scales from the same code.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.parameters import PositiveInt, PositiveInts


@dataclass(frozen=True)
class ResNet:
    """Parameters of a CIFAR-style ResNet.

    blocks: basic blocks in each stage; every stage after the first halves the resolution and doubles the width.
    width: channels of the stem and of the first stage.
    """

    blocks: PositiveInts = (2, 2, 2, 2)
    width: PositiveInt = 64

    def build(self, channels: int, classes: int) -> nn.Module:
        """A network from images (B, channels, H, W) in [0, 1] to logits (B, classes)."""
        return ResidualNetwork(tuple(self.blocks), self.width, channels, classes)


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ResidualNetwork(nn.Module):
    def __init__(self, blocks: tuple[int, ...], width: int, channels: int, classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        stages, inputs = [], width
        for stage, count in enumerate(blocks):
            outputs = width * 2**stage
            strides = [1 if stage == 0 else 2] + [1] * (count - 1)
            for stride in strides:
                stages.append(BasicBlock(inputs, outputs, stride))
                inputs = outputs
        self.blocks = nn.Sequential(*stages)
        self.linear = nn.Linear(inputs, classes)

    def features(self, x: Tensor) -> Tensor:
        """Pooled penultimate features (B, width * 2**(stages - 1))."""
        out = F.relu(self.bn1(self.conv1(x)))
        return torch.flatten(F.adaptive_avg_pool2d(self.blocks(out), 1), 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))
