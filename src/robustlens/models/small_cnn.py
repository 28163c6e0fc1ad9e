"""The small convolutional network for MNIST of TRADES (Zhang et al. 2019), for images of 28 x 28.

Four 3x3 convolutions without padding (32, 32, pool, 64, 64, pool) and linear layers of 200, 200 and K outputs, with
dropout after the first (312,202 parameters at one channel and 10 classes). Names of the weights and their first values
are those of github.com/yaodongyu/TRADES.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustlens.parameters import Fractional


@dataclass(frozen=True)
class SmallCNN:
    """Parameters of the small network.

    dropout: share of the first linear layer's outputs that training sets to 0.
    """

    dropout: Fractional = 0.5

    def build(self, channels: int, classes: int) -> nn.Module:
        """A network from images (B, channels, 28, 28) in [0, 1] to logits (B, classes)."""
        return SmallNetwork(self.dropout, channels, classes)


class SmallNetwork(nn.Module):
    def __init__(self, dropout: float, channels: int, classes: int):
        super().__init__()
        self.feature_extractor = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, 32, 3),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(32, 32, 3),
                relu2=nn.ReLU(),
                maxpool1=nn.MaxPool2d(2),
                conv3=nn.Conv2d(32, 64, 3),
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(64, 64, 3),
                relu4=nn.ReLU(),
                maxpool2=nn.MaxPool2d(2),
            )
        )
        self.classifier = nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(64 * 4 * 4, 200),
                relu1=nn.ReLU(),
                drop=nn.Dropout(dropout),
                fc2=nn.Linear(200, 200),
                relu2=nn.ReLU(),
                fc3=nn.Linear(200, classes),
            )
        )
        for module in self.feature_extractor:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @property
    def linear(self) -> nn.Linear:
        return self.classifier.fc3

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features (B, 200)."""
        out = torch.flatten(self.feature_extractor(x), 1)
        for layer in list(self.classifier)[:-1]:
            out = layer(out)
        return out

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))
