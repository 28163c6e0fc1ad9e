"""What the tests of discriminators share: networks, images and a state that keeps nothing."""

import numpy as np
import torch
from torch import Tensor, nn

from robustlens.data.prepared import Split
from robustlens.discrimination.discriminator import Discriminator
from robustlens.discrimination.sides import Sides, parts
from robustlens.training.images import Images


class Forgotten:
    folder = None

    def load(self) -> None:
        return None

    def save(self, tensors: dict[str, Tensor], record: dict) -> None:
        pass


def settings(**more: object) -> Discriminator:
    small = {"norm": "l2", "epsilons": (0, 0.1, 0.3), "steps": (6,), "batch_size": 8, "attack_steps": 2}
    return Discriminator(**small | {"validation_steps": 2, "test_steps": 3} | more)


def perceptron(inputs: int = 4, width: int = 16) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 2))


def split(values: np.ndarray, labels: np.ndarray | None = None) -> Split:
    """Images float (N, C, H, W) in [0, 1] as they are."""
    values = values.astype(np.float32)
    labels = np.arange(len(values)) % 2 if labels is None else labels
    return Split(values, labels.astype(np.int64), np.arange(len(values)), levels=1)


def images(values: np.ndarray) -> Images:
    return Images(split(values), torch.device("cpu"))


def noise(count: int, seed: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Images (count, 1, 2, 2) of pixels between low and high."""
    return np.random.default_rng(seed).uniform(low, high, (count, 1, 2, 2))


def two_sides(seed: int = 0, real: int = 60, generated: int = 100) -> dict[str, Sides]:
    """The parts of images that a perceptron can partly tell apart: real ones are brighter."""
    bright, dark = split(noise(real, 1, 0.3, 1.0)), split(noise(generated, 2, 0.0, 0.7))
    return parts(bright, dark, seed, torch.device("cpu"))
