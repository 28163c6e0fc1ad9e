"""Layers computed by hand in float64, and networks with weights that are far from fresh ones."""

import numpy as np
import torch
from torch import nn


def convolve(image: np.ndarray, weight: np.ndarray, stride: int, padding: int | tuple[int, int]) -> np.ndarray:
    """A convolution of (C, H, W) with (O, C, k, k), position by position; padding on all sides, or (before, after)."""
    around = padding if isinstance(padding, tuple) else (padding, padding)
    padded = np.pad(image, ((0, 0), around, around))
    size = weight.shape[-1]
    rows = range(0, padded.shape[1] - size + 1, stride)
    columns = range(0, padded.shape[2] - size + 1, stride)
    out = np.zeros((len(weight), len(rows), len(columns)))
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            patch = padded[:, r : r + size, c : c + size]
            out[:, i, j] = (patch * weight).sum(axis=(1, 2, 3))
    return out


def normalise(image: np.ndarray, norm: nn.BatchNorm2d) -> np.ndarray:
    """BatchNorm of (C, H, W) in eval mode."""
    mean, variance, scale, shift = (
        t.detach().double().numpy()[:, None, None]
        for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (image - mean) / np.sqrt(variance + 1e-5) * scale + shift


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def swish(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    """The parameters by name, float64."""
    return {name: p.detach().double().numpy() for name, p in module.named_parameters()}


@torch.no_grad()
def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in eval mode with random BatchNorm statistics, scales and shifts, and a last layer that tells inputs
    apart; the other weights are as they were."""
    random = torch.Generator().manual_seed(seed)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.copy_(torch.rand(norm.running_mean.shape, generator=random) - 0.5)
        norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=random) + 0.5)
        norm.weight.copy_(torch.rand(norm.weight.shape, generator=random) + 0.5)
        norm.bias.copy_(torch.rand(norm.bias.shape, generator=random) - 0.5)
    linear = getattr(module, "linear", None)
    if linear is not None:
        linear.weight.copy_(torch.randn(linear.weight.shape, generator=random))
    return module.eval()
