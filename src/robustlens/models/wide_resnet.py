"""Wide residual networks for CIFAR (Zagoruyko and Komodakis 2016), as TRADES and RobustBench define them.

Pre-activation blocks, three stages, global average pooling: images of any size. 28-10 has 36.5 M parameters, 34-10
46.2 M. Names of the weights and their first values are those of github.com/yaodongyu/TRADES; its `sub_block1` is left
out, because no image ever passes through it.
"""

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor, nn

from robustlens.errors import RobustlensError
from robustlens.models.stages import pooled, stage
from robustlens.parameters import PositiveInt


@dataclass(frozen=True)
class WideResNet:
    """Parameters of a wide ResNet.

    depth: layers, 6 n + 4 for n blocks per stage.
    widen_factor: the stages have 16, 32 and 64 times as many channels.
    """

    depth: PositiveInt = 34
    widen_factor: PositiveInt = 10

    def build(self, channels: int, classes: int) -> nn.Module:
        """A network from images (B, channels, H, W) in [0, 1] to logits (B, classes)."""
        return WideNetwork(blocks_a_stage(self.depth), self.widen_factor, channels, classes)


def blocks_a_stage(depth: int) -> int:
    """Raises RobustlensError for a depth that is not 6 n + 4."""
    if depth < 10 or (depth - 4) % 6:
        raise RobustlensError(f"architecture.depth: must be 6 n + 4 (10, 16, 28, 34, 70, ...), got {depth}")
    return (depth - 4) // 6


class WideBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.convShortcut = None
        if inputs != outputs:
            self.convShortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.relu1(self.bn1(x))
        out = self.conv2(self.relu2(self.bn2(self.conv1(activated))))
        return out + (x if self.convShortcut is None else self.convShortcut(activated))


class WideNetwork(nn.Module):
    def __init__(self, blocks: int, widen_factor: int, channels: int, classes: int):
        super().__init__()
        widths = [16, 16 * widen_factor, 32 * widen_factor, 64 * widen_factor]
        self.conv1 = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.block1 = nn.Sequential(OrderedDict(layer=stage(WideBlock, widths[0], widths[1], blocks, stride=1)))
        self.block2 = nn.Sequential(OrderedDict(layer=stage(WideBlock, widths[1], widths[2], blocks, stride=2)))
        self.block3 = nn.Sequential(OrderedDict(layer=stage(WideBlock, widths[2], widths[3], blocks, stride=2)))
        self.bn1 = nn.BatchNorm2d(widths[3])
        self.relu = nn.ReLU()
        self.fc = nn.Linear(widths[3], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    @property
    def linear(self) -> nn.Linear:
        return self.fc

    def features(self, x: Tensor) -> Tensor:
        """Pooled penultimate features (B, 64 widen_factor)."""
        out = self.block3(self.block2(self.block1(self.conv1(x))))
        return pooled(self.relu(self.bn1(out)))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x))
