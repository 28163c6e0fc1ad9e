"""torchvision's residual networks for images of about 224 x 224 (He et al. 2016): 7x7 stem of stride 2, max-pooling.

ResNet-50 has 25.56 M parameters at 1,000 classes; the layout is that of torchvision's and of MadryLab's checkpoints.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.resnet import ResNet as TorchvisionResNet

from robustlens.errors import RobustlensError
from robustlens.models.stages import pooled
from robustlens.parameters import PositiveInt

STAGES = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
    152: (Bottleneck, [3, 8, 36, 3]),
}


@dataclass(frozen=True)
class ImageNetResNet:
    """Parameters of a ResNet for ImageNet.

    depth: 18, 34, 50, 101 or 152.
    """

    depth: PositiveInt = 50

    def build(self, channels: int, classes: int) -> nn.Module:
        """A network from images (B, channels, H, W) in [0, 1] to logits (B, classes).

        Raises RobustlensError for another depth.
        """
        if self.depth not in STAGES:
            raise RobustlensError(f"architecture.depth: must be one of {', '.join(map(str, STAGES))}, got {self.depth}")
        return ImageNetNetwork(*STAGES[self.depth], channels, classes)


class ImageNetNetwork(TorchvisionResNet):
    def __init__(self, block: type[nn.Module], blocks: list[int], channels: int, classes: int):
        super().__init__(block, blocks, num_classes=classes)
        if channels != 3:
            self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)

    @property
    def linear(self) -> nn.Linear:
        return self.fc

    def features(self, x: Tensor) -> Tensor:
        """Pooled penultimate features (B, 512) or, from depth 50 on, (B, 2048)."""
        out = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return pooled(self.layer4(self.layer3(self.layer2(self.layer1(out)))))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x))
