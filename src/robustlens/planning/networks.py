"""What one forward pass of a network costs, counted on PyTorch's meta device: no memory, no arithmetic."""

import json
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from robustlens.models.weights import build

INCEPTION = "inception"
# Inception-v3 at 299 x 299, as FID uses it (research/training-and-evaluation-peers.md, 4.1).
INCEPTION_FLOPS, INCEPTION_PARAMETERS, INCEPTION_FEATURES, INCEPTION_LOGITS = 11.42e9, 21_800_000, 2048, 1008


@dataclass(frozen=True)
class Network:
    """An architecture on images of one shape. architecture: the JSON text of its configuration, or INCEPTION."""

    architecture: str
    shape: tuple[int, int, int]
    classes: int

    @classmethod
    def of(cls, architecture: dict, shape: tuple[int, int, int], classes: int) -> "Network":
        return cls(json.dumps(architecture, sort_keys=True), shape, classes)

    def build(self, device: torch.device | str = "cpu") -> nn.Module:
        """With fresh weights. Not for INCEPTION."""
        with torch.device(device):
            return build(json.loads(self.architecture), self.shape[0], self.classes)

    @property
    def flops(self) -> float:
        """Of one forward pass of one image, two per multiply-add."""
        return _counted(self)[0]

    @property
    def parameters(self) -> int:
        return _counted(self)[1]

    @property
    def features(self) -> int:
        """Length of a penultimate feature."""
        return _counted(self)[2]


@cache
def _counted(network: Network) -> tuple[float, int, int]:
    if network.architecture == INCEPTION:
        return INCEPTION_FLOPS, INCEPTION_PARAMETERS, INCEPTION_FEATURES
    model = network.build("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, *network.shape, device="meta"))
    return float(counter.get_total_flops()), sum(p.numel() for p in model.parameters()), model.linear.in_features
