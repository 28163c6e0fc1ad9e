"""Randomised smoothing: classes counted under noise by ours, and by the loop of Cohen et al. (2019)."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from contest import OURS, contest, contest_table, here, rounds_of, timed
from contestants import CLASSES, SEED, network
from torch import Tensor, nn
from workers import Failed

from robustlens.certification.counting import TOGETHER, class_counts
from robustlens.certification.smoothing import Smoothing
from robustlens.models.inference import InferenceModel
from robustlens.seeds import derive

BATCH = 500  # of ours, as in the scales
USUAL = {f"usual loop, batches of {size}": size for size in (100, 1000)}
FORWARD = "forward passes alone"  # of the prepared network, on noised images that are there already: no contestant
DIFFERENT = 0.001  # of the draws, at most, that rounding gives another class
WIDTHS = {"cpu": 16, "cuda": 64}  # of the ResNet-18


def usual_counts(
    model: nn.Module, x: Tensor, smoothing: Smoothing, size: int, noise: Callable[[Tensor], Tensor] = torch.randn_like
) -> tuple[np.ndarray, np.ndarray]:
    """`Smooth._sample_noise` of Cohen et al. for each image, for the first and for the further draws: (n, K) both."""
    counts = np.zeros((2, len(x), CLASSES), dtype=int)
    for number, (stream, draws) in enumerate((("first", smoothing.first_draws), ("further", smoothing.draws))):
        for position, image in enumerate(x):
            torch.manual_seed(derive(SEED, "certification", stream, position))  # the noise that robustlens draws
            left = draws
            for _ in range(math.ceil(draws / size)):
                together = min(size, left)
                left -= together
                with torch.no_grad():
                    batch = image.repeat((together, 1, 1, 1))
                    predictions = model(batch + noise(batch) * smoothing.sigma).argmax(1)
                for one in predictions.cpu().numpy():
                    counts[number, position, one] += 1
    return counts[0], counts[1]


def drawn_together(batch: Tensor) -> Tensor:
    """Noise as robustlens draws it, however large the batch."""
    return torch.cat([torch.randn_like(part) for part in batch.split(TOGETHER)])


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """Seconds for all draws in each round that counts. Raises Failed where the counts differ."""
    device = here()
    width, images, draws = (4, 2, 200) if quick else (WIDTHS[device.type], 4 if device.type == "cpu" else 40, 1000)
    smoothing = Smoothing(sigma=0.25, first_draws=100, draws=draws, clip=False)  # that loop does not clip
    x = torch.rand(images, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(device)
    model = undecided(network(width).eval().to(device), x, smoothing)
    prepared = InferenceModel(model)
    count = partial(class_counts, prepared, x, np.arange(images), smoothing, CLASSES, SEED, BATCH)
    different = {}
    for name, size in USUAL.items():
        pairs = zip(count(), usual_counts(model, x, smoothing, size, drawn_together), strict=True)
        different[name] = sum(int(np.abs(a - b).sum()) for a, b in pairs) / 2 / (images * smoothing.per_image)
        if different[name] > DIFFERENT:
            raise Failed(f"{name}: {different[name]:.2%} of the draws have another class than robustlens counts")

    noised = torch.rand(BATCH, 3, 32, 32, device=device)

    def forward() -> None:
        left = images * smoothing.per_image
        with torch.no_grad():
            while left > 0:
                prepared(noised[:left])
                left -= BATCH

    say(f"certification of {images} images, width {width}")
    run = {name: partial(usual_counts, model, x, smoothing, size) for name, size in USUAL.items()}
    run |= {OURS: count, FORWARD: forward}
    found = contest({name: timed(do, device, 1 if quick else None) for name, do in run.items()}, device, quick)
    return {"width": width, "draws": images * smoothing.per_image, "different": different, **found}


def undecided(model: nn.Module, x: Tensor, smoothing: Smoothing) -> nn.Module:
    """An untrained network that gives every class to some of the noised images."""
    with torch.no_grad():
        noised = x.repeat_interleave(20, 0)
        model.linear.bias -= model(noised + smoothing.sigma * torch.randn_like(noised)).mean(0)
    return model


def table(found: dict) -> str:
    title = (
        f"Certification, ResNet-18 of width {found['width']}, {found['draws']} draws, float32: {rounds_of(found)}\n\n"
    )
    return title + contest_table(found, {"samples/s": lambda _, seconds: f"{found['draws'] / seconds:.0f}"})
