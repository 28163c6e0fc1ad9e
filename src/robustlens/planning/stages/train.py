"""Trainings: counted by their epochs, and timed by some epochs of the training loop."""

import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from robustlens.configuration.facts import also_deployed
from robustlens.data.prepared import PreparedDataset, Split
from robustlens.models.weights import build, save_weights
from robustlens.planning.datasets import Dataset
from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.networks import Network
from robustlens.planning.passes import training_passes
from robustlens.planning.work import BFLOAT16, FLOAT32, Calls, Work
from robustlens.training.run import Training
from robustlens.training.state import RunState

FLOAT = 4
EPOCHS = 4  # of a trial; the first one warms up, and the median of the others counts
# The settings of a run that a trial changes: none of them costs time.
LOOP = {
    "learning_rate": 1e-6,
    "schedule": {"name": "step", "milestones": [1000], "factor": 0.1},
    "checkpoints": [],
    "also_select": [],
}
NOTES = (
    "A training that was interrupted resumes from its saved state, but is counted as a whole.",
    "Observers of a training, and what its method does between epochs, are not counted.",
)


def work(job: Job, known: Known) -> Work:
    return training(job.spec, known.dataset(job))


def written(job: Job, known: Known) -> dict[str, float]:
    """The weights of two checkpoints, of further epochs and of further classifiers; in the state the weights, the best
    ones, those of these epochs, the momentum and the average."""
    weights = known.work(job).network.parameters * FLOAT
    settings, also = job.spec["training"], also_deployed(job.spec["method"]["name"])
    averaged = settings["averaging"]["name"] != "none"
    more = len(settings["checkpoints"]) + len(settings["also_select"])
    kept = (2 + more + 2 * len(also)) * weights
    return {"weights of runs": kept, "training states": (3 + averaged + more + len(also)) * weights}


def training(spec: dict, dataset: Dataset) -> Work:
    """Epochs of steps (attack and loss), some followed by the tracking attack on some training images and on all
    validation images. The BatchNorm statistics of an SWA average are estimated twice, in one epoch each. Images that a
    recipe leaves out are counted."""
    sizes, settings, tracking, epochs = dataset.sizes, spec["training"], spec["tracking"], spec["training"]["epochs"]
    attack, losses = training_passes(spec["method"]["name"], spec["method"]["parameters"], settings["attack_steps"])
    steps = math.ceil(sizes["train"] / settings["batch_size"])
    batch, in_all = sizes["train"] / steps * sources(spec), attack * (epochs * steps)
    reduced = FLOAT32 if settings["precision"] == "float32" else BFLOAT16
    perturbed = settings["weight_perturbation"]
    twice = max(0, epochs - perturbed["start_epoch"]) if perturbed["name"] != "none" else 0
    trained = (epochs + twice) * steps * losses
    calls = [Calls("training", batch, in_all.forwards, in_all.gradients, trained, precision=reduced)]
    if settings["averaging"]["name"] == "swa":
        forwards, gradients = steps * (attack.forwards + 2), steps * attack.gradients
        calls.append(Calls("training", sizes["train"] / steps, forwards, gradients, precision=reduced))
    besides = {epochs, *(epoch for epoch in tracking["energy_epochs"] if epoch <= epochs)}
    measured = epochs // tracking["every"] + sum(epoch % tracking["every"] > 0 for epoch in besides)
    for size in (min(sizes["train"], tracking["train_samples"]), sizes["validation"]):
        batches = math.ceil(size / tracking["batch_size"])
        gradients = measured * batches * tracking["attack_steps"]
        calls.append(Calls("tracking", size / batches, gradients + 2 * measured * batches, gradients))
    return Work(Network.of(spec["architecture"], dataset.shape, dataset.classes), tuple(calls))


def sources(spec: dict) -> float:
    """How many images a batch has for each training image."""
    mix = spec.get("mix", {"gamma": 1.0, "ratio": 0.0})
    return (mix["gamma"] > 0) + (mix["gamma"] < 1) * mix["ratio"]


def trial(job: Job, known: Known, device: torch.device, budget: float) -> dict[str, float] | None:
    """Seconds per FLOP of `training` and of `tracking`, by some epochs of the training loop on random images: as many
    as the budget (FLOPs) allows and the dataset has. None if it does not allow a single batch."""
    dataset = known.dataset(job)
    spec = {key: value for key, value in job.spec.items() if key not in ("mix", "observers", "start_from")}
    spec |= {"training": spec["training"] | LOOP | {"epochs": 1}}
    epoch = training(spec, dataset).flops_by("name")
    batch, share = spec["training"]["batch_size"], min(1.0, budget / epoch["tracking"])
    steps = math.ceil(dataset.sizes["train"] / batch)
    allowed = min(steps, int(steps * budget / epoch["training"]))
    if allowed == 0:
        return None
    tracked = max(1, int(share * spec["tracking"]["train_samples"]))
    spec |= {"tracking": spec["tracking"] | {"train_samples": tracked, "energy_epochs": [1], "every": 1}}
    sizes = {
        "train": min(dataset.sizes["train"], allowed * batch),
        "validation": max(1, int(share * dataset.sizes["validation"])),
    }
    small = replace(dataset, sizes=sizes)
    done, seconds = training(spec, small).flops_by("name"), epoch_seconds(spec, small, device)
    return {name: seconds[name] / done[name] for name in seconds}


def epoch_seconds(spec: dict, dataset: Dataset, device: torch.device) -> dict[str, float]:
    """Seconds of an epoch's `training` and of its `tracking` (with the saving of the state), by the training loop.

    spec: of a run, for any number of epochs. dataset: its sizes are the numbers of random images.
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
        data, given = PreparedDataset(sheet, splits), {}
        for name, other in spec.get("given", {}).items():
            given[name] = Path(folder) / f"{name}.safetensors"
            save_weights(build(other["architecture"], data.channels, data.classes).state_dict(), given[name])
        run = Training(
            spec, data, state, device, report=lambda *_: ends.append(time.perf_counter()), weights=given
        ).run()
    whole, epochs = np.diff(ends), run.timing["seconds"].to_numpy()[1:]
    usual = int(whole.argsort()[len(whole) // 2])
    seconds = float(epochs[usual])
    return {"training": seconds, "tracking": float(whole[usual]) - seconds}
