"""Checks around every attack: an evaluation that is not what it claims to be stops here."""

import hashlib

import torch
from torch import Tensor, nn

from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError

TOLERANCE = 1e-6


def check_model(model: nn.Module) -> None:
    """Every module is in eval mode."""
    training = [name or "the model itself" for name, module in model.named_modules() if module.training]
    if training:
        raise RobustlensError(
            f"{training[0]} is in train mode: an attack would change its BatchNorm statistics; call model.eval() first"
        )


def check_images(x: Tensor, what: str = "images") -> None:
    """Finite values in [0, 1]."""
    if not torch.isfinite(x).all():
        raise RobustlensError(f"{what}: values that are not finite")
    low, high = float(x.min()), float(x.max())
    if low < 0.0 or high > 1.0:
        raise RobustlensError(
            f"{what}: values from {low:.4g} to {high:.4g}, expected [0, 1]; normalisation belongs inside the model"
        )


def check_logits(logits: Tensor) -> None:
    """Finite (B, K) scores that are not probabilities."""
    if logits.ndim != 2:
        raise RobustlensError(f"the model returned shape {tuple(logits.shape)}, expected (images, classes)")
    if not torch.isfinite(logits).all():
        raise RobustlensError("the model returned logits that are not finite")
    sums = logits.sum(1)
    if bool((logits >= 0).all() and (logits <= 1 + TOLERANCE).all() and ((sums - 1).abs() < 1e-4).all()):
        raise RobustlensError("the model returns probabilities; attacks and energies need logits: remove its softmax")


def check_ball(x_adv: Tensor, x: Tensor, threat: Threat, attack: str, radii: float = 1.0) -> None:
    """Every adversarial image is within so many epsilon of its image, up to rounding, which grows with a radius above
    1. radii: 1, but for an attack that says that it goes further."""
    farthest, allowed = float(threat.distance(x_adv, x).max()), radii * threat.epsilon
    if farthest > allowed + TOLERANCE * max(1.0, allowed):
        times = "" if radii == 1 else f"{radii:g} times "
        raise RobustlensError(
            f"{attack}: an adversarial image is {farthest:.6f} away in {threat.norm}, "
            f"outside {times}epsilon {threat.epsilon:.6f}"
        )


def buffers_digest(model: nn.Module) -> str:
    """SHA-256 over all buffers and parameters, to see that an attack left them alone."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
