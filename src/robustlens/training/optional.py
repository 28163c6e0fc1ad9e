"""The parts of a training that only some recipes ask for, loaded by name like a method.

Nothing imports their modules, so editing one changes the code digest of only those runs that use it. This module is
read by the workflow as well: it imports no torch.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from robustlens.learning.learner import Learner
    from robustlens.training.parallel import Processes


def modules(spec: dict) -> list[str]:
    """The dotted names of the optional modules that a run with this specification loads."""
    asked_for = {
        "averaging": spec["training"]["averaging"]["name"] != "none",
        "weight_perturbation": spec["training"]["weight_perturbation"]["name"] != "none",
        "selection": "leave_out" in spec,
    }
    return [_dotted(name) for name, asked in asked_for.items() if asked]


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


def _dotted(name: str) -> str:
    return f"robustlens.training.{name}"


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
