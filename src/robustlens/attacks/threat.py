"""The threat model: what an adversarial image may be."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Threat:
    """Images within an L-inf or L2 ball of radius `epsilon` (in units of the [0, 1] pixel range).

    step_size: the step that the dataset's papers give to their PGD attacks, in the same units. Of each it may be one
    number for all images, or a tensor with one per image, (B,) or (B, 1, 1, 1), which is kept as the latter.
    """

    norm: str
    epsilon: float | Tensor
    step_size: float | Tensor

    def __post_init__(self):
        for name in ("epsilon", "step_size"):
            if isinstance(value := getattr(self, name), Tensor):  # (B,) would be taken for one number per column
                object.__setattr__(self, name, value.reshape(-1, 1, 1, 1))

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """The point of the ball around x, cut with [0, 1], that x_adv is moved to. Shapes (B, C, H, W)."""
        if self.norm == "linf":
            return torch.clamp(x_adv, x - self.epsilon, x + self.epsilon).clamp_(0.0, 1.0)
        delta = x_adv - x
        scale = (self.epsilon / _l2(delta).clamp_min(1e-12)).clamp_max(1.0)
        return (x + delta * scale).clamp_(0.0, 1.0)

    def ascend(self, x_adv: Tensor, gradient: Tensor, step_size: float | Tensor) -> Tensor:
        """One steepest-ascent step of length `step_size` in this norm; none where the gradient is zero."""
        if self.norm == "linf":
            return x_adv + step_size * gradient.sign()
        # However small a gradient is (1e-20 for an image that the model is sure of), the step has its whole length.
        return x_adv + step_size * (gradient / _l2(gradient).clamp_min(torch.finfo(gradient.dtype).tiny))

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
        delta = x_adv - x
        return delta.abs().flatten(1).amax(1) if self.norm == "linf" else _l2(delta).flatten()


def _l2(t: Tensor) -> Tensor:
    """The norm of each image, (B, 1, 1, 1). Summed in float64: in float32 the squares of a large image's 150,000 pixels
    lose more than an evaluation lets an image be outside of its ball, and those of small gradients are zero."""
    norm = torch.linalg.vector_norm(t.flatten(1), dim=1, dtype=torch.float64)
    return norm.to(t.dtype).view(-1, 1, 1, 1)
