"""Adversarial weight perturbation, AWP (Wu et al. 2020, Eq. 9 to 11 and its released code)."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from robustlens.learning.learner import Learner
from robustlens.training.parallel import Processes


class WeightPerturbation:
    """The perturbation that a run's configuration asks for.

    settings: `training.weight_perturbation`. After epoch `start_epoch` (counted from 1) each step is taken at w + v,
    v = gamma ||w|| g / ||g|| for every weight tensor of the classifier of two dimensions or more, g the gradient of the
    same loss that is trained on; after the step v is taken off again. The released code takes one SGD step of a copy of
    the network for g; the length of that step cancels.
    """

    def __init__(self, settings: dict, learner: Learner, processes: Processes):
        self.settings, self.learner, self.processes = settings, learner, processes
        self.weights = [w for name, w in learner.network.named_parameters() if w.dim() > 1 and name.endswith("weight")]

    @contextlib.contextmanager
    def around_step(self, loss: Callable[[], Tensor], epoch: int) -> Iterator[None]:
        """Inside, the network's weights are w + v; the BatchNorm statistics do not see the pass that finds v."""
        if epoch <= self.settings["start_epoch"]:
            yield
            return
        weights, perturbation = self._perturbation(loss)
        with torch.no_grad():
            torch._foreach_add_(weights, perturbation)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_sub_(weights, perturbation)

    def _perturbation(self, loss: Callable[[], Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The weights that the loss reaches, and v of each."""
        statistics = [buffer.clone() for buffer in self.learner.buffers()]
        self.learner.zero_grad(set_to_none=True)
        loss().backward()
        self.processes.average_gradients(self.learner)
        for buffer, before in zip(self.learner.buffers(), statistics, strict=True):
            buffer.copy_(before)
        weights = [w for w in self.weights if w.grad is not None]
        gradients = [w.grad for w in weights]
        norms = (g.norm().clamp_min(torch.finfo(g.dtype).tiny) for g in gradients)
        gamma = self.settings["gamma"]
        found = [gamma * w.detach().norm() * g / norm for w, g, norm in zip(weights, gradients, norms, strict=True)]
        return weights, found
