"""A copy of a network made ready for attacks: same function, fewer operations."""

import copy

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse


class InferenceModel(nn.Module):
    """Images (B, C, H, W) to logits (B, K): eval mode, parameters frozen, channels-last inside, BatchNorm folded into
    the convolution before it (exact up to rounding). Inputs and gradients stay in the ordinary memory format, which
    attack libraries view as contiguous.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        folded = fuse(copy.deepcopy(model).eval(), inplace=True)
        self.network = folded.requires_grad_(False).to(memory_format=torch.channels_last)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        inside = x.contiguous(memory_format=torch.channels_last)
        if inside.requires_grad:
            inside.register_hook(Tensor.contiguous)
        return self.network(inside)
