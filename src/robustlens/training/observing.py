"""The observers of a training: called without a trace in it, and what they have seen."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
import torch._functorch.config
from torch import Tensor, nn

from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Epoch
from robustlens.learning.observer import Step
from robustlens.parameters import create
from robustlens.seeds import generator
from robustlens.training.parallel import Processes


class Observing:
    """settings: a recipe's `observers`, the parameters of each by its name."""

    def __init__(self, settings: Mapping[str, dict], learner: Learner, processes: Processes, seed: int):
        self.observers = {name: create("observers", name, parameters) for name, parameters in settings.items()}
        self.learner, self.processes, self.seed = learner, processes, seed
        self.statistics: dict[tuple[str, str], int] = {}  # observer and what it calls the statistic: its number
        self.found: list[list[float]] = []  # epoch, step, number of the statistic, value
        self.memory: dict[str, dict[str, Tensor]] = {name: {} for name in self.observers}
        # For the whole process: a gradient of a compiled network would otherwise free what the loss's own one needs.
        torch._functorch.config.donated_buffer = False

    def of_step(self, batch: Batch, terms: Mapping[str, Tensor], weights: Tensor, number: int) -> None:
        """terms: losses (B,) by name; weights: of the images in their sums. number: of steps done before, over all
        epochs; the rows count from 1."""
        due = {name: observer for name, observer in self.observers.items() if number % observer.every == 0}
        if not due:
            return
        step = Step(self.learner, batch, {name: losses * weights for name, losses in terms.items()}, self._gradients)
        for name, observer in due.items():
            with undisturbed(self.learner, self.processes.device):
                found = observer.of_step(step, self.memory[name])
            self._add(batch.epoch, number + 1, name, found, self._mean)
            self._keep(name)

    def of_epoch(self, epoch: Epoch) -> None:
        for name, observer in self.observers.items():
            random = generator(self.seed, "observer", name, epoch.number, device=self.processes.device)
            with undisturbed(self.learner, self.processes.device):
                found = observer.of_epoch(self.learner, replace(epoch, random=random), self.memory[name])
            self._add(epoch.number, 0, name, found, lambda values: values)
            self._keep(name)

    def _add(self, epoch: int, step: int, name: str, found: Mapping, shared: Callable[[Tensor], Tensor]) -> None:
        if found:
            values = torch.stack([torch.as_tensor(v, dtype=torch.float64).detach().cpu() for v in found.values()])
            values = shared(values.to(self.processes.device)).tolist()
            numbers = [self.statistics.setdefault((name, key), len(self.statistics)) for key in found]
            self.found += [[epoch, step, number, v] for number, v in zip(numbers, values, strict=True)]

    def _keep(self, name: str) -> None:
        """What it remembers is a copy, and on the device, as after a resumption."""
        kept = self.memory[name].items()
        self.memory[name] = {key: tensor.detach().to(self.processes.device, copy=True) for key, tensor in kept}

    def _mean(self, values: Tensor) -> Tensor:
        return self.processes.sum(values) / self.processes.count

    def _gradients(self, term: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor | None]:
        wanted = [number for number, p in enumerate(parameters) if p.requires_grad] if term.requires_grad else []
        found: list[Tensor | None] = [None] * len(parameters)
        if wanted:
            of = [parameters[number] for number in wanted]
            for number, g in zip(
                wanted, torch.autograd.grad(term.sum(), of, None, True, allow_unused=True), strict=True
            ):
                found[number] = g
        return self.processes.averaged(found, parameters)

    @property
    def rows(self) -> list[list]:
        """epoch, step (0: of the epoch as a whole), observer, statistic and value, as `result.statistics_table` has
        them."""
        names = list(self.statistics)
        return [[int(epoch), int(step), *names[int(number)], value] for epoch, step, number, value in self.found]

    # State ----------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        found = torch.tensor(self.found, dtype=torch.float64).reshape(-1, 4)
        memory = {f"memory.{name}.{key}": t for name, kept in self.memory.items() for key, t in kept.items()}
        return {"found": found, **memory}

    def record(self) -> list[list[str]]:
        return [list(names) for names in self.statistics]

    def load(self, state: Mapping[str, Tensor], record: list[list[str]]) -> None:
        self.statistics = {tuple(names): number for number, names in enumerate(record)}
        self.found, self.memory = state["found"].tolist(), {name: {} for name in self.observers}
        for place, tensor in state.items():
            if place.startswith("memory."):
                _, name, key = place.split(".", 2)
                self.memory[name][key] = tensor


@contextlib.contextmanager
def undisturbed(learner: Learner, device: torch.device) -> Iterator[None]:
    """Inside, whatever passes are made, afterwards buffers, gradients, modes and PyTorch's random numbers are as
    before."""
    buffers = [(buffer, buffer.clone()) for buffer in learner.buffers()]
    modes = [(module, module.training) for module in learner.modules()]
    gradients = [(parameter, parameter.grad) for parameter in learner.parameters()]
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        for buffer, before in buffers:
            buffer.data.copy_(before)  # unseen by the gradient of the loss, which needs none of them
        for parameter, before in gradients:
            parameter.grad = before
        for module, training in modes:
            module.training = training
