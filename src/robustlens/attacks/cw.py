"""The L2 attack of Carlini and Wagner (2017, Eq. 7), with a fixed trade-off constant."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import Model
from robustlens.attacks.threat import Threat
from robustlens.parameters import NonNegative, Positive, PositiveInt


@dataclass(frozen=True)
class CW:
    """Minimise ||x' - x||_2^2 + c max(f(x')[y] - max_{k != y} f(x')[k], -kappa) by Adam over w in x' = (tanh(w)+1)/2.

    The nearest image that fooled the model is returned, or the image itself where none did. The result is not bounded
    by epsilon: look at its distance.
    """

    bounded = False

    c: Positive = 1.0
    kappa: NonNegative = 0.0
    steps: PositiveInt = 50
    learning_rate: Positive = 0.01

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        w = torch.atanh((2 * x - 1).clamp(-1 + 1e-6, 1 - 1e-6)).requires_grad_(True)
        optimizer = torch.optim.Adam([w], lr=self.learning_rate)
        true_class = F.one_hot(y, model(x[:1]).shape[1]).bool()
        nearest, found = torch.full((len(x),), torch.inf, device=x.device), x.clone()
        for _ in range(self.steps):
            with torch.enable_grad():
                x_adv = (torch.tanh(w) + 1) / 2
                logits = model(x_adv)
                distance = (x_adv - x).flatten(1).square().sum(1)
                margin = logits[true_class] - logits.masked_fill(true_class, -torch.inf).amax(1)
                loss = (distance + self.c * margin.clamp_min(-self.kappa)).sum()
            (w.grad,) = torch.autograd.grad(loss, w)
            better = (margin < -self.kappa) & (distance < nearest)
            nearest = torch.where(better, distance.detach(), nearest)
            found = torch.where(better.view(-1, 1, 1, 1), x_adv.detach(), found)
            optimizer.step()
        return found.clamp(0.0, 1.0)
