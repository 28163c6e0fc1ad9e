"""Made-up results in the project's file formats: plausible enough to look at, small enough for tests."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.report.context import Context, Recipe
from robustlens.study.declaration import USES

RECIPES = ("standard", "sat", "trades", "mart", "mail-trades", "weat-nat", "weat-adv")
ROBUST = {
    "standard": 0.02,
    "sat": 0.45,
    "trades": 0.5,
    "mart": 0.5,
    "mail-trades": 0.5,
    "weat-nat": 0.5,
    "weat-adv": 0.53,
}
GAP = {
    "standard": 12.0,
    "sat": -0.7,
    "trades": -0.05,
    "mart": -0.2,
    "mail-trades": -0.04,
    "weat-nat": -0.03,
    "weat-adv": -0.01,
}
ATTACKS = {  # attack: what it does to E(x) and to E(x, y) of a standard model
    "pgd": (-14, 20),
    "kl-pgd": (-13, 12),
    "apgd-ce": (-15, 21),
    "apgd-dlr": (5, 17),
    "apgd-t": (6, 18),
    "fab": (4, 5),
    "square": (4.5, 6),
    "cw": (4, 7),
}
STAGES = ("apgd-ce", "apgd-t", "fab-t", "square")
CAVEAT = "Small scale: no evidence about CIFAR-10."
THREAT, OTHER_THREAT = "linf-3-16", "l2-1-2"
THREATS = {
    THREAT: {"norm": "linf", "epsilon": "3/16", "step_size": "3/64"},
    OTHER_THREAT: {"norm": "l2", "epsilon": "1/2", "step_size": "1/8"},
}
# As if results under THREAT were of the ball that published numbers are of.
AS_PUBLISHED = THREATS | {THREAT: THREATS[THREAT] | {"epsilon": "8/255"}}
LABELS = {  # recipe: label, and the recipe that it changes
    "standard": ("Standard", None),
    "sat": ("SAT", None),
    "trades": ("TRADES", None),
    "mart": ("MART", None),
    "mail-trades": ("MAIL-TRADES", None),
    "mail-at": ("MAIL-AT", None),
    "gairat": ("GAIRAT", None),
    "weat-nat": ("WEAT-nat", None),
    "weat-adv": ("WEAT-adv", None),
    "sat-awp": ("SAT + AWP", "sat"),
    "trades-awp": ("TRADES + AWP", "trades"),
    "weat-adv-awp": ("WEAT-adv + AWP", "weat-adv"),
    "sat-no-high": ("without high-energy images", "sat"),
    "sat-no-middle": ("without middle-energy images", "sat"),
    "sat-no-low": ("without low-energy images", "sat"),
    "sat-no-misclassified": ("without misclassified images", "sat"),
    "sat-no-random": ("without random images", "sat"),
    "sat-no-low-paper": ("without E(x) \u2264 \u221211.47", "sat"),
}
FEWER = {name: label.split()[1] for name, (label, _) in LABELS.items() if label.startswith("without")}
ATTACK_LABELS = {
    **{"clean": "clean", "fgsm": "FGSM", "pgd20": "PGD-20", "autoattack": "AutoAttack"},
    **{"pgd": "PGD", "kl-pgd": "KL-PGD", "apgd-ce": "APGD-CE", "apgd-dlr": "APGD-DLR"},
    **{"apgd-t": "APGD-T", "fab": "FAB", "square": "Square", "cw": "CW"},
}
RESNET18 = {"family": "resnet", "blocks": [2, 2, 2, 2], "width": 64, "block": "basic"}


@dataclass
class Study:
    """The files that were written, by kind, in the order of the recipes and seeds. robustness, attack_energies: indexes
    of suites."""

    robustness: list[Path] = field(default_factory=list)
    attack_energies: list[Path] = field(default_factory=list)
    history: list[Path] = field(default_factory=list)
    energies: list[Path] = field(default_factory=list)
    scores: list[Path] = field(default_factory=list)
    samples: list[Path] = field(default_factory=list)
    anchor: Path | None = None


def write_study(
    folder: Path,
    dataset: str = "digits",
    recipes: tuple[str, ...] = RECIPES,
    seeds: tuple[int, ...] = (0, 1, 2),
    epochs: int = 20,
    images: int = 60,
    features: str = "classifier",
) -> Study:
    """Results of all recipes and seeds under `folder`, deterministic. A recipe that is not in RECIPES does much what
    the one does that it changes."""
    study = Study()
    for recipe in recipes:
        for seed in seeds:
            place = f"{dataset}/{recipe}/seed{seed}"
            like = recipe if recipe in RECIPES else LABELS[recipe][1]
            random = np.random.default_rng([RECIPES.index(like), seed, *([1] if like != recipe else [])])
            run, generation = folder / "runs" / place, folder / "generation" / place
            for path in (run, generation):
                path.mkdir(parents=True)
            study.history.append(_parquet(run / "history.parquet", _history(like, epochs, random)))
            study.energies.append(_parquet(run / "energies.parquet", _energies(like, epochs, images, random)))
            robustness = _robustness(like, images, random)
            study.robustness.append(write_evaluations(folder, robustness, recipe, seed, dataset))
            if recipe in ("standard", "sat"):
                attacked = _attack_energies(recipe, images, random)
                index = write_evaluations(folder, attacked, recipe, seed, dataset, "attack-energies")
                study.attack_energies.append(index)
            if recipe != "standard":
                study.scores.append(_scores(generation / "scores.json", recipe, features, random))
                study.samples.append(generation / "samples.npz")
                labels = np.repeat(np.arange(10), 4)
                np.savez(study.samples[-1], images=random.random((40, 1, 8, 8), dtype=np.float32), labels=labels)
    study.anchor = _scores(
        folder / "generation" / dataset / "real-images.json", "real", features, np.random.default_rng(9)
    )
    return study


def write_evaluations(
    folder: Path,
    frame: pd.DataFrame,
    recipe: str,
    seed: int = 0,
    dataset: str = "digits",
    suite: str = "robustness",
    threat: str = THREAT,
) -> Path:
    """The index of a suite, and the files that it lists. frame: with the columns checkpoint and attack; an attack on
    fewer images than the others is one on a subset."""
    place = folder / "evaluations" / dataset / recipe / f"seed{seed}" / threat
    groups = frame.groupby(["checkpoint", "attack"], sort=False)
    entries, most = [], groups.size().max()
    for (checkpoint, attack), rows in groups:
        samples = len(rows) if len(rows) < most else None
        file = place / checkpoint / (f"{attack}.{samples}.parquet" if samples else f"{attack}.parquet")
        file.parent.mkdir(parents=True, exist_ok=True)
        _parquet(file, rows.drop(columns=["checkpoint", "attack"]))
        entry = {"checkpoint": checkpoint, "attack": attack, "samples": samples}
        entry |= {"file": file.relative_to(place).as_posix(), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        entries.append(entry)
    index = {"run": {"dataset": dataset, "recipe": recipe, "seed": seed}}
    index |= {"threat": {"name": threat, **THREATS[threat]}, "suite": suite, "evaluations": entries}
    path = place / f"{suite}.json"
    path.write_text(json.dumps(index))
    return path


def evaluation(index: Path, checkpoint: str, attack: str) -> tuple[pd.DataFrame, str]:
    """The rows of one attack that an index lists, and the path of their file."""
    entries = json.loads(index.read_text())["evaluations"]
    file = next(e["file"] for e in entries if (e["checkpoint"], e["attack"]) == (checkpoint, attack))
    return pd.read_parquet(index.parent / file), (index.parent / file).as_posix()


def context(name: str = "table", *, trained_on: Iterable[str] = ("digits",), **changes: object) -> Context:
    """What a builder is told of the recipes and attacks above, all of them trained on these datasets under THREAT.
    changes: fields of a Context; without `datasets` among them, datasets keep their names."""
    recipes = {
        recipe: Recipe(label, changes=base, leaves_out=FEWER.get(recipe, ""), threats=dict.fromkeys(trained_on, THREAT))
        for recipe, (label, base) in LABELS.items()
    }
    fields = {"name": name, "study": "energy", "caveat": CAVEAT, "paper": "the energy paper", "recipes": recipes}
    shared = {"attacks": ATTACK_LABELS, "threats": THREATS, "baseline": "trades", "uses": USES}
    return Context(**fields | shared | changes)


def _parquet(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_parquet(path, index=False)
    return path


def _history(recipe: str, epochs: int, random: np.random.Generator) -> pd.DataFrame:
    t = np.arange(1, epochs + 1) / epochs
    shape = 0.25 * np.minimum(t / 0.15, 1) + 0.75 * np.maximum(t - 0.7, 0) / 0.3
    frames = []
    for split in ("train", "validation"):
        overfit = 0.15 * np.maximum(t - 0.7, 0) * abs(GAP[recipe]) ** 0.5 * (1 if split == "train" else -0.3)
        robust = ROBUST[recipe] * (1 - 0.7 * np.exp(-t / 0.2)) + overfit + 0.01 * random.standard_normal(epochs)
        delta = GAP[recipe] * shape * (1.2 if split == "train" else 1.0) + 0.01 * random.standard_normal(epochs)
        columns = {
            "epoch": np.arange(1, epochs + 1),
            "split": split,
            "learning_rate": 0.1 * (1 - t),
            "train_loss": np.exp(-t),
            "clean_accuracy": 0.95 * (1 - 0.7 * np.exp(-t / 0.1)),
            "robust_accuracy": robust.clip(0, 1),
            "marginal_natural": -8 - t,
            "marginal_adversarial": -8 - t - delta,
            "joint_natural": -7 - t,
            "joint_adversarial": -4 - t,
            "delta_marginal": delta,
            "delta_joint": -3 + 0 * t,
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _energies(recipe: str, epochs: int, images: int, random: np.random.Generator) -> pd.DataFrame:
    frames = []
    for epoch in (1, epochs):
        for split in ("train", "validation"):
            natural = random.normal(-8, 2.5, images)
            delta = GAP[recipe] * epoch / epochs + 0.2 * random.standard_normal(images)
            columns = {
                "epoch": epoch,
                "split": split,
                "index": np.arange(images) + 1000 * (split == "validation"),
                "label": np.arange(images) % 10,
                "marginal_natural": natural,
                "joint_natural": natural + 0.5,
                "marginal_adversarial": natural - delta,
                "joint_adversarial": natural - delta + 2,
            }
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _robustness(recipe: str, images: int, random: np.random.Generator) -> pd.DataFrame:
    drop = {"clean": 0.0, "fgsm": 0.7, "pgd20": 0.9, "autoattack": 1.0}
    frames = []
    for checkpoint in ("best", "last"):
        for attack, strength in drop.items():
            n = images // 2 if attack == "autoattack" else images
            survives = 0.95 + (ROBUST[recipe] - 0.95) * strength - 0.03 * (checkpoint == "last")
            right = random.random(n) < survives
            known = right | (random.random(n) < 0.9)
            frame = _attacked(n, random, right, known, 0.0 if attack == "clean" else -GAP[recipe], 3.0)
            broken = np.where(known, random.choice(STAGES, n, p=(0.6, 0.3, 0.05, 0.05)), "misclassified")
            broken_by = np.where(right, "", broken) if attack == "autoattack" else ""
            frames.append(frame.assign(checkpoint=checkpoint, attack=attack, broken_by=broken_by))
    return pd.concat(frames, ignore_index=True)


def _attack_energies(recipe: str, images: int, random: np.random.Generator) -> pd.DataFrame:
    frames = []
    for attack, (marginal, joint) in ATTACKS.items():
        size = 1.0 if recipe == "standard" else 0.1
        right = random.random(images) < (0.02 if recipe == "standard" else 0.5)
        frame = _attacked(images, random, right, right | (random.random(images) < 0.95), size * marginal, size * joint)
        frames.append(frame.assign(checkpoint="last", attack=attack, broken_by=""))
    return pd.concat(frames, ignore_index=True)


def _attacked(
    n: int, random: np.random.Generator, right: np.ndarray, known: np.ndarray, marginal: float, joint: float
) -> pd.DataFrame:
    label = np.arange(n) % 10
    natural = random.normal(-14, 2.5, n)
    shift = 1 + 0.3 * random.standard_normal(n)
    columns = {
        "index": np.arange(n),
        "label": label,
        "prediction_natural": np.where(known, label, (label + 1) % 10),
        "prediction_adversarial": np.where(right, label, (label + 1) % 10),
        "marginal_natural": natural,
        "joint_natural": natural + 0.1,
        "marginal_adversarial": natural + marginal * shift,
        "joint_adversarial": natural + 0.1 + joint * shift,
        "distance": np.full(n, 0.1),
    }
    return pd.DataFrame(columns)


def _scores(path: Path, recipe: str, features: str, random: np.random.Generator) -> Path:
    names = {
        "classifier": {"frechet": "Fréchet classifier distance", "score": "classifier score", "kid": "KCD"},
        "inception": {"frechet": "FID", "score": "IS", "kid": "KID"},
    }
    content = {
        "names": names[features],
        "features": features,
        "scored": "real validation images" if recipe == "real" else "generated images",
        "n_generated": 500,
        "n_reference": 1200,
        "reference_split": "train",
        "frechet": float({"real": 1.0, "sat": 20.0}.get(recipe, 30.0) + random.random()),
        "frechet_two_half_spread": float(random.random()),
        "score_mean": float(7 + random.random()),
        "score_std": 0.1,
        "score_splits": 10,
        "reference_score_mean": 9.1,
        "kid_mean": 0.1,
        "nearest_training_distance_median": float(2 + random.random()),
    }
    path.write_text(json.dumps(content))
    return path
