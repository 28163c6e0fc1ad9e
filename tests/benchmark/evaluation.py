"""PGD-20 and AutoAttack on a small network that was trained adversarially: ours, libraries, a plain loop, and
pyautoattack as it is published, and our searches in bfloat16. All find the same images robust, or are not timed."""

import contextlib
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyautoattack
import torch
from contest import OURS, Turn, contest, contest_table, here, rounds_of, timed
from contestants import CLASSES, EPSILON, SEED, STEP_SIZE, Ours
from convolutions import alone
from evaluators import (
    EarlyStoppedEvaluation,
    EarlyStoppedReducedEvaluation,
    OurEvaluation,
    PlainEvaluation,
    ReducedEvaluation,
    trained,
)
from line_up import ART, FOOLBOX, PLAIN, TORCHATTACKS, Contestant, Problem
from torch import nn
from workers import Failed, Skipped, Worker

from robustlens.attacks.autoattack import AutoAttack
from robustlens.attacks.library import isolated_randomness, library_seed
from robustlens.attacks.screen import Screen
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import Split
from robustlens.device import has_bfloat16
from robustlens.evaluation.run import attack_split
from robustlens.models.inference import InferenceModel
from robustlens.seeds import generator

STEPS = 20
LIBRARIES = [
    Contestant(str(package), f"{package.module} evaluation", package=package)
    for package in (TORCHATTACKS, FOOLBOX, ART)
]
REDUCED = f"{OURS} bfloat16, verdicts in float32"
EARLY, EARLY_REDUCED = (f"{name}, early-stopped" for name in (OURS, REDUCED))
SCREEN = f"{OURS}'s screen in bfloat16, verdicts in float32"
PUBLISHED = "pyautoattack as published"
AUTOATTACK = "autoattack"
# Of the images, at least, that PGD-20 of two contestants gives the same verdict: its steps round differently. If it is
# stopped early, more may be fooled, but no more may be robust.
SAME = 0.98
LOGGED = re.compile(r"(\S+) - \d+/\d+ - (\d+) out of \d+ successfully perturbed")


@dataclass(frozen=True)
class Size:
    """width: of the ResNet-18. steps: of SAT with PGD-4. batch: images together, in training and in PGD-20.

    images: for PGD-20, a multiple of batch. autoattack_images: the first so many of them, for AutoAttack; rounds and
    epsilon are its own.
    """

    width: int
    batch: int
    images: int
    autoattack_images: int
    steps: int
    rounds: int = 3
    epsilon: float = EPSILON


SIZES = {"cpu": Size(16, 64, 128, 24, 60), "cuda": Size(64, 256, 1024, 256, 100)}
# No image is robust to such an epsilon, so that AutoAttack ends with its first component.
QUICK = Size(4, 8, 8, 4, 2, epsilon=0.5)


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """pgd20, autoattack: their rounds and verdicts. Raises Failed where AutoAttack's verdicts differ."""
    device = here()
    size = QUICK if quick else SIZES[device.type]
    say(f"{size.steps} steps of SAT of a ResNet-18 of width {size.width}, to evaluate it")
    train(folder, size, device)
    with contextlib.ExitStack() as stack:
        pgd20 = measure_pgd20(folder, size, device, quick, say, stack)
    return {
        "device": device.type,
        **asdict(size),
        "pgd20": pgd20,
        "autoattack": measure_autoattack(folder, size, device, quick, say),
    }


# The network and its images -----------------------------------------------------------------------------------------


def train(folder: Path, size: Size, device: torch.device) -> None:
    """Leaves in the folder what evaluators read."""
    (folder / "train").mkdir()
    for number, (place, count) in enumerate(((folder / "train", 4 * size.batch), (folder, size.images))):
        images, labels = patterns(count, number)
        np.save(place / "images.npy", images)
        np.save(place / "labels.npy", labels)
    training = Ours(size.width, size.batch, folder / "train", device, learning_rate=0.05)
    training.reset(4)
    for _ in range(size.steps):
        training.step()
    torch.save(training.training.task.network.state_dict(), folder / "weights.pt")


