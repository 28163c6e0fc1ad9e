"""What a training method is: the functions that the training loop calls, all but the loss with a default that does
nothing special.

Methods are frozen dataclasses, whose fields are their parameters: whatever changes during a training is a parameter or
a buffer of the `Learner`, whose state is saved.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from robustlens.attacks.threat import Threat
from robustlens.learning.learner import Learner
from robustlens.learning.statistics import ClassStatistics

Attack = Callable[[Learner, Tensor, Tensor, Threat, object], "Tensor | Attacked"]
Build = Callable[..., nn.Module]


@dataclass(frozen=True)
class Attacked:
    """What an attack returns that finds more than adversarial images.

    x_adv: (B, C, H, W). x: what the loss takes for the natural images instead of them; None: these themselves. found:
    numbers of each image by name, (B, ...).
    """

    x_adv: Tensor
    x: Tensor | None = None
    found: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """One batch, or where several processes train together this one's part of it.

    x, x_adv: natural, augmented images and what the attack made of them (x itself without an attack), float32
    (B, C, H, W) in [0, 1]. y: labels, int64 (B,). epoch: counted from 1. found: what else the attack found. real: so
    many of the images, the first ones, are of the training split; None: all of them. The others are generated.
    """

    x: Tensor
    x_adv: Tensor
    y: Tensor
    epoch: int
    found: Mapping[str, Tensor] = field(default_factory=dict)
    real: int | None = None
    _mean: Callable[[Tensor], Tensor] = Tensor.mean

    def mean(self, values: Tensor) -> Tensor:
        """The mean of numbers (B,) over the whole batch, in all processes, without gradient."""
        return self._mean(values.detach())


def batch_of(
    x: Tensor,
    y: Tensor,
    attacked: "Tensor | Attacked",
    epoch: int,
    real: int | None = None,
    mean: Callable[[Tensor], Tensor] = Tensor.mean,
) -> Batch:
    """The batch of natural images and of what an attack returned for them."""
    if not isinstance(attacked, Attacked):
        attacked = Attacked(attacked)
    return Batch(x if attacked.x is None else attacked.x, attacked.x_adv, y, epoch, attacked.found, real, mean)


@dataclass(frozen=True)
class Epoch:
    """What hooks between epochs are offered; the same in every process.

    number: of the epoch that begins, or has ended, counted from 1. threat: that the run trains under. random: the
    generator of all random numbers that a hook draws, on the learner's device.
    statistics: of the natural ("natural") and the adversarial ("adversarial") training images, by the passes of the
    losses in the last finished epoch; empty before the first one. A total is 0 where the loss looked at none of these,
    or only at copies, such as `torch.cat([x, x_adv])`.
    train, validation: batches of images (B, C, H, W) in [0, 1] with their labels (B,), in the order of the split.
    augmented: batches as the epoch that begins has them, in a shuffled order and augmented.
    """

    number: int
    threat: Threat
    random: torch.Generator
    statistics: Mapping[str, ClassStatistics]
    train: Callable[[], Iterator[tuple[Tensor, Tensor]]]
    validation: Callable[[], Iterator[tuple[Tensor, Tensor]]]
    augmented: Callable[[], Iterator[tuple[Tensor, Tensor]]]


class Method(ABC):
    """A training method. `loss` is what it must define.

    GIVEN: names of the frozen networks of other runs that it needs. PARTS: of the networks of other architectures that
    it trains. The recipe says which they are. ALSO: of the further classifiers that it deploys. HEAD: the file of
    `heads/` that its classifier needs, if it needs one.
    """

    GIVEN: ClassVar[tuple[str, ...]] = ()
    PARTS: ClassVar[tuple[str, ...]] = ()
    ALSO: ClassVar[tuple[str, ...]] = ()
    HEAD: ClassVar[str | None] = None

    def network(self, build: Build) -> nn.Module:
        """The classifier that is trained. build(): one of the run's architecture with fresh weights."""
        return build()

    def deployed(self, learner: Learner) -> nn.Module:
        """The ordinary classifier that is tracked, saved and evaluated; it may share tensors with the learner. Where
        weights are averaged, the learner's network is the average."""
        return learner.network

    def also_deployed(self, learner: Learner) -> dict[str, nn.Module]:
        """Further ordinary classifiers of the run's architecture, by the names in ALSO. They are saved where `deployed`
        is, in `checkpoints.safetensors` as `best-<name>.<tensor>`, and may share tensors with the learner."""
        return {}

    def parts(self, network: nn.Module, build: Build) -> dict[str, nn.Module]:
        """What is trained together with the classifier, by name. build(): another network of the run's architecture;
        build(name): one of the architecture that the recipe has for this name of PARTS."""
        return {}

    def memory(self, classes: int) -> nn.Module:
        """Numbers that the method keeps, as buffers of a module."""
        return nn.Module()

    def attack(self, steps: int) -> Attack | None:
        """What makes the adversarial images of a batch, in so many steps; None: natural images are trained on."""
        return None

    def threat(self, threat: Threat, y: Tensor, whole: Tensor, memory: nn.Module) -> Threat:
        """The threat that images of these classes (B,) are attacked under in training; its epsilon and step size may be
        one per image, (B,). Tracking and evaluations keep to the run's own. whole: the classes of the whole batch, of
        which this process has a part."""
        return threat

    def before_epoch(self, learner: Learner, epoch: Epoch) -> None:  # noqa: B027 - optional
        """Called before the first step of every epoch."""

    def after_step(self, learner: Learner, batch: Batch) -> None:  # noqa: B027 - optional
        """Called after every step of the optimiser."""

    def after_epoch(self, learner: Learner, epoch: Epoch) -> None:  # noqa: B027 - optional
        """Called after the last step of every epoch, before the network is measured."""

    @abstractmethod
    def loss(self, learner: Learner, batch: Batch) -> Tensor | dict[str, Tensor]:
        """One number per image (B,), or such terms by name, whose sum is descended."""
