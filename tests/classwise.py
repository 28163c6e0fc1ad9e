"""What tests of class-wise methods share: a learner, an epoch and how its classes were classified, DAFA's weights."""

import math

import torch
from torch import nn

from robustlens.attacks.threat import Threat
from robustlens.learning.learner import Learner
from robustlens.learning.method import Epoch, Method
from robustlens.learning.statistics import ClassStatistics

THREAT = Threat("linf", 8 / 255, 2 / 255)
CLASSES = 3


def learner_of(method: Method, network: nn.Module | None = None, classes: int = CLASSES) -> Learner:
    network = network or nn.Linear(1, 1)
    return Learner(network, method.parts(network, nn.Module), method.memory(classes)).double()


def statistics(right: list[float], total: list[float], softmax: list[list[float]] | None = None) -> ClassStatistics:
    right, total = (torch.tensor(values, dtype=torch.float64) for values in (right, total))
    rows = softmax or [[math.nan] * len(right)] * len(right)
    return ClassStatistics(right, total, torch.tensor(rows, dtype=torch.float64))


def moment(number: int, seen: ClassStatistics | None = None, validation=(), threat: Threat = THREAT) -> Epoch:
    """seen: of the adversarial training images of the last epoch."""
    of_epoch = {} if seen is None else {"adversarial": seen}
    return Epoch(number, threat, torch.Generator().manual_seed(0), of_epoch, iter, lambda: iter(validation), iter)


def dafa_by_loops(similarity: list[list[float]], strength: float) -> list[float]:
    """Over pairs of classes."""
    weights = [1.0] * len(similarity)
    for i, row in enumerate(similarity):
        for j in range(len(row)):
            if i == j:
                continue
            if row[i] < similarity[j][j]:
                weights[i] += strength * row[j] * similarity[j][j]
            else:
                weights[i] -= strength * similarity[j][i] * row[i]
    return weights
