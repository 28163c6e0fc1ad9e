"""A dataset of a hundred digits, one of 25 random images, and runs on them that take a fraction of a second."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robustlens.configuration import merge
from robustlens.data.digits import Digits
from robustlens.data.prepared import PreparedDataset, Split, load
from robustlens.data.source import Source, split_positions, write_prepared
from robustlens.models.weights import build, save_weights
from robustlens.parameters import component
from robustlens.training.images import Images
from robustlens.training.loop import Interrupted
from robustlens.training.result import TrainedRun
from robustlens.training.run import Training
from robustlens.training.state import RunState

ONE_CYCLE = {"name": "one-cycle", "warmup_fraction": 0.25, "cycle_momentum": True}
STEP = {"name": "step", "milestones": [1], "factor": 0.1}
SPEC = {
    "dataset": "digits",
    "recipe": "tiny",
    "seed": 0,
    "architecture": {"family": "resnet", "blocks": [1], "width": 4},
    "method": {"name": "sat", "parameters": {}},
    "training": {
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 0.1,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.0005,
        "schedule": ONE_CYCLE,
        "attack_steps": 2,
        "attack_batchnorm": "eval",
        "augmentation": {"crop_padding": 0, "flip": False},
        "averaging": {"name": "none"},
        "weight_perturbation": {"name": "none"},
        "selection": "auto",
        "checkpoints": [],
        "also_select": [],
        "precision": "float32",
        "memory_format": "auto",
        "compile": "auto",
    },
    "threat": {"norm": "linf", "epsilon": "4/16", "step_size": "1/16"},
    "tracking": {"every": 1, "train_samples": 16, "attack_steps": 2, "batch_size": 500, "energy_epochs": [1, 2]},
}
EMA = {"name": "ema", "decay": 0.8}
SWA = {"name": "swa", "start_epoch": 2, "every_steps": 2}
AWP = {"name": "awp", "gamma": 0.01, "start_epoch": 1}
MIX = {"generator": "noise", "ratio": 1.0, "gamma": 0.4, "augmented": True}
# Parameters that a method needs, for the network of `colour_spec`.
NEEDED: dict[str, dict[str, Any]] = {"arat": {"layers": ["layer2.0.bn1", "layer2.0.bn2"]}}
SMALL_CNN = {"architecture": {"family": "small-cnn", "dropout": 0.5}}
# How near two ways to compute the same few steps in float64 come. It rounds at 1e-16; the gradient of a KL of almost
# equal distributions loses three digits of that, and the steps after it another one.
EQUAL = {"rtol": 1e-12, "atol": 1e-12}
STEPS = 6  # 2 epochs of 3 batches: 16, 16 and 8 of the 40 training images


def spec(method: str = "sat", parameters: dict[str, Any] | None = None, **training: Any) -> dict[str, Any]:
    """The specification above with another method or other training entries (`schedule` is replaced as a whole)."""
    changed = merge(SPEC, {"method": {"name": method, "parameters": parameters or {}}})
    return changed | {"training": SPEC["training"] | training}


def dataset(folder: Path) -> PreparedDataset:
    """40 training, 20 validation and 60 test images, written to `folder` and loaded from there."""
    digits = Digits().read(folder, folder)
    source = Source(digits.images[:120], digits.labels[:120], digits.classes, levels=digits.levels)
    splits = {"train": 40, "validation": 20, "test": None, "seed": 0}
    write_prepared(source, split_positions(source, splits), folder, {"name": "digits"})
    return load(folder)


def training(spec: dict[str, Any], data: PreparedDataset, state: RunState, **others: Any) -> Training:
    return Training(spec, data, state, torch.device("cpu"), **others)


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Inside, or in a test that this decorates, the training loop computes in float64: networks, images and sums.

    Rounding then hides nothing: see EQUAL.
    """
    gathered = Images._gathered
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Images, "_gathered", lambda *images: gathered(*images).double())
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


