"""A screen: the attacks of AutoAttack's standard version, searching in bfloat16. It is not AutoAttack.

An image that it breaks is broken, but a search that fails in bfloat16 might have succeeded in float32, so that robust
accuracy tends to be above AutoAttack's. For choosing among networks; AutoAttack itself (`autoattack`) for publishing.
"""

from dataclasses import dataclass

import torch
from pyautoattack.checks import check_square_sr
from torch import Tensor, nn

from robustlens.attacks.autoattack import COMPONENTS, standard
from robustlens.attacks.library import isolated_randomness, library_seed, require_classes
from robustlens.attacks.threat import Threat
from robustlens.models.bfloat16 import Bfloat16Model


@dataclass(frozen=True)
class Screen:
    """APGD-CE, APGD-T, FAB-T and Square with their standard budget, each on the images that the ones before it left.

    Each searches on a bfloat16 copy of the network, and an image is broken only if the network itself gets what was
    found wrong. Where the copy alone does (or already got the image itself wrong, so that there was nothing to search
    for), the same attack searches once more on the network itself. Needs 4 classes.
    """

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        return self.cascade(model, x, y, threat, generator)[0]

    def cascade(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator
    ) -> tuple[Tensor, list[str]]:
        """x_adv (the image itself where all four fail), and for each image the component that broke it:
        `misclassified` when there was nothing to break, one of COMPONENTS, or an empty string for a robust image.
        Raises RobustlensError where the device has no bfloat16.
        """
        with torch.no_grad():
            logits = model(x)
        classes = logits.shape[1]
        require_classes(classes, 4, "screen")
        seed, copy = library_seed(generator), Bfloat16Model(model, "screen", "autoattack")
        searches = [standard(network, classes, threat, seed, x.device) for network in (copy, model)]

        x_adv, robust = x.clone(), logits.argmax(1) == y
        broken_by = ["" if right else "misclassified" for right in robust.tolist()]
        accuracies = {"clean": float(robust.float().mean())}
        for component in COMPONENTS:
            left = robust.nonzero().squeeze(1)
            for search in searches:
                if len(left) == 0:
                    break
                search.attacks_to_run = [component]
                with isolated_randomness(x.device):
                    found, predicted = search.run_standard_evaluation(x[left], y[left], batch_size=len(left))
                with torch.no_grad():
                    broken = model(found).argmax(1) != y[left]
                x_adv[left[broken]] = found[broken]
                robust[left[broken]] = False
                for image in left[broken].tolist():
                    broken_by[image] = component
                left = left[(predicted != y[left]) & ~broken]
            accuracies[component] = float(robust.float().mean())
        check_square_sr(accuracies, logger=searches[0].logger)  # warns of masked gradients
        return x_adv, broken_by
