"""CIFAR-style residual networks (He et al. 2016, as used by the adversarial-training literature).

3x3 stem of stride 1, no max-pooling, post-activation blocks, global average pooling: images of any size. `ResNet()` is
the ResNet-18 of the four papers (11.17 M parameters at 10 classes); `blocks: [3, 4, 6, 3], block: bottleneck` is
CIFAR-style ResNet-50; smaller `blocks` and `width` give the networks of the smaller scales from the same code.
The weights have the names of github.com/kuangliu/pytorch-cifar, which most robust models are published with.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.models.stages import pooled, stage
from robustlens.parameters import OneOf, PositiveInt, PositiveInts


@dataclass(frozen=True)
class ResNet:
    """Parameters of a CIFAR-style ResNet.

    blocks: blocks in each stage; every stage after the first halves the resolution and doubles the width.
    width: channels of the stem, and of the 3x3 convolutions of the first stage.
    block: two 3x3 convolutions, or a 3x3 one between two of 1x1, the last of which has four times its width.
    """

    blocks: PositiveInts = (2, 2, 2, 2)
    width: PositiveInt = 64
    block: OneOf("basic", "bottleneck") = "basic"

    def build(self, channels: int, classes: int) -> nn.Module:
        """A network from images (B, channels, H, W) in [0, 1] to logits (B, classes)."""
        return ResidualNetwork(tuple(self.blocks), self.width, channels, classes, self.block)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        width = outputs // self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x))


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """The identity, or a 1x1 convolution where the shape changes."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


class ResidualNetwork(nn.Module):
    def __init__(self, blocks: tuple[int, ...], width: int, channels: int, classes: int, block: str = "basic"):
        super().__init__()
        kind = {"basic": BasicBlock, "bottleneck": Bottleneck}[block]
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.stages, inputs = [], width
        for number, count in enumerate(blocks):
            outputs = width * 2**number * kind.expansion
            self.stages.append(f"layer{number + 1}")
            self.add_module(self.stages[-1], stage(kind, inputs, outputs, count, stride=1 if number == 0 else 2))
            inputs = outputs
        self.linear = nn.Linear(inputs, classes)

    def features(self, x: Tensor) -> Tensor:
        """Pooled penultimate features (B, channels of the last stage)."""
        out = F.relu(self.bn1(self.conv1(x)))
        for name in self.stages:
            out = getattr(self, name)(out)
        return pooled(out)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))
