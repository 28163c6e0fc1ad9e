"""How many passes through the network an attack or a training step makes: counted, not listed.

The attack or method itself is run on a stand-in network that counts and costs nothing, so that a new one is planned
correctly from the day its file is written. In units of a forward pass (F), a forward is 1 F, the gradient of an input
another 1 F, and that of all parameters and activations 2 F more than the forward
(research/training-and-evaluation-peers.md, 2.1).
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustlens.attacks.threat import Threat
from robustlens.configuration.precision import SEARCHES
from robustlens.learning.learner import Learner
from robustlens.learning.method import batch_of
from robustlens.parameters import create

SHAPE = (1, 4, 4)
CHANNELS = 8  # of a layer's map
NOWHERE = Threat("linf", epsilon=1e-6, step_size=1e-7)  # so small a ball that no image is ever fooled
# Attacks' costs are linear in these parameters; more than FEW steps are extrapolated from FEW and twice FEW.
BUDGETS, FEW = ("steps", "queries"), 10
# The standard version of AutoAttack (attacks/autoattack.py) as the attacks that it consists of.
AUTOATTACK = (
    ("apgd", {"loss": "ce", "steps": 100}),
    ("apgd-t", {"steps": 100}),
    ("fab", {"targeted": True, "steps": 100}),
    ("square", {"queries": 5000}),
)


@dataclass(frozen=True)
class Passes:
    """Of one image: forward passes and input gradients. seconds: what the attack's own code takes around them, on the
    machine where they were counted. Square takes less where few images are left, because its queries share passes."""

    forwards: float
    gradients: float
    seconds: float = 0.0

    def __add__(self, other: "Passes") -> "Passes":
        return Passes(self.forwards + other.forwards, self.gradients + other.gradients, self.seconds + other.seconds)

    def __mul__(self, times: float) -> "Passes":
        return Passes(self.forwards * times, self.gradients * times, self.seconds * times)


class CountingNetwork(nn.Module):
    """A linear classifier that counts the images that pass forward, those of them that are only looked at (their logits
    have no gradient), and those that get a gradient. Whichever layer it is asked for by name, it has one, whose output
    is a map (B, CHANNELS, 1, 1)."""

    at_once = 1  # pixel value, so that Square makes its queries one by one: none is in vain, each is counted once

    def __init__(self, classes: int, device: torch.device | str = "cpu"):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.linear = nn.Linear(SHAPE[0] * SHAPE[1] * SHAPE[2], classes, device=device)
        with torch.no_grad():
            self.linear.weight.copy_(torch.randn(self.linear.weight.shape, generator=generator))
        self.layers = nn.ModuleDict()
        self.forwards = self.looks = self.gradients = 0

    def get_submodule(self, target: str) -> nn.Module:
        name = target.replace(".", "-")
        if name not in self.layers:
            self.layers[name] = nn.BatchNorm2d(CHANNELS)
        return self.layers[name]

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        if x.requires_grad:
            x = x.view_as(x)
            x.register_hook(self._gradient)
        for layer in self.layers.values():
            layer(x.flatten(1)[:, :CHANNELS, None, None].float())
        logits = self.linear(self.features(x))
        self.looks += 0 if logits.requires_grad else len(x)
        return logits

    def _gradient(self, gradient: Tensor) -> None:
        self.gradients += len(gradient)

    def read(self) -> tuple[int, int]:
        """Forwards and gradients since the last reading."""
        counted = self.forwards, self.gradients
        self.forwards = self.looks = self.gradients = 0
        return counted


def attack_passes(
    family: str, parameters: dict, classes: int, robust: bool = True, device: torch.device | str = "cpu"
) -> Passes:
    """An evaluation attack on an image that it can't fool, or on one that is misclassified from the start. A search in
    bfloat16 is counted in float32, which every machine has that plans; the few looks at what it found are left out."""
    family = SEARCHES.get(family, family)
    if family == "autoattack":
        parts = (attack_passes(*part, classes, robust, device) for part in AUTOATTACK)
        return sum(parts, Passes(0, 0)) if robust else Passes(1, 0)
    budget = next((name for name in BUDGETS if parameters.get(name, 0) > 2 * FEW), None)
    few, more = (  # also without a budget: the first one may have to import something, the second one is timed
        _counted(create("attacks", family, parameters | ({budget: steps} if budget else {})), classes, robust, device)
        for steps in (FEW, 2 * FEW)
    )
    if budget is None:
        return more
    times = parameters[budget] / FEW
    return Passes(
        forwards=few.forwards + (more.forwards - few.forwards) * (times - 1),
        gradients=few.gradients + (more.gradients - few.gradients) * (times - 1),
        seconds=more.seconds * times / 2,
    )


def training_passes(method: str, parameters: dict, attack_steps: int) -> tuple[Passes, float]:
    """A training step: its attack, and how many forward passes its loss makes with a gradient of the parameters; one
    without, such as a look of a given network, is a third of that. Passes of what is trained beside the classifier, or
    given, count as the classifier's."""
    chosen = create("methods", method, parameters)
    attack, built = chosen.attack(attack_steps), []

    def build(part: str | None = None) -> CountingNetwork:
        built.append(CountingNetwork(10))
        return built[-1]

    network = chosen.network(build)
    parts = chosen.parts(network, build)
    learner = Learner(network, parts, chosen.memory(10), {name: build() for name in chosen.GIVEN})
    x, y = _images(network, 2, "cpu")  # BatchNorm needs more than one
    for one in built:
        one.read()
    found = attack(learner, x, y, NOWHERE, torch.Generator().manual_seed(0)) if attack else x
    passes = sum((Passes(*one.read()) for one in built), Passes(0, 0))
    chosen.loss(learner, batch_of(x, y, found, epoch=1))
    losses = sum(one.forwards - one.looks + one.looks / 3 for one in built)
    return passes * (1 / len(x)), losses / len(x)


def _counted(attack: object, classes: int, robust: bool, device: torch.device | str) -> Passes:
    network, x, y = _example(classes, robust, device)
    network.eval().requires_grad_(False)
    started = time.perf_counter()
    attack(network, x, y, NOWHERE, torch.Generator(device).manual_seed(0))
    seconds = time.perf_counter() - started
    return Passes(*network.read(), seconds)


def _example(classes: int, robust: bool, device: torch.device | str) -> tuple[CountingNetwork, Tensor, Tensor]:
    network = CountingNetwork(classes, device)
    x, y = _images(network, 1, device)
    network.read()
    return network, x, y if robust else (y + 1) % classes


def _images(network: nn.Module, count: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """And their labels, which the network gives them."""
    x = torch.full((count, *SHAPE), 0.5, device=device)
    with torch.no_grad():
        return x, network(x).argmax(1)
