"""What training does, written plainly: image by image, rates and seeds by hand."""

import hashlib
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def seed(text: str) -> int:
    """The first 63 bits of a hash."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) // 2


def stream(text: str) -> torch.Generator:
    return torch.Generator().manual_seed(seed(text))


def cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))


def one_cycle(step: int, steps: int, peak: float, warmup: float) -> tuple[float, float]:
    """Rate and momentum of a step (from 0): one cosine up to warmup * steps - 1, another one down to the last step."""
    top, last = warmup * steps - 1, steps - 1
    if step <= top:
        return cosine(peak / 25, peak, step / top), cosine(0.95, 0.85, step / top)
    part = (step - top) / (last - top)
    return cosine(peak, peak / 25 / 1e4, part), cosine(0.85, 0.95, part)


def crops(x: Tensor, random: torch.Generator) -> Tensor:
    """Each image padded with one black pixel, cropped somewhere, mirrored or not."""
    top, left = (torch.randint(0, 3, (len(x), 1), generator=random).flatten().tolist() for _ in range(2))
    mirrored = (torch.rand(len(x), 1, generator=random) < 0.5).flatten().tolist()
    height, width = x.shape[2:]
    found = []
    for image, row, column, mirror in zip(x, top, left, mirrored, strict=True):
        padded = torch.zeros(len(image), height + 2, width + 2)
        padded[:, 1:-1, 1:-1] = image
        crop = padded[:, row : row + height, column : column + width]
        found.append(crop.flip(2) if mirror else crop)
    return torch.stack(found)


def pgd(model: nn.Module, x: Tensor, y: Tensor, start: Tensor, method: str) -> Tensor:
    """Three steps of 6/255 in an L-inf ball of radius 16/255: eval mode, one image after the other, backward().

    method: `sat` climbs the cross-entropy, `trades` the KL.
    """
    model.eval()
    results = []
    for image, label, point in zip(x.split(1), y.split(1), start.split(1), strict=True):
        natural = model(image).softmax(1).detach()
        for _ in range(3):
            point = point.detach().requires_grad_(True)
            log_q = model(point).log_softmax(1)
            loss = F.nll_loss(log_q, label) if method == "sat" else (natural * (natural.log() - log_q)).sum()
            loss.backward()
            point = point.detach() + 6 / 255 * point.grad.sign()
            point = torch.min(torch.max(point, image - 16 / 255), image + 16 / 255).clamp(0, 1)
        results.append(point)
    return torch.cat(results)
