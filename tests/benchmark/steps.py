"""What a training step of each method costs, relative to SAT's, in one run, beside the ratios of AR-AT's paper.

Each contestant is a real training of this project on noise, all of them in this process and in turn.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rounds import play, summary

from robustlens.data.prepared import load
from robustlens.data.source import Source, split_positions, write_prepared
from robustlens.training.run import Training
from robustlens.training.state import RunState

BASE = "SAT"
ROUNDS = 5
LAYERS = [f"layer4.{block}.{norm}" for block in (0, 1) for norm in ("bn1", "bn2")]
# Contestant -> method, its parameters, and what the paper's table 19 has (CIFAR-10, ResNet-18, A100, batches of 128)
CONTESTANTS = {
    BASE: ("sat", {}, 1.00),
    "TRADES": ("trades", {}, 1.51),
    "LBGAT": ("lbgat", {}, 1.50),
    "AR-AT": ("arat", {"layers": LAYERS}, 1.15),
    "MART": ("mart", {}, None),
    "WEAT-adv": ("weat", {"variant": "adv"}, None),
}
WIDTHS = {"cpu": (16, 32), "cuda": (64, 128)}  # of the ResNet-18, and the size of a batch
CLASSES = 10


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """Seconds of a step in each round that counts, by contestant, and why others did not."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    width, batch = (4, 10) if quick else WIDTHS[device.type]
    data = _noise(folder / "data", batch)
    with contextlib.ExitStack() as stack:
        run = {}
        for name, (method, parameters, _) in CONTESTANTS.items():
            state = stack.enter_context(RunState(folder / method, "steps"))
            run[name] = _turn(Training(_spec(method, parameters, width, batch), data, state, device), device)
            run[name]()  # the first step of all sets up what later ones use
        say(f"steps of {len(run)} methods, {device.type}, width {width}, batches of {batch}")
        threads = None if quick or device.type == "cuda" else torch.get_num_threads()
        wanted = 1 if quick else ROUNDS
        rounds, dropped = play(run, [], threads, wanted, most=2 * wanted)
    return {
        "device": device.type,
        "width": width,
        "batch": batch,
        "rounds": [vars(one) for one in rounds],
        "dropped": dropped,
        "rows": {
            name: {
                "seconds": summary(rounds, name, None)["median"],
                "times_sat": 1 / summary(rounds, name, BASE)["ratio"],
            }
            for name in (run if rounds else [])
        },
    }


def table(found: dict) -> str:
    head = (
        f"Training steps of methods, ResNet-18 of width {found['width']}, PGD-10, batches of {found['batch']}, "
        f"{found['device']}: {len(found['rounds'])} rounds, {len(found['dropped'])} dropped\n\n"
        "| method | ms per step | times SAT | in AR-AT's paper |\n|---|---|---|---|\n"
    )
    rows = [
        f"| {name} | {1e3 * row['seconds']:.0f} | {row['times_sat']:.2f} | {_paper(name)} |\n"
        for name, row in found["rows"].items()
    ]
    return head + "".join(rows)


def _paper(name: str) -> str:
    ratio = CONTESTANTS[name][2]
    return "" if ratio is None else f"{ratio:.2f}"


def _spec(method: str, parameters: dict, width: int, batch: int) -> dict:
    """Of a run, as the workflow resolves it."""
    architecture = {"family": "resnet", "blocks": [2, 2, 2, 2], "width": width}
    training = {
        "epochs": 1000,
        "batch_size": batch,
        "learning_rate": 0.01,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.0005,
        "schedule": {"name": "step", "milestones": [1000], "factor": 0.1},
        "attack_steps": 10,
        "attack_batchnorm": "eval",
        "augmentation": {"crop_padding": 4, "flip": True},
        "averaging": {"name": "none"},
        "weight_perturbation": {"name": "none"},
        "selection": "auto",
        "checkpoints": [],
        "also_select": [],
        "precision": "auto",
        "memory_format": "auto",
        "compile": "off",
    }
    return {
        "dataset": "noise",
        "recipe": method,
        "seed": 0,
        "architecture": architecture,
        "parts": {"teacher": architecture} if method == "lbgat" else {},
        "method": {"name": method, "parameters": parameters},
        "training": training,
        "threat": {"norm": "linf", "epsilon": "8/255", "step_size": "2/255"},
        "tracking": {"every": 1, "train_samples": batch, "attack_steps": 1, "batch_size": batch, "energy_epochs": []},
    }


def _noise(folder: Path, batch: int):
    """Four batches of CIFAR-10's shape to train on, and as few others as there must be."""
    folder.mkdir()
    images = 5 * batch + 2 * CLASSES
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (images, 3, 32, 32), dtype=np.uint8)
    source = Source(pixels, np.arange(images) % CLASSES, [str(k) for k in range(CLASSES)], levels=255)
    splits = {"train": 4 * batch, "validation": batch, "test": None, "seed": 0}
    write_prepared(source, split_positions(source, splits), folder, {"name": "noise"})
    return load(folder)


def _turn(training: Training, device: torch.device) -> Callable[[], tuple[float, float]]:
    """Takes one step; gives its seconds, and how many processors it kept busy."""
    task, loop = training.task, training.loop
    task.before_epoch(1)
    batches, done = loop.batches(1), iter(range(10**9))

    def once() -> tuple[float, float]:
        number = next(done)
        started, worked = time.perf_counter(), time.process_time()
        task.step(batches[number % len(batches)], 1, number)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        return seconds, (time.process_time() - worked) / seconds

    return once
