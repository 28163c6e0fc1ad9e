"""Whether the terms of a loss pull the weights in opposite directions (AR-AT: Waseda et al. 2025)."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.errors import RobustlensError
from robustlens.learning.observer import Observer, Statistics, Step
from robustlens.parameters import PositiveInt


@dataclass(frozen=True)
class GradientConflict(Observer):
    """Of every pair of terms with gradients g1 and g2 of the classifier's convolution and linear weights:
    `<term>-<term>/cosine`, their cosine (0 where one of them is 0), and `<term>-<term>/conflict`, the share of all
    entries with g1 g2 < 0. Followed by `/<layer>`, the same of the weights of that layer alone.
    Of three terms or more also `<term>-others/cosine` and `<term>-others/conflict`, with the gradient of the sum of all
    other terms as g2: in AR-AT, `regularisation-others` compares it with the classification.
    Raises RobustlensError for a loss of a single term.
    """

    every: PositiveInt = 100

    def of_step(self, step: Step, memory: dict[str, Tensor]) -> Statistics:
        if len(step.terms) < 2:
            raise RobustlensError(
                f"observers.gradient-conflict: the method's loss has one term ({', '.join(step.terms)}), where two or "
                "more can be in conflict; take the observer out, or observe a method that returns terms by name"
            )
        layers = {
            name: module.weight
            for name, module in step.learner.network.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear)
        }
        weights, found = list(layers.values()), {}
        gradients = {
            name: [
                (torch.zeros_like(w) if g is None else g).flatten()
                for w, g in zip(weights, step.gradients(term, weights), strict=True)
            ]
            for name, term in step.terms.items()
        }
        pairs = {
            f"{first}-{second}": (gradients[first], gradients[second]) for first, second in combinations(gradients, 2)
        }
        if len(gradients) > 2:
            pairs |= {f"{term}-others": (gradients[term], of_others(term, gradients)) for term in gradients}
        for names, (ours, theirs) in pairs.items():
            whole = {"": (torch.cat(ours), torch.cat(theirs))}
            parts = {f"/{layer}": pair for layer, pair in zip(layers, zip(ours, theirs, strict=True), strict=True)}
            for place, (g1, g2) in (whole | parts).items():
                found[f"{names}/cosine{place}"] = F.cosine_similarity(g1, g2, dim=0)
                found[f"{names}/conflict{place}"] = (g1 * g2 < 0).double().mean()
        return found


def of_others(term: str, gradients: Mapping[str, list[Tensor]]) -> list[Tensor]:
    """The gradient, weight by weight, of the sum of all terms but one."""
    return [sum(of_weight) for of_weight in zip(*(g for name, g in gradients.items() if name != term), strict=True)]
