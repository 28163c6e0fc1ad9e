"""What the denoiser of a diffusion model costs, and how long its steps take."""

import json
import time
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from robustlens.generators.ddpm import DDPM
from robustlens.generators.work import Work as Fitting
from robustlens.planning.dry_run import Job
from robustlens.planning.networks import Network
from robustlens.planning.work import Calls, Work

FAMILY = "ddpm"


class Denoiser(Network):
    """architecture: the JSON text of the generator's parameters."""

    def build(self, device: torch.device | str = "cpu") -> nn.Module:
        settings = DDPM(**json.loads(self.architecture))
        with torch.device(device):
            return _OfImages(settings.network(self.shape, self.classes), self.classes)


class _OfImages(nn.Module):
    """A denoiser as a network of images alone."""

    def __init__(self, network: nn.Module, classes: int):
        super().__init__()
        self.network, self.classes = network, classes
        self.linear = SimpleNamespace(in_features=0)  # it has no penultimate features

    def forward(self, x: Tensor) -> Tensor:
        level = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return self.network(x, level, level if self.classes else None)


def work(job: Job, shape: tuple[int, int, int], classes: int, name: str, batch: float, passes: int) -> Work | None:
    """passes: of such a batch, forward for `sampling`, and with the gradient of the weights for `denoising`. None for
    another generator than a DDPM."""
    if job.spec["generator"]["family"] != FAMILY:
        return None
    parameters = job.spec["generator"]["parameters"]
    known_classes = classes if parameters["conditional"] else 0
    network = Denoiser(json.dumps(parameters, sort_keys=True), shape, known_classes)
    trained = name == "denoising"
    return Work(network, (Calls(name, batch, forwards=0 if trained else passes, trained=passes if trained else 0),))


def trial(network: Denoiser, name: str, device: torch.device, budget: float) -> dict[str, float] | None:
    """Seconds per FLOP of the steps of a fit, or of the steps of sampling, on random images; None where one step takes
    more than the budget."""
    parameters = json.loads(network.architecture)
    batch, random = parameters["batch_size"], np.random.default_rng(0)
    per_step = network.flops * batch * (3 if name == "denoising" else 1)
    steps = min(50, int(budget / per_step) - 1)
    if steps < 1:
        return None
    classes = max(1, network.classes)
    pixels = random.random((max(batch, classes), *network.shape), dtype=np.float32)
    labels = np.arange(len(pixels)) % classes

    def fitted(count: int) -> tuple[object, float]:
        started = time.perf_counter()
        generator = DDPM(**parameters | {"steps": count, "sampling_steps": steps, "levels": 1000})
        return generator.fit(pixels, labels, classes, random, Fitting(device)), time.perf_counter() - started

    generator, first = fitted(1)
    if name == "denoising":
        return {name: max(1e-9, fitted(1 + steps)[1] - first) / (steps * per_step)}
    started = time.perf_counter()
    generator.sample(0 if network.classes else None, batch, random)
    return {name: (time.perf_counter() - started) / (steps * per_step)}
