"""The ensemble of ten iterations that torchattacks 3.5.1 has in place of AutoAttack, rebuilt with pyautoattack.

The released code of AR-AT (Waseda et al. 2025) evaluates with it. AutoAttack itself (Croce and Hein 2020) makes a
hundred iterations: the two are not comparable, and no label of this one should begin with that name.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from torch import Tensor

from robustlens.attacks.fab_targets import FABOnTargets
from robustlens.attacks.library import isolated_randomness, library_seed, norm_name, radius, require_classes
from robustlens.attacks.pgd import Model
from robustlens.attacks.square_patches import SquareOnPatches
from robustlens.attacks.threat import Threat

ITERATIONS, QUERIES = 10, 5000
COMPONENTS = ("apgd-ce", "apgd-t", "fab-t", "square")


@dataclass(frozen=True)
class TenIterations:
    """APGD-CE, APGD-T and FAB-T with 10 iterations and Square with 5,000 queries, one restart each, each on the images
    that the ones before it left.

    As there, APGD-T and FAB-T try all K - 1 other classes, where AutoAttack tries nine, and Square's squares shrink
    with the share of its queries that is spent, where AutoAttack's shrink with their number. Needs 4 classes.
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
        require_classes(logits.shape[1], 4, "autoattack-10")
        x_adv, robust = x.clone(), logits.argmax(1) == y
        broken_by = ["" if right else "misclassified" for right in robust.tolist()]
        for component, perturb in components(model, logits.shape[1], x.device, threat, generator).items():
            left = robust.nonzero().squeeze(1)
            if len(left) == 0:
                break
            with isolated_randomness(x.device):
                found = perturb(x[left], y[left])
            with torch.no_grad():
                broken = left[model(found).argmax(1) != y[left]]
            x_adv[broken] = found[torch.isin(left, broken)]
            robust[broken] = False
            for image in broken.tolist():
                broken_by[image] = component
        return x_adv, broken_by


def components(
    model: Model, classes: int, device: torch.device, threat: Threat, generator: torch.Generator
) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """The four attacks, from images and labels to adversarial images, each with a seed of its own."""

    def settings() -> dict:
        return {"norm": norm_name(threat), "eps": radius(threat), "seed": library_seed(generator), "device": device}

    targets = {"n_target_classes": classes - 1}
    attacks = (
        APGDAttack(model, n_iter=ITERATIONS, loss="ce", **settings()),
        APGDAttack_targeted(model, n_iter=ITERATIONS, **targets, **settings()),
        FABOnTargets(model, n_iter=ITERATIONS, targeted=True, **targets, **settings()),
        SquareOnPatches(model, n_queries=QUERIES, resc_schedule=True, **settings()),
    )
    return {component: attack.perturb for component, attack in zip(COMPONENTS, attacks, strict=True)}
