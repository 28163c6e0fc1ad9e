"""Temperature-PGD (Tian et al. 2021): PGD on the cross-entropy of softmax(z / T) for logits z."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import Model
from robustlens.attacks.threat import Threat
from robustlens.parameters import Positive, PositiveInt


@dataclass(frozen=True)
class TemperaturePGD:
    """PGD from a uniform start that climbs -log p_y, p = softmax(z / T); predictions are those of z.

    inverse_temperature: 1 / T. 1 is PGD; the larger it is, the more the strongest rival of y counts, and the limit is
        PGD on the margin. The values of the paper are not known to us, so there is no default.

    Rounding must not look like an effect of T. In float32 the true class's part of the gradient is exactly 0 from a
    logit gap of about 17 T on, in float64 from about 38 T. So a step follows the direction of the gradient in a form
    that doesn't vanish (`direction`). It differs from the gradient by a positive factor per image, which steps of
    either norm cancel. Where even this gradient is zero, because the logits do not depend on the pixels, the image
    stays at its random start.
    """

    inverse_temperature: Positive
    steps: PositiveInt = 20

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        """x_adv of the shape of x (B, C, H, W), inside the ball and [0, 1]; the model's parameters get no gradient."""
        step_size = threat.epsilon if self.steps == 1 else threat.step_size  # as PGD
        x_adv = threat.random_point(x, generator)
        for _ in range(self.steps):
            gradient = ascent(model, x_adv, y, self.inverse_temperature)
            x_adv = threat.project(threat.ascend(x_adv, gradient, step_size), x)
        return x_adv


def ascent(model: Model, x: Tensor, y: Tensor, inverse_temperature: float) -> Tensor:
    """What the cross-entropy of z / T grows along, of the shape of x (B, C, H, W): its gradient, but for a positive
    factor per image."""
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(x)
    towards = direction(logits.detach(), y, inverse_temperature).to(logits.dtype)
    return torch.autograd.grad(logits, x, towards)[0]


def direction(logits: Tensor, y: Tensor, inverse_temperature: float) -> Tensor:
    """The gradient of -log p_y with respect to the logits, divided by (1 - p_y) / T: (B, K) in float64.

    The gradient is (p - e_y) / T. Divided by 1 - p_y, its part for y is -1, and the parts of the other classes are the
    softmax of z / T among themselves. No part is a difference of nearly equal numbers.
    """
    true_class = F.one_hot(y, logits.shape[1]).bool()
    rivals = logits.double().masked_fill(true_class, -torch.inf)
    below_strongest = rivals - rivals.amax(1, keepdim=True)  # so that no 1 / T makes them overflow
    return F.softmax(inverse_temperature * below_strongest, dim=1) - true_class.double()


def share_of_other_signs(model: Model, x: Tensor, y: Tensor, inverse_temperature: float = 1.0) -> Tensor:
    """The share of the pixels of each image, (B,), where the gradient of the cross-entropy of z / T, computed in the
    precision of the logits as PGD does, has another sign than `ascent`. Signs are -1, 0 and 1: where the gradient
    vanishes in one of them alone, they differ."""
    rounded = x.detach().requires_grad_(True)
    with torch.enable_grad():
        loss = F.cross_entropy(inverse_temperature * model(rounded), y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, rounded)
    other = gradient.sign() != ascent(model, x, y, inverse_temperature).sign()
    return other.double().flatten(1).mean(1)
