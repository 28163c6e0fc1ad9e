"""What a fit that takes long may use: a device, a place for unfinished work, and somebody who asks and is told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor


class State(Protocol):
    """Where unfinished work is kept; `training.state.RunState` is one."""

    def load(self) -> tuple[dict[str, Tensor], dict] | None: ...

    def save(self, tensors: dict[str, Tensor], record: dict) -> None: ...


class Forgotten:
    """Nothing is kept."""

    folder = None

    def load(self) -> None:
        return None

    def save(self, tensors: dict[str, Tensor], record: dict) -> None:
        pass


def _untold(_done: int, _total: int, _facts: dict[str, Any]) -> None:
    pass


@dataclass(frozen=True)
class Work:
    """stop: asked after every step; where it says True, the work is kept and `training.loop.Interrupted` raised.
    report: called with the parts that are done, their number, and what there is to say of the last one."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    state: State = field(default_factory=Forgotten)
    stop: Callable[[], bool] = lambda: False
    report: Callable[[int, int, dict[str, Any]], None] = _untold