def patterns(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 3, 32, 32) of a coarse pattern for each class under noise, and labels. The pattern is strong in
    some images and next to nothing in others, so that some are robust and others are not."""
    coarse = np.random.default_rng(2).choice([-1.0, 1.0], (CLASSES, 3, 8, 8))
    random, labels = np.random.default_rng(seed), np.arange(count) % CLASSES
    strength = random.uniform(0.0, 0.4, (count, 1, 1, 1))
    images = (
        0.5 + strength * coarse[labels].repeat(4, 2).repeat(4, 3) + 0.1 * random.standard_normal((count, 3, 32, 32))
    )
    return (255 * images.clip(0, 1)).round().astype(np.uint8), labels


# PGD-20 -------------------------------------------------------------------------------------------------------------


def measure_pgd20(
    folder: Path, size: Size, device: torch.device, quick: bool, say: Callable[[str], None], stack: contextlib.ExitStack
) -> dict:
    labels = np.load(folder / "labels.npy")
    turns: dict[str, Turn] = {}
    verdicts: dict[str, np.ndarray] = {}
    left_out = {"skipped": without_bfloat16(REDUCED, device) | without_bfloat16(EARLY_REDUCED, device), "failed": {}}
    kinds = {
        OURS: OurEvaluation,
        EARLY: EarlyStoppedEvaluation,
        REDUCED: ReducedEvaluation,
        EARLY_REDUCED: EarlyStoppedReducedEvaluation,
        PLAIN: PlainEvaluation,
    }
    for name, kind in ((name, kind) for name, kind in kinds.items() if name not in left_out["skipped"]):
        evaluator = kind(size.width, size.batch, folder, device)
        evaluator.reset(STEPS)
        evaluator.step()
        verdicts[name] = evaluator.result == labels
        turns[name] = timed(evaluator.step, device, 1 if quick else None)
    problem = Problem("PGD-20", size.width, size.batch, torch.get_num_threads(), device.type == "cuda")
    for library in LIBRARIES:
        try:
            worker = Worker(library, problem, folder)
            stack.callback(worker.stop)
            worker.ready()
            worker.ask("warm_up", attack_steps=STEPS, steps=1)
            worker.ask("result", file=str(folder / "predictions.npy"))
            verdicts[library.name] = np.load(folder / "predictions.npy") == labels
            turns[library.name] = partial(worker.turn, 1)
        except (Skipped, Failed) as reason:
            left_out["skipped" if isinstance(reason, Skipped) else "failed"][library.name] = str(reason)
            say(f"{library.name}: {reason}")
    same = {name: float((verdict == verdicts[OURS]).mean()) for name, verdict in verdicts.items()}
    for name, verdict in verdicts.items():
        if (share := others(name, verdict, verdicts[OURS])) > 1 - SAME:
            left_out["failed"][name] = f"it gives {share:.1%} of the images another verdict than {OURS}"
            del turns[name]
    passes, reduced = STEPS * size.images // size.batch, REDUCED not in left_out["skipped"]
    limits = alone(trained(size.width, folder, device), size.batch, passes, device, reduced)
    turns |= {name: timed(run, device, 1 if quick else None) for name, run in limits.items()}
    say(f"PGD-20 on {size.images} images: {', '.join(turns)}")
    robust = {name: float(verdict.mean()) for name, verdict in verdicts.items()}
    return {"robust": robust, "same_verdict": same, **contest(turns, device, quick), **left_out}


def others(name: str, verdict: np.ndarray, ours: np.ndarray) -> float:
    """The share of the images to which a contestant gives a verdict (True: robust) that it should not give."""
    return float((verdict & ~ours if name in (EARLY, EARLY_REDUCED) else verdict != ours).mean())


def without_bfloat16(name: str, device: torch.device) -> dict[str, str]:
    """That contestant, with why it can't take part; nothing where it can."""
    return {} if has_bfloat16(device) else {name: f"this {device.type} has no bfloat16"}


# AutoAttack ---------------------------------------------------------------------------------------------------------


