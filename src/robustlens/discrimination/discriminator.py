"""Discriminators that are trained to tell real images from generated ones while PGD moves both within a ball."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.discrimination.accuracy import attacked, balanced_accuracy
from robustlens.discrimination.adam import Adam
from robustlens.discrimination.sides import Sides
from robustlens.errors import RobustlensError
from robustlens.learning.learner import frozen
from robustlens.models.inference import InferenceModel
from robustlens.parameters import Numbers, OneOf, Positive, PositiveInt, PositiveInts
from robustlens.seeds import derive, generator
from robustlens.training.engine import Engine
from robustlens.training.loop import Loop
from robustlens.training.parallel import Processes
from robustlens.training.state import RunState

ENGINE = {"precision": "auto", "memory_format": "auto", "compile": "off"}


@dataclass(frozen=True)
class Discriminator:
    """Parameters of discriminators. For each number of steps, one is trained per radius, from 0 upwards, and each
    begins with the weights of the one before: at a large radius, fresh weights often stay at chance.

    norm: of the balls. epsilons: their radii, ascending from 0, in units of the [0, 1] pixel range.
    steps: of training at each radius. Accuracies are not converged: they rise with it, and not alike for all
        generators, so that there should be two numbers.
    batch_size: real images in a batch, and as many generated ones.
    learning_rate: of Adam's first step at each radius; it falls in a line to 0.
    attack_steps, validation_steps, test_steps: of PGD, in training, where discriminators are chosen, and in the end.
    """

    norm: OneOf("l2", "linf")
    epsilons: Numbers
    steps: PositiveInts = (130, 400)
    batch_size: PositiveInt = 128
    learning_rate: Positive = 0.002
    attack_steps: PositiveInt = 7
    validation_steps: PositiveInt = 10
    test_steps: PositiveInt = 20

    def __post_init__(self):
        ascending = all(smaller < larger for smaller, larger in zip(self.epsilons, self.epsilons[1:], strict=False))
        if self.epsilons[0] != 0 or len(self.epsilons) < 2 or not ascending:
            raise RobustlensError(
                f"discriminator.epsilons: must be two or more radii, ascending from 0, got {list(self.epsilons)}"
            )
        if len(set(self.steps)) < len(self.steps):
            raise RobustlensError(f"discriminator.steps: names a number twice, got {list(self.steps)}; take one out")


class Training:
    """The discriminators of these radii, one after another, as a task of the training loop, in which each is an epoch.

    steps: at each radius. build: gives a network with fresh weights, from images (B, C, H, W) to logits (B, 2).
    start_from: weights that the first discriminator begins with; None: fresh ones, which follow from the seed.
    finished: the weights of those that are trained, on the CPU. measured: of each of them, the balanced accuracy on the
    validation images at every radius.
    Raises RobustlensError for a side with fewer training images than it has in a batch.
    """

    def __init__(
        self,
        settings: Discriminator,
        epsilons: Sequence[float],
        steps: int,
        parts: dict[str, Sides],
        build: Callable[[], nn.Module],
        seed: int,
        start_from: dict[str, Tensor] | None = None,
    ):
        self.settings, self.epsilons, self.steps, self.seed = settings, epsilons, steps, seed
        self.train, self.validation = parts["train"], parts["validation"]
        self.device, self.images = self.train.real.device, steps * settings.batch_size  # drawn of each side, per radius
        if steps < 1:
            raise RobustlensError(f"discriminator.steps: must be above 0, got {steps}")
        for side, images in self.train._asdict().items():
            if len(images) < settings.batch_size:
                raise RobustlensError(
                    f"discriminator.batch_size: a batch has {settings.batch_size} {side} images, and there are only "
                    f"{len(images)} to train on; lower it, or take more {side} images"
                )
        self.orders = [
            torch.randperm(len(images), generator=generator(seed, "order", side)).to(self.device)
            for side, images in self.train._asdict().items()
        ]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "weights"))
            network = build()
        if start_from is not None:
            network.load_state_dict(start_from)
        engine = Engine.choose(ENGINE, self.device, network)
        self.network = engine.place(network, self.device)
        self.run = engine.fast(self.network)
        self.adam = Adam(self.network)
        self.y = torch.arange(len(self.train), device=self.device).repeat_interleave(settings.batch_size)
        self.finished: list[dict[str, Tensor]] = []
        self.measured: list[list[float]] = []

    def before_epoch(self, epoch: int) -> None:
        self.adam = Adam(self.network)

    def step(self, batch: Tensor, epoch: int, number: int) -> None:
        """batch: draws at this radius, from 0. Those of all radii together go through the images of each side, in one
        random order, again and again."""
        draws = batch + (epoch - 1) * self.images
        x = torch.cat(
            [images.batch(order[draws % len(images)]) for images, order in zip(self.train, self.orders, strict=True)]
        )
        noise = generator(self.seed, "attack", number, device=self.device)
        self.network.eval()
        with frozen(self.network):
            x = attacked(
                self.run, x, self.y, self.settings.norm, self.epsilons[epoch - 1], self.settings.attack_steps, noise
            )
        self.network.train()
        loss = F.cross_entropy(self.run(x), self.y)
        left = 1 - number % self.steps / self.steps
        self.adam.step(torch.autograd.grad(loss, [*self.network.parameters()]), self.settings.learning_rate * left)

    def after_epoch(self, epoch: int) -> dict[str, Any]:
        epsilon = self.epsilons[epoch - 1]
        if not all(tensor.isfinite().all() for tensor in self.network.state_dict().values()):
            raise RobustlensError(
                f"the discriminator of radius {epsilon} has weights that are not finite; lower its `learning_rate` "
                f"(now {self.settings.learning_rate})"
            )
        model = InferenceModel(self.network)
        self.measured.append(
            [
                balanced_accuracy(
                    model, self.validation, self.settings.norm, radius, self.settings.validation_steps, self.seed
                )
                for radius in self.epsilons
            ]
        )
        weights = self.network.state_dict()
        self.finished.append({name: t.detach().to("cpu", copy=True) for name, t in weights.items()})
        return {"epsilon": epsilon, "accuracy": self.measured[-1][epoch - 1]}

    def tensors(self) -> dict[str, Tensor]:
        states = {"network": self.network.state_dict(), "adam": self.adam.state} | {
            str(number): weights for number, weights in enumerate(self.finished)
        }
        return {f"{part}.{name}": tensor for part, state in states.items() for name, tensor in state.items()}

    def record(self) -> dict[str, Any]:
        return {"measured": self.measured}

    def load(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        states: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            part, _, name = key.partition(".")
            states.setdefault(part, {})[name] = tensor
        self.network.load_state_dict(states["network"])
        self.adam.resume(states["adam"])
        self.measured = record["measured"]
        self.finished = [states[str(number)] for number in range(len(self.measured))]


def train(
    training: Training,
    state: RunState,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[int, int, dict], None] = lambda *_: None,
) -> list[dict[str, Tensor]]:
    """Train to the end, or go on where the state ends, with the same weights either way: those of each radius.

    state: `RunState`, or another object with its `load` and `save`; it holds the finished discriminators and the one
    that is being trained. stop, report: see `training.loop.Loop`; reported are the radius and the balanced accuracy.
    Raises `training.loop.Interrupted` when asked to stop.
    """
    processes = Processes(training.device)
    batch_size, radii = training.settings.batch_size, len(training.epsilons)
    Loop(training, radii, batch_size, training.seed, state, processes, stop, report).run()
    return training.finished
