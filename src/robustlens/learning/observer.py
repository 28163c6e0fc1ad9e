"""Observers: extra statistics of a training, which a recipe names and `statistics.parquet` holds.

An observer is a frozen dataclass, whose fields are its parameters. It changes nothing: a training has the same bytes
with and without it.
"""

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Epoch

Statistics = Mapping[str, "Tensor | float"]


@dataclass(frozen=True)
class Step:
    """A step of the training, between the loss and the gradient of it.

    terms: the losses (B,) of the images by name (`loss` where the method has but one), weighted so that the sum of all
    of them, averaged over the processes, is what is descended.
    gradients(term, parameters): of the sum of one of them, over the whole batch in all processes; None where it does
    not reach a parameter.
    """

    learner: Learner
    batch: Batch
    terms: Mapping[str, Tensor]
    gradients: Callable[[Tensor, Sequence[nn.Parameter]], list[Tensor | None]]


class Observer(ABC):  # noqa: B024 - both functions are optional
    """What both functions return are numbers by name; of a step, each is averaged over the processes.

    every: at the first step of all, and then every so many steps, the step is observed.
    memory, of both functions: tensors that the observer keeps from one call to the next, by name. Of several processes
    the first one's are saved, so they should be the same in all, as gradients and what `of_epoch` sees are.
    """

    every: int = 1

    def of_step(self, step: Step, memory: dict[str, Tensor]) -> Statistics:
        return {}

    def of_epoch(self, learner: Learner, epoch: Epoch, memory: dict[str, Tensor]) -> Statistics:
        """After the last step of an epoch and the method's own `after_epoch`."""
        return {}
