"""How many images a discriminator is right about, wherever PGD moves them within a ball."""

import torch
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.discrimination.sides import Sides
from robustlens.seeds import generator
from robustlens.training.images import Images

STEP_SIZE = 2.5  # of PGD, times the radius over the number of steps
TOGETHER = 500  # images that are attacked together


def attacked(
    model: nn.Module, x: Tensor, y: Tensor, norm: str, epsilon: float, steps: int, noise: torch.Generator
) -> Tensor:
    """x (B, C, H, W) as PGD on the cross-entropy of y (B,) moves it from a uniform start; with radius 0, x itself."""
    if epsilon == 0:
        return x
    return PGD(steps=steps)(model, x, y, Threat(norm, epsilon, STEP_SIZE * epsilon / steps), noise)


def balanced_accuracy(model: nn.Module, sides: Sides, norm: str, epsilon: float, steps: int, seed: int) -> float:
    """1/2 (share of the real images that it is right about) + 1/2 (share of the generated ones), from 0 to 1.

    It is right about an image whose side it names both as it is and as PGD moves it. model: in eval mode, logits
    (B, 2). Equal seeds give the same random starts for every model and radius.
    """
    shares = [_share(model, images, label, norm, epsilon, steps, seed) for label, images in enumerate(sides)]
    return sum(shares) / len(shares)


def _share(model: nn.Module, images: Images, label: int, norm: str, epsilon: float, steps: int, seed: int) -> float:
    noise = generator(seed, "accuracy", label, device=images.device)
    right = torch.zeros((), dtype=torch.int64, device=images.device)
    for where in torch.arange(len(images), device=images.device).split(TOGETHER):
        x = images.batch(where)
        y = torch.full((len(x),), label, device=images.device)
        moved = attacked(model, x, y, norm, epsilon, steps, noise)
        with torch.no_grad():
            right += ((model(x).argmax(1) == y) & (model(moved).argmax(1) == y)).sum()
    return int(right) / len(images)