class StopAfter:
    """Asks for a stop right after the given steps, counted from 1 over all sessions of a run."""

    def __init__(self, steps: set[int]):
        self.steps, self.done, self.asked = steps, 0, 0

    def __call__(self) -> bool:
        return self.done in self.steps and self.done != self.asked

    def session(self, run: Training) -> None:
        """Count the steps of `run`, which resumes where the previous session was stopped."""
        self.asked, original = self.done, run.task.step

        def step(*batch: Any) -> None:
            original(*batch)
            self.done += 1

        run.task.step = step


def train(
    spec: dict[str, Any], data: PreparedDataset, folder: Path, stop_after: set[int] = frozenset(), **others: Any
) -> TrainedRun:
    """The finished run, interrupted after the given steps and then resumed from its state."""
    stop = StopAfter(stop_after)
    while True:
        with RunState(folder, "digest") as state:
            run = training(spec, data, state, stop=stop, **others)
            stop.session(run)
            try:
                return run.run()
            except Interrupted:
                continue


# Random colour images ---------------------------------------------------------------------------------------------

BATCH, STEPS_PER_EPOCH = 10, 3  # 10, 10 and 5 images
PADDING = 1


def random_images(shape: tuple[int, int, int], train: int = 25) -> PreparedDataset:
    """Random images in three classes; 12 to validate with."""
    random = np.random.default_rng(0)
    splits = {}
    for split, count in (("train", train), ("validation", 12)):
        images = random.integers(0, 256, (count, *shape), dtype=np.uint8)
        splits[split] = Split(images, np.arange(count) % 3, np.arange(count), levels=255)
    return PreparedDataset({"classes": ["a", "b", "c"], "shape": list(shape), "sha256": {}}, splits)


def pool(shape: tuple[int, int, int] = (1, 8, 8), count: int = 30, classes: int = 3) -> Split:
    """Random images in place of generated ones."""
    images = np.random.default_rng(1).integers(0, 256, (count, *shape), dtype=np.uint8)
    return Split(images, np.arange(count) % classes, np.arange(count), levels=255)


def colour_spec(method: str = "sat", **settings: object) -> dict[str, Any]:
    """Three attack steps, crops and flips, and a learning rate that falls after the first epoch."""
    augmentation = {"crop_padding": PADDING, "flip": True}
    ours = {"batch_size": BATCH, "attack_steps": 3, "schedule": STEP, "augmentation": augmentation}
    return spec(method, **(ours | settings)) | {
        "threat": {"norm": "linf", "epsilon": "16/255", "step_size": "6/255"},
        "architecture": {"family": "resnet", "blocks": [1, 1], "width": 16},
    }


def made(spec: dict[str, Any], data: PreparedDataset, folder: Path, **others: Any) -> Training:
    return training(spec, data, RunState(folder, "digest"), **others)


def with_networks(spec: dict[str, Any], folder: Path, architecture: dict) -> tuple[dict[str, Any], dict[str, Path]]:
    """The specification with this architecture for all other networks that its method needs, and files with fresh
    weights of the given ones."""
    method = component("methods", spec["method"]["name"], "here")
    given = {name: folder / f"{name}.safetensors" for name in method.given}
    for file in given.values():
        save_weights(build(architecture, 3, 3).state_dict(), file)
    others = {name: {"architecture": architecture} for name in given}
    return spec | {"given": others, "parts": dict.fromkeys(method.parts, architecture)}, given


def after_each_step(run: Training, epochs: int = 1) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """(epoch, a copy of the weights) after every step."""
    for epoch in range(1, epochs + 1):
        run.loop.progress.epoch, run.loop.progress.step = epoch - 1, 0
        for batch in run.loop.batches(epoch):
            run.task.step(batch, epoch, run.loop.steps_done())
            run.loop.progress.step += 1
            yield epoch, {name: t.clone() for name, t in run.task.network.state_dict().items()}
