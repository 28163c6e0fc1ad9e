"""How far the features of attacked images move from one epoch to the next (AR-AT: Waseda et al. 2025)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import PGD
from robustlens.learning.features import adversarial_features, require_layers
from robustlens.learning.learner import Learner, frozen
from robustlens.learning.method import Epoch
from robustlens.learning.observer import Observer, Statistics, Step
from robustlens.parameters import Names, PositiveInt


@dataclass(frozen=True)
class FeatureDrift(Observer):
    """Of each layer and after every epoch but the first: `<layer>/moved`, ||Z - Z'|| / ||Z'|| in the Frobenius norm,
    and `<layer>/cosine`, the mean over the images of cos(z, z'). Z (images, d) are the features of the same images now,
    attacked, and Z' those after the epoch before. `mean/moved` and `mean/cosine`: their means over the layers.

    The images are the first ones of the training split. They are attacked anew after each epoch, by PGD on the
    cross-entropy that starts at the image, so that random numbers make no difference; all in eval mode and, with split
    BatchNorm, by that for attacked images. Features are taken as in AR-AT: what the layer gives, after ReLU and the
    mean over positions.
    layers: submodules by name, or `penultimate`. Raises RobustlensError for one that is not there.
    """

    every = 2**62  # steps: only the first one is looked at, see `of_step`

    layers: Names = ("penultimate",)
    images: PositiveInt = 256
    attack_steps: PositiveInt = 10

    def __post_init__(self):
        require_layers(self.layers, "observers.feature-drift")

    @torch.no_grad()
    def of_step(self, step: Step, memory: dict[str, Tensor]) -> Statistics:
        """A layer that is not there is an error at the first step, not after the first epoch."""
        adversarial_features(step.learner, step.batch.x_adv, self.layers)
        return {}

    def of_epoch(self, learner: Learner, epoch: Epoch, memory: dict[str, Tensor]) -> Statistics:
        learner.eval()
        now = self.features(learner, epoch)
        found = {}
        if memory:
            for layer, z in now.items():
                before = memory[layer]
                tiny = torch.finfo(z.dtype).tiny
                found[f"{layer}/moved"] = (z - before).norm() / before.norm().clamp_min(tiny)
                found[f"{layer}/cosine"] = F.cosine_similarity(z, before, dim=1).mean()
            for kind in ("moved", "cosine"):
                found[f"mean/{kind}"] = torch.stack([found[f"{layer}/{kind}"] for layer in self.layers]).mean()
        memory.update(now)
        return found

    def features(self, learner: Learner, epoch: Epoch) -> dict[str, Tensor]:
        """Of the attacked images, (images, d), by layer."""
        attack, found = PGD(steps=self.attack_steps, start="image"), []
        for x, y in first(self.images, epoch):
            with frozen(learner):
                x_adv = attack(learner, x, y, epoch.threat, epoch.random)
            with torch.no_grad():
                found.append(adversarial_features(learner, x_adv, self.layers)[1])
        return {
            layer: torch.cat(of_layer) for layer, of_layer in zip(self.layers, zip(*found, strict=True), strict=True)
        }


def first(count: int, epoch: Epoch) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of so many training images, the first ones, or of all where there are fewer."""
    left = count
    for x, y in epoch.train():
        yield x[:left], y[:left]
        left -= len(x)
        if left <= 0:
            return
