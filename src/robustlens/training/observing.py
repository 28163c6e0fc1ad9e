"""The observers of a training: called without a trace in it, and what they have seen."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Epoch
from robustlens.learning.observer import Step
from robustlens.parameters import create
from robustlens.training.parallel import Processes


class Observing:
    """settings: a recipe's `observers`, the parameters of each by its name. rows: epoch, step (0: of the epoch as a
    whole), observer, statistic and value, as `result.statistics_table` has them."""

    def __init__(self, settings: Mapping[str, dict], learner: Learner, processes: Processes):
        self.observers = {name: create("observers", name, parameters) for name, parameters in settings.items()}
        self.learner, self.processes = learner, processes
        self.rows: list[list] = []
        self.memory: dict[str, dict[str, Tensor]] = {name: {} for name in self.observers}

    def of_step(self, batch: Batch, terms: Mapping[str, Tensor], weights: Tensor, number: int) -> None:
        """terms: losses (B,) by name; weights: of the images in their sums. number: of steps done before, over all
        epochs; the rows count from 1."""
        due = {name: observer for name, observer in self.observers.items() if number % observer.every == 0}
        if not due:
            return
        step = Step(self.learner, batch, {name: losses * weights for name, losses in terms.items()}, self._gradients)
        for name, observer in due.items():
            with undisturbed(self.learner):
                found = observer.of_step(step, self.memory[name])
            self._add(batch.epoch, number + 1, name, found, self._mean)

    def of_epoch(self, epoch: Epoch) -> None:
        for name, observer in self.observers.items():
            with undisturbed(self.learner):
                found = observer.of_epoch(self.learner, epoch, self.memory[name])
            self._add(epoch.number, 0, name, found, lambda values: values)

    def _add(self, epoch: int, step: int, name: str, found: Mapping, shared: Callable[[Tensor], Tensor]) -> None:
        if found:
            values = torch.stack([torch.as_tensor(v, dtype=torch.float64).detach().cpu() for v in found.values()])
            values = shared(values.to(self.processes.device)).tolist()
            self.rows += [[epoch, step, name, key, v] for key, v in zip(found, values, strict=True)]

    def _mean(self, values: Tensor) -> Tensor:
        return self.processes.sum(values) / self.processes.count

    def _gradients(self, term: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor | None]:
        if not term.requires_grad:
            return [None] * len(parameters)
        found = torch.autograd.grad(term.sum(), parameters, retain_graph=True, allow_unused=True)
        return [None if g is None else self._mean(g) for g in found]

    # State ----------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        return {f"{name}.{key}": t for name, kept in self.memory.items() for key, t in kept.items()}

    def load(self, state: Mapping[str, Tensor], rows: list[list]) -> None:
        self.rows, self.memory = rows, {name: {} for name in self.observers}
        for key, tensor in state.items():
            name, _, kept = key.partition(".")
            self.memory[name][kept] = tensor


@contextlib.contextmanager
def undisturbed(learner: Learner) -> Iterator[None]:
    """Inside, whatever passes are made, afterwards buffers, gradients, modes and PyTorch's random numbers are as
    before."""
    buffers = [(buffer, buffer.clone()) for buffer in learner.buffers()]
    modes = [(module, module.training) for module in learner.modules()]
    gradients = [(parameter, parameter.grad) for parameter in learner.parameters()]
    for parameter, _ in gradients:
        parameter.grad = None
    devices = {buffer.device for buffer, _ in buffers if buffer.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        for buffer, before in buffers:
            buffer.data.copy_(before)  # unseen by the gradient of the loss, which needs none of them
        for parameter, before in gradients:
            parameter.grad = before
        for module, training in modes:
            module.training = training
