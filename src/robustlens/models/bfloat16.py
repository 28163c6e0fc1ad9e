"""A copy of a network that computes in bfloat16, for searches whose results the network itself looks at."""

import copy

import torch
from torch import Tensor, nn

from robustlens.device import has_bfloat16
from robustlens.errors import RobustlensError


class Bfloat16Model(nn.Module):
    """Images (B, C, H, W) to logits (B, K): both are float32, and so are the gradients of images. Weights, maps and
    their gradients are bfloat16. Its 8 significant bits just tell the 256 levels of a pixel apart.

    model: in eval mode and on its device; an `InferenceModel` is faster than the network that it is made of. Its
    weights are copied and cast once. asked_by, instead: what computes in bfloat16, and what would compute in float32,
    for the message.
    Raises RobustlensError where the device has no bfloat16.
    """

    def __init__(self, model: nn.Module, asked_by: str, instead: str):
        super().__init__()
        device = next(model.parameters()).device
        if not has_bfloat16(device):
            raise RobustlensError(
                f"{asked_by}: bfloat16 is not supported by this {device.type}, or not with portable arithmetic; "
                f"use {instead}"
            )
        self.network = copy.deepcopy(model).to(torch.bfloat16)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.to(torch.bfloat16)).float()
