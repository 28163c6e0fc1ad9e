"""Batched augmentation on the device of the images."""

import torch
import torch.nn.functional as F
from torch import Tensor


def crop_and_flip(x: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Random crops of the zero-padded images and, with `flip`, horizontal flips of half of them.

    x: (B, C, H, W) -> the same shape, in one gather; each image gets its own offset in 0..2 * padding.
    """
    if padding == 0 and not flip:
        return x
    batch, _, height, width = x.shape
    random = {"generator": generator, "device": x.device}
    top = torch.randint(0, 2 * padding + 1, (batch, 1), **random)
    left = torch.randint(0, 2 * padding + 1, (batch, 1), **random)
    rows = top + torch.arange(height, device=x.device)
    columns = left + torch.arange(width, device=x.device)
    if flip:
        mirrored = torch.rand(batch, 1, **random) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    padded = F.pad(x, (padding,) * 4).permute(0, 2, 3, 1)
    images = torch.arange(batch, device=x.device).view(-1, 1, 1)
    return padded[images, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)
