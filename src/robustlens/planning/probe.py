"""A few seconds of the real work on this machine, to tell from them what all of it will take."""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from robustlens.data.prepared import PreparedDataset, Split
from robustlens.models.inference import InferenceModel
from robustlens.planning.datasets import Dataset
from robustlens.planning.dry_run import SOURCE, Job
from robustlens.planning.networks import INCEPTION, Network
from robustlens.planning.work import Work, WorkOf
from robustlens.training.loop import Training
from robustlens.training.state import RunState

# FLOPs that one timing may take: about a second of one core with a small network, or of a fast GPU.
BUDGET = {"cpu": 1e10, "cuda": 4e13}
EPOCHS = 4  # of the training loop; the first one warms up, and the median of the others counts
SECONDS = 60.0  # of all timings of the training loop together
CALLS, MANY = 20, 256  # forward passes that a timing of calls needs at least, and images of its larger batch
# What of a run's training is another in the probe: nothing that costs time.
LOOP = {"learning_rate": 1e-6, "schedule": {"name": "step", "milestones": [1000], "factor": 0.1}}

IMPORTS = {
    "network": "import robustlens.training.loop, robustlens.evaluation.run, robustlens.generation.features, torch; "
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
    """FLOP/s of a float32 convolution: 3x3, 64 channels, 16 images of 32x32, the size at home in a ResNet-18."""
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
    """Timings on one device; each is taken once, and none of the training loop after SECONDS."""

    def __init__(self, device: torch.device, work_of: WorkOf):
        self.device, self.work_of, self.budget = device, work_of, BUDGET[device.type]
        self.end = time.monotonic() + SECONDS
        self.epochs: dict[tuple[Network, str], dict[str, float] | None] = {}
        self.calls: dict[Network, Callable[[float, bool], float] | None] = {}

    def seconds(self, job: Job, work: Work) -> float | None:
        """What the network's part of a job takes, or None where a timing would take too long."""
        return self._training(job, work) if job.rule == "train" else self._others(work)

    def _training(self, job: Job, work: Work) -> float | None:
        alike = {name: value for name, value in job.spec.items() if name not in ("code", "recipe", "seed")}
        key = (work.network, json.dumps(alike, sort_keys=True))
        if key not in self.epochs:
            self.epochs[key] = self._seconds_a_flop(job) if time.monotonic() < self.end else self._known(work.network)
        a_flop = self.epochs[key]
        return sum(a_flop[name] * flops for name, flops in work.flops_by("name").items()) if a_flop else None

    def _known(self, network: Network) -> dict[str, float] | None:
        """Of another run of that network, where there is no time for one more timing."""
        return next((a_flop for (other, _), a_flop in self.epochs.items() if other == network and a_flop), None)

    def _seconds_a_flop(self, job: Job) -> dict[str, float] | None:
        """Of training and of tracking, by some epochs of the training loop on random images: as many images as the
        budget allows and the dataset has."""
        dataset = self.work_of.datasets[job.spec["dataset"]]
        spec = job.spec | {"training": job.spec["training"] | LOOP | {"epochs": 1}}
        epoch = self.work_of(replace(job, spec=spec)).flops_by("name")
        batch, share = spec["training"]["batch_size"], min(1.0, self.budget / epoch["tracking"])
        steps = math.ceil(dataset.sizes["train"] / batch)
        allowed = min(steps, int(steps * self.budget / epoch["training"]))
        if allowed == 0:
            return None
        tracked = max(1, int(share * spec["tracking"]["train_samples"]))
        spec |= {"tracking": spec["tracking"] | {"train_samples": tracked, "energy_epochs": [1]}}
        sizes = {
            "train": min(dataset.sizes["train"], allowed * batch),
            "validation": max(1, int(share * dataset.sizes["validation"])),
        }
        small = replace(dataset, sizes=sizes)
        done = WorkOf({spec["dataset"]: small})(replace(job, spec=spec)).flops_by("name")
        seconds = epoch_seconds(spec, small, self.device)
        return {name: seconds[name] / done[name] for name in seconds}

    def _others(self, work: Work) -> float | None:
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


def epoch_seconds(spec: dict, dataset: Dataset, device: torch.device) -> dict[str, float]:
    """Seconds of an epoch's `training` and of its `tracking` (with the saving of the state), by the training loop.

    spec: of a run, for any number of epochs. dataset: as many random images as there shall be.
    """
    random = np.random.default_rng(0)
    splits = {
        name: Split(
            images=random.integers(0, 256, (size, *dataset.shape), np.uint8),
            labels=random.integers(0, dataset.classes, size),
            index=np.arange(size),
            levels=255,
        )
        for name, size in dataset.sizes.items()
    }
    sheet = {"shape": list(dataset.shape), "classes": [str(y) for y in range(dataset.classes)]}
    spec = spec | {"training": spec["training"] | {"epochs": EPOCHS}}
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder, RunState(Path(folder), "probe") as state:
        data = PreparedDataset(sheet, splits)
        run = Training(spec, data, state, device, report=lambda *_: ends.append(time.perf_counter())).run()
    whole, training = np.diff(ends), run.timing["seconds"].to_numpy()[1:]
    usual = int(whole.argsort()[len(whole) // 2])
    seconds = float(training[usual])
    return {"training": seconds, "tracking": float(whole[usual]) - seconds}


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
