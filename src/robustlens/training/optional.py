"""The parts of a training that only some recipes ask for, loaded by name like a method.

Nothing imports their modules, so editing one changes the code digest of only those runs that use it. This module is
read by the workflow as well: it imports no torch.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from robustlens.data.prepared import Split
    from robustlens.learning.learner import Learner
    from robustlens.learning.method import Batch, Epoch
    from robustlens.training.images import Images
    from robustlens.training.parallel import Processes


def modules(spec: dict) -> list[str]:
    """The dotted names of the optional modules that a run with this specification loads."""
    asked_for = {
        "averaging": spec["training"]["averaging"]["name"] != "none",
        "weight_perturbation": spec["training"]["weight_perturbation"]["name"] != "none",
        "leave_out": "leave_out" in spec,
        "mixture": "mix" in spec,
        "observing": "observers" in spec,
    }
    observers = [f"robustlens.observers.{name.replace('-', '_')}" for name in spec.get("observers", {})]
    return [*(_dotted(name) for name, asked in asked_for.items() if asked), *observers]


def other_runs(settings: Mapping[str, Any]) -> dict[str, dict]:
    """The runs whose weights a training reads, in the order of `--others`: "start_from", and the given ones by their
    names. settings: of a recipe, or a specification."""
    start = {"start_from": settings["start_from"]} if "start_from" in settings else {}
    return start | dict(sorted(settings.get("given", {}).items()))


def load(name: str, spec: dict) -> ModuleType | None:
    """The optional module of that name, or None if the run does not use it."""
    return importlib.import_module(_dotted(name)) if _dotted(name) in modules(spec) else None


def averaging(spec: dict, network: nn.Module) -> Any:
    """The average of the network's weights that the run asks for: an `Averaging`, or the same methods without one."""
    module = load("averaging", spec)
    return module.Averaging(spec["training"]["averaging"], network) if module else NoAveraging()


def perturbation(spec: dict, learner: Learner, processes: Processes) -> Any:
    """What the run does around each step: a `WeightPerturbation`, or nothing."""
    module, settings = load("weight_perturbation", spec), spec["training"]["weight_perturbation"]
    return module.WeightPerturbation(settings, learner, processes) if module else NoPerturbation()


def mixture(spec: dict, pool: Split | None, images: int, processes: Processes) -> Any:
    """What the run's batches are made of: a `Mixture` of so many real images and a pool, or the real images alone."""
    module = load("mixture", spec)
    settings = spec.get("mix"), pool, spec["training"]["batch_size"], images, spec["seed"], processes
    return module.Mixture(*settings) if module else NoMixture()


def observing(spec: dict, learner: Learner, processes: Processes) -> Any:
    """What observes the run: an `Observing`, or nothing."""
    module = load("observing", spec)
    return module.Observing(spec["observers"], learner, processes, spec["seed"]) if module else NoObserving()


def _dotted(name: str) -> str:
    return f"robustlens.training.{name}"


@dataclass(frozen=True)
class Part:
    """A part of a batch: the images at positions `where` (in all processes), their weight beside the other part's,
    whether they are augmented, and whether they are training images of the dataset."""

    images: Images
    where: Tensor
    weight: float
    augmented: bool
    real: bool


class NoAveraging:
    """In place of `averaging.Averaging`: the network itself is what is tracked and kept."""

    name = "none"

    def after_step(self, network: nn.Module, epoch: int, step: int) -> None:
        pass

    def followed(self, network: nn.Module) -> nn.Module:
        return network

    def final(self, network: nn.Module) -> nn.Module:
        return network

    def state(self) -> dict[str, Tensor]:
        return {}

    def load(self, state: dict[str, Tensor]) -> None:
        pass


class NoPerturbation:
    """In place of `weight_perturbation.WeightPerturbation`: every step is taken at the weights themselves."""

    def around_step(self, loss: Callable[[], Tensor], epoch: int) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class NoMixture:
    """In place of `mixture.Mixture`: every image of a batch is a training image of the dataset."""

    def parts(self, train: Images, batch: Tensor, number: int) -> list[Part]:
        return [Part(train, batch, 1.0, augmented=True, real=True)]


class NoObserving:
    """In place of `observing.Observing`: nothing is looked at."""

    rows: tuple = ()

    def of_step(self, batch: Batch, terms: Mapping[str, Tensor], weights: Tensor, number: int) -> None:
        pass

    def of_epoch(self, epoch: Epoch) -> None:
        pass

    def state(self) -> dict[str, Tensor]:
        return {}

    def record(self) -> list[list[str]]:
        return []

    def load(self, state: dict[str, Tensor], record: list[list[str]]) -> None:
        pass
