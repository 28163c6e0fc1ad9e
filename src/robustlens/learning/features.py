"""Features of natural and of attacked images as vectors, as AR-AT regularises them (Waseda et al. 2025)."""

from collections.abc import Sequence

from torch import Tensor

from robustlens.errors import RobustlensError
from robustlens.learning.learner import Learner
from robustlens.models.split_batchnorm import natural_batchnorm


def natural_features(learner: Learner, x: Tensor, layers: Sequence[str]) -> tuple[Tensor, list[Tensor]]:
    """Logits (B, K) of natural images and the vectors of these layers, by the BatchNorm for natural images."""
    with natural_batchnorm(learner.network):
        return adversarial_features(learner, x, layers)


def adversarial_features(learner: Learner, x: Tensor, layers: Sequence[str]) -> tuple[Tensor, list[Tensor]]:
    """The same of attacked images, by the BatchNorm for these. A network without split BatchNorm has one for both.

    layers: submodules by name, or "penultimate", as `Learner.features` takes them.
    """
    logits, outputs = learner.features(x, layers)
    return logits, [vector(output) for output in outputs]


def vector(output: Tensor) -> Tensor:
    """What a layer gives, (B, d, H, W) or (B, d), after ReLU and the mean over positions: (B, d)."""
    positive = output.relu()
    return positive.mean((2, 3)) if positive.dim() == 4 else positive


def require_layers(layers: Sequence[str], what: str) -> None:
    """Raises RobustlensError where none is named. what: is to look at them, for the message."""
    if not layers:
        raise RobustlensError(f"{what}: layers is empty; name submodules of the network, or penultimate")
