"""How far the features of attacked images are from those of the natural ones (AR-AT: Waseda et al. 2025)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.learning.features import adversarial_features, natural_features, require_layers
from robustlens.learning.observer import Observer, Statistics, Step
from robustlens.parameters import Names, PositiveInt


@dataclass(frozen=True)
class FeatureDistance(Observer):
    """Of each layer, of the batch's images and in train mode, as the loss sees them: `<layer>/distance`, the mean of
    ||z* - z||_2, and `<layer>/cosine`, the mean of cos(z*, z). `mean/distance` and `mean/cosine`: their means over the
    layers.

    z and z* are the features of a natural image and of the attacked one, as AR-AT regularises them: what the layer
    gives, after ReLU and the mean over positions. With split BatchNorm each is by its own.
    layers: submodules by name, or `penultimate`. Raises RobustlensError for one that is not there.
    """

    layers: Names = ("penultimate",)
    every: PositiveInt = 100

    def __post_init__(self):
        require_layers(self.layers, "observers.feature-distance")

    @torch.no_grad()
    def of_step(self, step: Step, memory: dict[str, Tensor]) -> Statistics:
        _, natural = natural_features(step.learner, step.batch.x, self.layers)
        _, adversarial = adversarial_features(step.learner, step.batch.x_adv, self.layers)
        found = {}
        for layer, z, z_adv in zip(self.layers, natural, adversarial, strict=True):
            found[f"{layer}/distance"] = (z_adv - z).norm(dim=1).mean()
            found[f"{layer}/cosine"] = F.cosine_similarity(z_adv, z, dim=1).mean()
        means = {
            f"mean/{kind}": torch.stack([found[f"{layer}/{kind}"] for layer in self.layers]).mean()
            for kind in ("distance", "cosine")
        }
        return found | means
