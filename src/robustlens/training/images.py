"""The images of a split, where training takes its batches from."""

import copy

import numpy as np
import torch
from torch import Tensor

from robustlens.data.prepared import Split, centre

DEVICE_SHARE = 0.4  # of a GPU's free memory; the rest is for the network and its activations


class Images:
    """A split as batches float32 (B, C, H, W) in [0, 1] on a device.

    On a GPU the 8-bit images are resident where they fit; elsewhere each batch is gathered from the memory-mapped
    file. y, index: int64 (N,) on the device. crop: the side in pixels of a batch's images if they are a part of the
    split's whole ones, otherwise None.
    share: of a GPU's free memory that they may take.
    """

    def __init__(self, split: Split, device: torch.device, share: float = DEVICE_SHARE):
        self.device, self.levels = device, split.levels
        self.host = split.images
        self.host_whole = self.host if split.whole is None else split.whole
        self.crop = None if split.whole is None else self.host.shape[-1]
        fits = _fits(self.host_whole.nbytes, device, share)
        self.resident_whole = torch.from_numpy(np.array(self.host_whole)).to(device) if fits else None
        self.resident = self.resident_whole if self.crop is None or not fits else centre(self.resident_whole, self.crop)
        self.y, self.index = (torch.from_numpy(np.array(part)).to(device) for part in (split.labels, split.index))

    def first(self, count: int) -> "Images":
        """The first images, which take no memory of their own."""
        some = copy.copy(self)
        for name in ("host", "host_whole", "resident", "resident_whole", "y", "index"):
            part = getattr(self, name)
            setattr(some, name, None if part is None else part[:count])
        return some

    def __len__(self) -> int:
        return len(self.host)

    def batch(self, where: Tensor) -> Tensor:
        """The images at positions `where` (B,), given on the device: of larger ones the centre."""
        return self._gathered(where, self.resident, self.host)

    def whole(self, where: Tensor) -> Tensor:
        """The same, but whole, (B, C, H', W'): what random crops are cut from."""
        return self._gathered(where, self.resident_whole, self.host_whole)

    def _gathered(self, where: Tensor, resident: Tensor | None, host: np.ndarray) -> Tensor:
        if resident is not None:
            pixels = resident[where]
        else:
            pixels = torch.from_numpy(host[where.cpu().numpy()])
            if self.device.type == "cuda":
                pixels = pixels.pin_memory()  # otherwise the copy waits for the GPU, and the GPU for the copy
            pixels = pixels.to(self.device, non_blocking=True)
        return pixels.float().div_(self.levels)


def _fits(size: int, device: torch.device, share: float) -> bool:
    if device.type != "cuda":
        return False  # the memory-mapped file is as near as memory
    free, _ = torch.cuda.mem_get_info(device)
    return size <= share * free
