"""The threat model: what an adversarial image may be."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Threat:
    """Images within an L-inf or L2 ball of radius `epsilon` (in units of the [0, 1] pixel range).

    step_size: the step that the dataset's papers give to their PGD attacks, in the same units.
    """

    norm: str
    epsilon: float
    step_size: float

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """The point of the ball around x, cut with [0, 1], that x_adv is moved to. Shapes (B, C, H, W)."""
        if self.norm == "linf":
            return torch.clamp(x_adv, x - self.epsilon, x + self.epsilon).clamp_(0.0, 1.0)
        delta = x_adv - x
        scale = (self.epsilon / _l2(delta).clamp_min(1e-12)).clamp_max(1.0)
        return (x + delta * scale).clamp_(0.0, 1.0)

    def ascend(self, x_adv: Tensor, gradient: Tensor, step_size: float) -> Tensor:
        """One steepest-ascent step of length `step_size` in this norm."""
        if self.norm == "linf":
            return x_adv + step_size * gradient.sign()
        return x_adv + step_size * gradient / _l2(gradient).clamp_min(1e-12)

    def random_point(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """A uniform point of the ball around x, cut with [0, 1]."""
        noise = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype) * 2 - 1
        if self.norm == "linf":
            return (x + self.epsilon * noise).clamp_(0.0, 1.0)
        direction = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        radius = noise.flatten(1)[:, :1].abs() ** (1.0 / x[0].numel())
        direction = direction / _l2(direction)
        return (x + self.epsilon * radius.view(-1, 1, 1, 1) * direction).clamp_(0.0, 1.0)

    def distance(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Distance of each x_adv to its x in this norm, (B,)."""
        delta = (x_adv - x).flatten(1)
        return delta.abs().amax(1) if self.norm == "linf" else delta.norm(dim=1)


def _l2(t: Tensor) -> Tensor:
    return t.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
