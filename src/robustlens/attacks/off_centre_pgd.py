"""PGD as the released code of AR-AT (Waseda et al. 2025) runs it: around a noised image instead of the image itself."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import Model
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.parameters import PositiveInt


@dataclass(frozen=True)
class OffCentrePGD:
    """PGD on the cross-entropy whose ball has its centre at x + U(-epsilon, epsilon), where it starts, too.

    That code adds the noise of the start to the images in place, and so to the centre of the ball. The centre is not
    clipped to [0, 1]; every step is. x' may be up to 2 epsilon away from x: a larger threat than the one that is named.
    Only for L-inf, because under L2 that code uses an attack without this fault.
    """

    radii = 2  # how many epsilon x' may be away from x

    steps: PositiveInt = 20

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        """x_adv of the shape of x (B, C, H, W), in [0, 1]. Raises RobustlensError for a threat in another norm."""
        return self.around_noise(model, x, y, threat, generator)[1]

    def around_noise(
        self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The noised images, which may be outside [0, 1] by up to epsilon, and x_adv, within epsilon of them."""
        if threat.norm != "linf":
            raise RobustlensError(
                f"off-centre-pgd is only for L-inf, and the threat is in {threat.norm}; use pgd, which is what the "
                "released code does under L2 (method arat: `start: clean-centred`, method sat for off-centre-sat)"
            )
        step_size = threat.epsilon if self.steps == 1 else threat.step_size  # as PGD
        noise = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype) * 2 - 1
        noised = x + threat.epsilon * noise
        x_adv = noised.clone()
        for _ in range(self.steps):
            x_adv.requires_grad_(True)
            with torch.enable_grad():
                loss = F.cross_entropy(model(x_adv), y, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x_adv)
            x_adv = threat.project(threat.ascend(x_adv.detach(), gradient, step_size), noised)
        return noised, x_adv