def measure_autoattack(folder: Path, size: Size, device: torch.device, quick: bool, say: Callable[[str], None]) -> dict:
    images, labels = (np.load(folder / f"{name}.npy")[: size.autoattack_images] for name in ("images", "labels"))
    split = Split(images, labels, np.arange(len(labels)), levels=255)
    model = trained(size.width, folder, device)
    prepared, threat = InferenceModel(model).to(device), Threat("linf", size.epsilon, STEP_SIZE)

    def ours(attack: AutoAttack | Screen) -> pd.DataFrame:
        return attack_split(prepared, split, attack, AUTOATTACK, threat, SEED, len(labels), device=device)

    x, y = (torch.from_numpy(array).to(device) for array in (split.pixels(), labels))
    seed = library_seed(generator(SEED, AUTOATTACK, 0, device=device))  # what `attack_split` gives to the library
    theirs = partial(published, model, x, y, size.epsilon)
    say(f"AutoAttack on {len(labels)} images, for the verdicts")
    robust, broken = theirs(seed)
    spread = int((theirs(seed + 1)[0] != robust).sum())
    attacks = {OURS: AutoAttack(), SCREEN: Screen()}
    left_out = {"skipped": without_bfloat16(SCREEN, device), "failed": {}}
    found = {"robust": {PUBLISHED: int(robust.sum())}, "broken_by": {PUBLISHED: broken}, "different": {}}
    turns = {PUBLISHED: timed(partial(theirs, seed), device, 1)}
    for name in [name for name in attacks if name not in left_out["skipped"]]:
        table = ours(attacks[name])
        mine = (table["prediction_adversarial"] == table["label"]).to_numpy()
        found["different"][name] = different = int((mine != robust).sum())
        if different > max(1, spread):
            left_out["failed"][name] = (
                f"{different} of {len(labels)} images have another verdict than {PUBLISHED} finds, which itself "
                f"differs in {spread} between two seeds"
            )
            continue
        found["robust"][name] = int(mine.sum())
        found["broken_by"][name] = dict(Counter(filter(None, table["broken_by"])))
        turns[name] = timed(partial(ours, attacks[name]), device, 1)
    if OURS in left_out["failed"]:
        raise Failed(f"AutoAttack: {left_out['failed'][OURS]}")
    say(f"AutoAttack: {robust.sum()} of {len(labels)} images are robust; {size.rounds} rounds")
    return {**found, "different_between_seeds": spread, **contest(turns, device, quick, size.rounds), **left_out}


def published(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, epsilon: float, seed: int
) -> tuple[np.ndarray, dict[str, int]]:
    """Which images the standard version leaves robust, and how many each of its attacks broke."""
    attack = pyautoattack.AutoAttack(model, norm="Linf", eps=epsilon, version="standard", seed=seed, device=x.device)
    with isolated_randomness(x.device), told(attack.logger) as messages:
        _, predictions = attack.run_standard_evaluation(x, y, batch_size=len(x))
    broken = Counter()
    for match in filter(None, map(LOGGED.match, messages)):
        broken[match[1]] += int(match[2])
    return (predictions == y).cpu().numpy(), dict(+broken)


@contextlib.contextmanager
def told(logger: logging.Logger) -> Iterator[list[str]]:
    """The messages of a logger inside, which nobody else hears."""
    messages: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: messages.append(record.getMessage())
    before = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(listener)
    try:
        yield messages
    finally:
        logger.removeHandler(listener)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def table(found: dict) -> str:
    pgd20, autoattack = found["pgd20"], found["autoattack"]
    network = f"ResNet-18 of width {found['width']}, {found['device']}"
    columns = {
        "img/s": lambda _, seconds: f"{found['images'] / seconds:.1f}",
        "robust": lambda name, _: f"{pgd20['robust'][name]:.1%}" if name in pgd20["robust"] else "-",
        "same verdict": lambda name, _: f"{pgd20['same_verdict'][name]:.1%}" if name in pgd20["robust"] else "-",
    }
    robust = autoattack["robust"]
    columns_of_autoattack = {
        "s": lambda _, seconds: f"{seconds:.1f}",
        "robust": lambda name, _: f"{robust[name]} of {found['autoattack_images']}",
        "s per robust image": lambda name, seconds: f"{seconds / robust[name]:.2f}" if robust[name] else "-",
        "broken by": lambda name, _: ", ".join(f"{k} {n}" for k, n in autoattack["broken_by"][name].items()),
    }
    counts = ", ".join(f"{name} {number}" for name, number in autoattack["different"].items())
    different = f"\n* verdicts that differ from {PUBLISHED}: {counts}; between two seeds of it: "
    different += str(autoattack["different_between_seeds"])
    return (
        f"PGD-20, {network}, {found['images']} images in batches of {found['batch']}: {rounds_of(pgd20)}\n\n"
        + contest_table(pgd20, columns)
        + f"\n\nAutoAttack standard, {network}: {rounds_of(autoattack)}\n\n"
        + contest_table(autoattack, columns_of_autoattack)
        + different
        + "\n"
    )
