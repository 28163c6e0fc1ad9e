"""Gaussian noise on images: the same for training and for certification."""

import torch
from torch import Tensor


def with_noise(x: Tensor, sigma: float, clip: bool, generator: torch.Generator) -> Tensor:
    """x + sigma N(0, 1), of the shape of x (B, C, H, W), on the generator's device. sigma: in units of the [0, 1] pixel
    range. clip: cut to [0, 1]."""
    noised = x + sigma * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return noised.clamp_(0.0, 1.0) if clip else noised
