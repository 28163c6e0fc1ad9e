"""Wide residual networks with Swish (x sigmoid(x)) of Gowal et al. 2020, as RobustBench publishes them in PyTorch.

As `wide_resnet`, except for the activation, for the padding of convolutions with stride 2, which see one row and column
of zeros below and to the right of the image (`SAME` of JAX and TensorFlow), and for the names of the weights. The
published models normalise their inputs: give the architecture a `normalisation`.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.models.stages import pooled, stage
from robustlens.models.wide_resnet import blocks_a_stage
from robustlens.parameters import PositiveInt


@dataclass(frozen=True)
class DMWideResNet:
    """Parameters of a wide ResNet with Swish.

    depth: layers, 6 n + 4 for n blocks per stage.
    widen_factor: the stages have 16, 32 and 64 times as many channels.
    """

    depth: PositiveInt = 28
    widen_factor: PositiveInt = 10

    def build(self, channels: int, classes: int) -> nn.Module:
        """A network from images (B, channels, H, W) in [0, 1] to logits (B, classes)."""
        return DMWideNetwork(blocks_a_stage(self.depth), self.widen_factor, channels, classes)


class DMWideBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.batchnorm_0 = nn.BatchNorm2d(inputs)
        self.padding = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)  # left, right, top, bottom
        self.conv_0 = nn.Conv2d(inputs, outputs, 3, stride=stride, bias=False)
        self.batchnorm_1 = nn.BatchNorm2d(outputs)
        self.conv_1 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = None
        if inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.silu(self.batchnorm_0(x))
        out = self.conv_0(F.pad(activated, self.padding))
        out = self.conv_1(F.silu(self.batchnorm_1(out)))
        return out + (x if self.shortcut is None else self.shortcut(activated))


class DMWideNetwork(nn.Module):
    def __init__(self, blocks: int, widen_factor: int, channels: int, classes: int):
        super().__init__()
        widths = [16, 16 * widen_factor, 32 * widen_factor, 64 * widen_factor]
        self.init_conv = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.layer = nn.Sequential(
            nn.Sequential(OrderedDict(block=stage(DMWideBlock, widths[0], widths[1], blocks, stride=1))),
            nn.Sequential(OrderedDict(block=stage(DMWideBlock, widths[1], widths[2], blocks, stride=2))),
            nn.Sequential(OrderedDict(block=stage(DMWideBlock, widths[2], widths[3], blocks, stride=2))),
        )
        self.batchnorm = nn.BatchNorm2d(widths[3])
        self.logits = nn.Linear(widths[3], classes)

    @property
    def linear(self) -> nn.Linear:
        return self.logits

    def features(self, x: Tensor) -> Tensor:
        """Pooled penultimate features (B, 64 widen_factor)."""
        return pooled(F.silu(self.batchnorm(self.layer(self.init_conv(x)))))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.features(x))
