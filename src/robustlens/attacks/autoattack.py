"""AutoAttack (Croce and Hein 2020), standard version, from pyautoattack."""

from dataclasses import dataclass

import numpy as np
import pyautoattack
import torch
from pyautoattack.checks import check_square_sr
from torch import Tensor

from robustlens.attacks.fab_targets import FABOnTargets
from robustlens.attacks.library import (
    isolated_randomness,
    library_seed,
    norm_name,
    radius,
    require_classes,
    target_classes,
)
from robustlens.attacks.pgd import Model
from robustlens.attacks.square_patches import SquareOnPatches
from robustlens.attacks.threat import Threat

COMPONENTS = ("apgd-ce", "apgd-t", "fab-t", "square")


@dataclass(frozen=True)
class AutoAttack:
    """APGD-CE, APGD-T, FAB-T and Square with the standard budget, each on the images that the ones before it left.

    min(9, K - 1) target classes; needs 4 classes, as the targeted difference of logits ratio does.
    """

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        return self.cascade(model, x, y, threat, generator)[0]

    def cascade(
        self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator
    ) -> tuple[Tensor, list[str]]:
        """x_adv (the image itself where all four fail), and for each image the component that broke it:
        `misclassified` when there was nothing to break, one of COMPONENTS, or an empty string for a robust image.
        """
        with torch.no_grad():
            logits = model(x)
        classes = logits.shape[1]
        require_classes(classes, 4, "AutoAttack")
        attack = standard(model, classes, threat, library_seed(generator), x.device)

        x_adv = x.clone()
        robust = logits.argmax(1) == y
        broken_by = np.where(robust.cpu().numpy(), "", "misclassified").astype(object)
        accuracies = {"clean": float(robust.float().mean())}
        for component in COMPONENTS:
            survivors = robust.nonzero().squeeze(1)
            if len(survivors) == 0:
                break
            attack.attacks_to_run = [component]
            with isolated_randomness(x.device):
                found, _ = attack.run_standard_evaluation(x[survivors], y[survivors], batch_size=len(survivors))
            with torch.no_grad():
                broken = model(found).argmax(1) != y[survivors]
            x_adv[survivors[broken]] = found[broken]
            robust[survivors[broken]] = False
            broken_by[survivors[broken].cpu().numpy()] = component
            accuracies[component] = float(robust.float().mean())
        check_square_sr(accuracies, logger=attack.logger)  # warns of masked gradients; it needs all the components
        return x_adv, list(broken_by)


def standard(model: Model, classes: int, threat: Threat, seed: int, device: torch.device) -> pyautoattack.AutoAttack:
    """The library's standard version, with FAB and Square in fewer passes of more images."""
    own = {"norm": norm_name(threat), "eps": radius(threat), "seed": seed, "device": device}
    attack = pyautoattack.AutoAttack(model, **own)
    attack.apgd_targeted.n_target_classes = targets = target_classes(classes)
    attack.fab = FABOnTargets(model, n_restarts=1, n_iter=attack.fab.n_iter, n_target_classes=targets, **own)
    attack.square = SquareOnPatches(model, n_queries=attack.square.n_queries, resc_schedule=False, **own)
    return attack
