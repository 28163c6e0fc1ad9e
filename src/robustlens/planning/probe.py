"""A few seconds of the real work on this machine, to tell from them what all of it will take."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache

import torch

from robustlens.models.inference import InferenceModel
from robustlens.planning.dry_run import SOURCE, Job
from robustlens.planning.known import Known
from robustlens.planning.networks import INCEPTION, Network
from robustlens.planning.work import Work

# FLOPs that one timing may take: about a second of one core with a small network, or of a fast GPU.
BUDGET = {"cpu": 1e10, "cuda": 4e13}
SECONDS = 60.0  # of all trials of stages together
CALLS, MANY = 20, 256  # forward passes that a timing of calls needs at least, and images of its larger batch

IMPORTS = {
    "network": "import robustlens.training.run, robustlens.evaluation.run, robustlens.generation.features, torch; "
    "torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)",
    "table": "import robustlens.report.table, robustlens.report.figure",
}


@cache
def start_up(kind: str) -> float:
    """Seconds that a process of this kind takes to import what it needs."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS[kind]], env=os.environ | {"PYTHONPATH": str(SOURCE)}, check=True)
    return time.perf_counter() - started


@cache
def convolution_rate(device: torch.device) -> float:
    """FLOP/s of a float32 convolution: 3x3, 64 channels, 16 images of 32x32, a layer of ResNet-18."""
    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(device, memory_format=torch.channels_last)
    x = torch.zeros(16, 64, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        return 2 * 9 * 64 * 64 * 32 * 32 * 16 / fastest(lambda: layer(x), device)


def fastest(function: Callable[[], object], device: torch.device, seconds: float = 0.2) -> float:
    """Seconds of the fastest of several calls, after one to warm up."""
    function()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        _wait(device)
        started = time.perf_counter()
        function()
        _wait(device)
        times.append(time.perf_counter() - started)
    return min(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Probe:
    """Timings on one device; each is taken once, and no stage's trial (`planning/stages/__init__.py`) after SECONDS."""

    def __init__(self, device: torch.device, known: Known):
        self.device, self.known, self.budget = device, known, BUDGET[device.type]
        self.end = time.monotonic() + SECONDS
        self.trials: dict[tuple[str, Network, str], dict[str, float] | None] = {}
        self.calls: dict[Network, Callable[[float, bool], float] | None] = {}

    def seconds(self, job: Job, work: Work) -> float | None:
        """What the network's part of a job takes, or None where a timing would take too long."""
        if not work.calls:
            return 0.0
        return self._by_trial(job, work) if self.known.says(job, "trial") else self._by_calls(work)

    def _by_trial(self, job: Job, work: Work) -> float | None:
        """By the trial of the job's stage, which jobs share that differ only in the names of code, recipe and seed."""
        alike = {name: value for name, value in job.spec.items() if name not in ("code", "recipe", "seed")}
        key = (job.rule, work.network, json.dumps(alike, sort_keys=True))
        if key not in self.trials:
            self.trials[key] = self._trial(job) if time.monotonic() < self.end else self._other_trial(*key[:2])
        per_flop = self.trials[key]
        return sum(per_flop[name] * flops for name, flops in work.flops_by("name").items()) if per_flop else None

    def _trial(self, job: Job) -> dict[str, float] | None:
        return self.known.stage(job.rule).trial(job, self.known, self.device, self.budget)

    def _other_trial(self, rule: str, network: Network) -> dict[str, float] | None:
        """That of another job of the stage with the same network, because there is no time for one more."""
        alike = (per_flop for key, per_flop in self.trials.items() if key[:2] == (rule, network) and per_flop)
        return next(alike, None)

    def _by_calls(self, work: Work) -> float | None:
        network = work.network
        if network not in self.calls:
            small = network.architecture != INCEPTION and CALLS * network.flops < self.budget
            self.calls[network] = call_seconds(network, self.device, self.budget) if small else None
        seconds = self.calls[network]
        if seconds is None:
            return None
        return sum(
            calls.forwards * seconds(calls.batch, False) + calls.gradients * seconds(calls.batch, True) + calls.seconds
            for calls in work.calls
        )


def call_seconds(network: Network, device: torch.device, budget: float) -> Callable[[float, bool], float]:
    """Seconds of a call as a function of its batch and of what is asked for: a forward pass (False), or the gradient
    that follows one (True). A straight line through a batch of one image and one of many."""
    model = InferenceModel(network.build()).to(device)
    many = max(2, min(MANY, int(budget / (CALLS * network.flops))))
    measured = {}
    for batch in (1, many):
        x = torch.rand(batch, *network.shape, device=device)
        with torch.no_grad():
            forward = fastest(lambda x=x: model(x), device)
        x.requires_grad_(True)
        both = fastest(lambda x=x: torch.autograd.grad(model(x).sum(), x), device)
        measured[batch] = (forward, max(0.0, both - forward))

    def seconds(batch: float, gradient: bool) -> float:
        one, more = measured[1][gradient], measured[many][gradient]
        return one + max(0.0, more - one) * (batch - 1) / (many - 1)

    return seconds
