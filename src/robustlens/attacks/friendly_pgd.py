"""Friendly PGD: PGD that stops for each image soon after it is misclassified (Zhang et al. 2020, Algorithm 1)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import Model
from robustlens.attacks.threat import Threat
from robustlens.parameters import NonNegative, NonNegativeInt, OneOf, PositiveInt


@dataclass(frozen=True)
class FriendlyPGD:
    """PGD of at most `steps` steps, of which at most `tau` begin at a point that is misclassified.

    stop: `wrong`, an image stays once it is misclassified and has made `tau` such steps; with a tau of `steps` this is
        PGD. `spent`, as in CFA's code, it stays once it has made `tau` of them, even if it is classified correctly
        again; with a tau of 0 no image leaves its random start.
    loss: `ce` climbs the cross-entropy of y, `kl` KL(p(.|x) || p(.|x_adv)), as PGD.
    start: `uniform` in the ball, or `gaussian` x + 0.001 N(0, 1), which is cut to the ball and to [0, 1], since it may
        be the result.
    noise: of the N(0, noise^2) that every step adds before it is led back into the ball.

    The network sees all images at every step, whether or not they have stopped, and they keep their order. In the
    authors' code those that have stopped leave the batch; for BatchNorm in eval mode that is the same.
    """

    steps: PositiveInt = 20
    tau: NonNegativeInt = 0
    loss: OneOf("ce", "kl") = "ce"
    start: OneOf("uniform", "gaussian") = "uniform"
    noise: NonNegative = 0.0
    stop: OneOf("wrong", "spent") = "wrong"

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        """x_adv of the shape of x (B, C, H, W), inside the ball and [0, 1]; the model's parameters get no gradient."""
        step_size = threat.epsilon if self.steps == 1 else threat.step_size  # as PGD
        if self.loss == "kl":
            with torch.no_grad():
                p = F.softmax(model(x), dim=1)

        x_adv = self._start(x, threat, generator)
        spare, going = torch.full_like(y, self.tau), torch.ones_like(y, dtype=torch.bool)
        for _ in range(self.steps):
            x_adv.requires_grad_(True)
            with torch.enable_grad():
                logits = model(x_adv)
                if self.loss == "kl":
                    loss = -(p * F.log_softmax(logits, dim=1)).sum()  # the KL, but for the constant entropy of p
                else:
                    loss = F.cross_entropy(logits, y, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x_adv)
            x_adv, wrong = x_adv.detach(), logits.detach().argmax(1) != y

            spent = spare == 0
            going = going & ~(spent & wrong if self.stop == "wrong" else spent)
            spare = spare - (wrong & going).to(spare.dtype)
            stepped = threat.ascend(x_adv, gradient, step_size)
            if self.noise:
                stepped = stepped + self.noise * _normal(x, generator)
            x_adv = torch.where(going.view(-1, 1, 1, 1), threat.project(stepped, x), x_adv)
        return x_adv

    def _start(self, x: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        if self.start == "uniform":
            return threat.random_point(x, generator)
        return threat.project(x + 0.001 * _normal(x, generator), x)


def _normal(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
