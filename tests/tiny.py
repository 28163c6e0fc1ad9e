"""A dataset of a hundred digits and runs on it that take a fraction of a second."""

from pathlib import Path
from typing import Any

import torch

from robustlens.configuration import merge
from robustlens.data.digits import Digits
from robustlens.data.prepared import PreparedDataset, load
from robustlens.data.source import Source, split_positions, write_prepared
from robustlens.training.loop import Interrupted, TrainedRun, Training
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
        "weight_decay": 0.0005,
        "schedule": ONE_CYCLE,
        "attack_steps": 2,
        "attack_batchnorm": "eval",
        "augmentation": {"crop_padding": 0, "flip": False},
        "averaging": {"name": "none"},
        "weight_perturbation": {"name": "none"},
        "precision": "float32",
        "memory_format": "auto",
        "compile": "auto",
    },
    "threat": {"norm": "linf", "epsilon": "4/16", "step_size": "1/16"},
    "tracking": {"train_samples": 16, "attack_steps": 2, "batch_size": 500, "energy_epochs": [1, 2]},
}
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


def training(spec: dict[str, Any], data: PreparedDataset, state: RunState, **callbacks: Any) -> Training:
    return Training(spec, data, state, torch.device("cpu"), **callbacks)


class StopAfter:
    """Asks for a stop right after the given steps, counted from 1 over all sessions of a run."""

    def __init__(self, steps: set[int]):
        self.steps, self.done, self.asked = steps, 0, 0

    def __call__(self) -> bool:
        return self.done in self.steps and self.done != self.asked

    def session(self, run: Training) -> None:
        """Count the steps of `run`, which goes on from where the session before was stopped."""
        self.asked, original = self.done, run._step

        def step(*batch: Any) -> None:
            original(*batch)
            self.done += 1

        run._step = step


def train(spec: dict[str, Any], data: PreparedDataset, folder: Path, stop_after: set[int] = frozenset()) -> TrainedRun:
    """The finished run, interrupted after the given steps and then resumed from its state."""
    stop = StopAfter(stop_after)
    while True:
        with RunState(folder, "digest") as state:
            run = training(spec, data, state, stop=stop)
            stop.session(run)
            try:
                return run.run()
            except Interrupted:
                continue
