"""How strong a correction is best for the worst class: chosen on validation images, never on test images."""

import copy
from collections.abc import Sequence
from typing import Protocol

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.errors import RobustlensError
from robustlens.models.inference import InferenceModel
from robustlens.seeds import generator
from robustlens.training.selection import value
from robustlens.training.tracking import Tracker, summarise

COLUMNS = ("correction", "strength", "accuracy", "robust_accuracy", "worst_class", "chosen")


class Correction(Protocol):
    strengths: Sequence[float]

    def correct(self, layer: nn.Linear, strength: float, prior: Tensor) -> None: ...


def corrected(
    network: nn.Module, name: str, correction: Correction, prior: Tensor, tracker: Tracker, classes: int
) -> tuple[nn.Module, pd.DataFrame]:
    """A copy of the network with the correction that leaves its worst class the highest robust accuracy, and one row
    with COLUMNS per strength. prior: see `adversarial_prior`.

    Every strength is attacked by itself, from the same random start. Of equal ones the higher robust accuracy counts,
    then the first. Raises RobustlensError for a network whose last layer has no bias.
    """
    if network.linear.bias is None:
        raise RobustlensError(f"{name}: the last layer has no bias, which this correction changes")
    tried, rows = [], []
    for strength in correction.strengths:
        tried.append(copy.deepcopy(network))
        correction.correct(tried[-1].linear, strength, prior)
        measured = summarise(tracker.measure(InferenceModel(tried[-1])), classes)
        reached = value("worst-class", measured)
        rows.append([name, float(strength), measured["clean_accuracy"], reached[1], reached[0], False])
    best = max(range(len(rows)), key=lambda number: (rows[number][4], rows[number][3], -number))
    rows[best][-1] = True
    return tried[best], pd.DataFrame(rows, columns=list(COLUMNS))


def adversarial_prior(network: nn.Module, tracker: Tracker) -> Tensor:
    """The mean softmax (K,) of the network on the images as the tracker attacks them, in float64."""
    model, images = InferenceModel(network), tracker.images
    noise, total = generator(tracker.seed, "track", tracker.split, device=images.device), torch.zeros(())
    for where in torch.arange(len(images), device=images.device).split(tracker.batch_size):
        x_adv = tracker.attack(model, images.batch(where), images.y[where], tracker.threat, noise)
        with torch.no_grad():
            total = total + F.softmax(model(x_adv).double(), dim=1).sum(0).cpu()
    return (total / len(images)).to(images.device)
