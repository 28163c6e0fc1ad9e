"""Labels of a classifier for images that have none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from robustlens.models.weights import load_model


def labeller(
    weights: Path, labelled_by: dict, channels: int, classes: int, device: torch.device
) -> Callable[[np.ndarray], np.ndarray]:
    """From images float32 (n, C, H, W) in [0, 1] to the classes, int64 (n,), that a trained classifier gives them.

    labelled_by: with its `architecture` and the `batch_size` to ask it with.
    """
    network = load_model(weights, labelled_by["architecture"], channels, classes).to(device)

    @torch.no_grad()
    def labels(images: np.ndarray) -> np.ndarray:
        batches = torch.from_numpy(images).split(labelled_by["batch_size"])
        return torch.cat([network(batch.to(device)).argmax(dim=1).cpu() for batch in batches]).numpy()

    return labels
