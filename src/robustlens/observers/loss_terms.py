"""How large the terms of the loss and their gradients are."""

from dataclasses import dataclass

import torch
from torch import Tensor

from robustlens.learning.observer import Observer, Statistics, Step
from robustlens.parameters import PositiveInt


@dataclass(frozen=True)
class LossTerms(Observer):
    """Of every term: `<term>`, its mean over the batch, and `<term>/gradient`, the L2 norm of its gradient with respect
    to all of the classifier's parameters."""

    every: PositiveInt = 100

    def of_step(self, step: Step, memory: dict[str, Tensor]) -> Statistics:
        parameters, found = list(step.learner.network.parameters()), {}
        for name, term in step.terms.items():
            gradients = [g for g in step.gradients(term, parameters) if g is not None]
            found[name] = term.detach().sum()
            found[f"{name}/gradient"] = (
                torch.stack([g.square().sum() for g in gradients] or [term.new_zeros(())]).sum().sqrt()
            )
        return found
