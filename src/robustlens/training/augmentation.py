"""Batched augmentation on the device of the images."""

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.errors import RobustlensError

PADDING = {"zero": "constant", "reflect": "reflect"}  # PyTorch's names of the modes


def crop_and_flip(
    x: Tensor, padding: int, flip: bool, generator: torch.Generator, size: int | None = None, mode: str = "zero"
) -> Tensor:
    """Random crops of the padded images and, with `flip`, horizontal flips of half of them.

    x: (B, C, H, W) -> (B, C, size, size), or the same shape without a size, in one gather. padding: pixels on each
    side, black (`zero`) or mirrored at the edge, which is not repeated (`reflect`, as in torchvision's RandomCrop).
    Each image gets its own offset, every position of the crop in the padded image being as likely as any other.
    Raises RobustlensError for a crop that is larger than the padded images, and for a reflection as wide as they are.
    """
    batch, _, height, width = x.shape
    rows_kept, columns_kept = (height, width) if size is None else (size, size)
    if padding == 0 and not flip and (rows_kept, columns_kept) == (height, width):
        return x
    lowest, leftmost = height + 2 * padding - rows_kept, width + 2 * padding - columns_kept
    _check(height, width, padding, mode, min(lowest, leftmost))
    random = {"generator": generator, "device": x.device}
    top = torch.randint(0, lowest + 1, (batch, 1), **random)
    left = torch.randint(0, leftmost + 1, (batch, 1), **random)
    rows = top + torch.arange(rows_kept, device=x.device)
    columns = left + torch.arange(columns_kept, device=x.device)
    if flip:
        mirrored = torch.rand(batch, 1, **random) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    padded = F.pad(x, (padding,) * 4, PADDING[mode]).permute(0, 2, 3, 1)
    images = torch.arange(batch, device=x.device).view(-1, 1, 1)
    return padded[images, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)


def _check(height: int, width: int, padding: int, mode: str, room: int) -> None:
    """room: by how many pixels the padded images are larger than the crop."""
    if room < 0:
        raise RobustlensError(
            f"a crop is larger than images of {height}x{width} pixels padded by {padding}; lower the dataset's `crop`"
        )
    if mode == "reflect" and padding >= min(height, width):
        raise RobustlensError(
            f"augmentation: {padding} pixels of padding can't be mirrored from images of {height}x{width}, which have "
            f"{min(height, width) - 1} beside the edge; lower `crop_padding` or set `padding: zero`"
        )
