"""What the residual networks share: a stage of blocks, and the pooling before the classifier."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def stage(block: type[nn.Module], inputs: int, outputs: int, count: int, stride: int) -> nn.Sequential:
    """`count` blocks from `inputs` to `outputs` channels; the first one has the stride."""
    first = block(inputs, outputs, stride)
    return nn.Sequential(first, *(block(outputs, outputs, 1) for _ in range(count - 1)))


def pooled(x: Tensor) -> Tensor:
    """The mean over positions, (B, C) of (B, C, H, W)."""
    return torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
