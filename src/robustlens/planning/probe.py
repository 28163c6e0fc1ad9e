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

# FLOPs that one timing may take: a second or two of a slow core, or of a fast GPU.
BUDGET = {"cpu": 1e11, "cuda": 2e13}
EPOCHS = 4  # of the training loop; the first one warms up, and the fastest of the others counts
SECONDS = 60.0  # of all timings together; after that, rates stand in

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
    """Timings on one device; each is taken once, and none after SECONDS."""

    def __init__(self, device: torch.device, work_of: WorkOf):
        self.device, self.work_of, self.budget = device, work_of, BUDGET[device.type]
        self.end = time.monotonic() + SECONDS
        self.epochs: dict[str, dict[str, float] | None] = {}
        self.calls: dict[Network, Callable[[float, bool], float] | None] = {}

    def seconds(self, job: Job, work: Work) -> float | None:
        """What the network's work of a job takes, or None where a timing would take too long."""
        return self._training(job, work) if job.rule == "train" else self._others(work)

    def _training(self, job: Job, work: Work) -> float | None:
        different = ("code", "recipe", "seed")
        key = json.dumps({name: value for name, value in job.spec.items() if name not in different}, sort_keys=True)
        if key not in self.epochs:
            self.epochs[key] = self._seconds_a_flop(job) if time.monotonic() < self.end else None
        rates = self.epochs[key]
        if rates is None:
            return None
        return sum(rates[calls.name] * calls.passes * work.network.flops for calls in work.calls)

    def _seconds_a_flop(self, job: Job) -> dict[str, float] | None:
        """Of training and of tracking, by a few epochs of the training loop on random images; as many of them as the
        budget allows and the dataset has."""
        dataset = self.work_of.datasets[job.spec["dataset"]]
        small = self._small(job, dataset)
        if small is None:
            return None
        sizes, spec = small
        epoch = self.work_of.training(replace(job, spec=spec | {"training": spec["training"] | {"epochs": 1}}), sizes)
        flops = {name: sum(c.passes for c in epoch.calls if c.name == name) for name in ("training", "tracking")}
        seconds = time_epochs(spec, replace(dataset, sizes=sizes), self.device)
        return {name: seconds[name] / (flops[name] * epoch.network.flops) for name in flops}

    def _others(self, work: Work) -> float | None:
        network = work.network
        if network not in self.calls:
            small = network.architecture != INCEPTION and 12 * network.flops < self.budget
            allowed = small and time.monotonic() < self.end
            self.calls[network] = call_seconds(network, self.device, self.budget) if allowed else None
        seconds_of = self.calls[network]
        if seconds_of is None:
            return None
        return sum(
            calls.forwards * seconds_of(calls.batch, False) + calls.gradients * seconds_of(calls.batch, True) + calls.seconds
            for calls in work.calls
        )
