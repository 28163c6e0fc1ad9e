"""The smallest network of every kind, with images for it."""

import torch
from layers import shaken
from torch import nn

from robustlens.models.weights import build

# Of every family: the smallest network of its kind, the size of its images, the number of its features.
SMALL = {
    "resnet": ({"family": "resnet", "blocks": [1, 2], "width": 4}, 12, 8),
    "bottleneck": ({"family": "resnet", "blocks": [1, 1], "width": 4, "block": "bottleneck"}, 12, 32),
    "preact-resnet": ({"family": "preact-resnet", "blocks": [1, 2], "width": 4}, 12, 8),
    "wide-resnet": ({"family": "wide-resnet", "depth": 10, "widen_factor": 2}, 12, 128),
    "dm-wide-resnet": ({"family": "dm-wide-resnet", "depth": 10, "widen_factor": 2}, 12, 128),
    "small-cnn": ({"family": "small-cnn"}, 28, 200),
    "mlp": ({"family": "mlp", "inputs": 48, "widths": [9, 8]}, 4, 8),
    "imagenet-resnet": ({"family": "imagenet-resnet", "depth": 18}, 40, 512),
}
NORMALISATION = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.5]}


def small(name: str, channels: int = 3, classes: int = 5, **more: dict) -> nn.Module:
    torch.manual_seed(1)
    architecture, side, _ = SMALL[name]
    inputs = {"inputs": channels * side**2} if "inputs" in architecture else {}
    return shaken(build(architecture | inputs | more, channels, classes))


def images(name: str, channels: int = 3, count: int = 2) -> torch.Tensor:
    size = SMALL[name][1]
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(2))


def on_meta(architecture: dict, channels: int = 3, classes: int = 10) -> nn.Module:
    with torch.device("meta"):
        return build(architecture, channels, classes).eval()
