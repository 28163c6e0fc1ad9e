"""A made-up configuration of this study with two datasets, its results, and data for and against every claim."""

import json

import defended
import made_up_temperature
import numpy as np
import pandas as pd
from contested import claims_data
from safetensors.numpy import save_file
from synthetic import ATTACK_LABELS, LABELS, RESNET18, THREAT, THREATS, write_evaluations

__all__ = ["CONFIG", "claims_data", "write"]

DATASETS = {"digits": "handwritten digits", "cifar10": "small photographs"}
RECIPES = ("sat", "trades", "mart", "weat-adv")
COLOURS = {"sat": "#D55E00", "trades": "#0072B2", "mart": "#E69F00", "weat-adv": "#009E73"}
SEEDS = (0, 1)
CLASSES, PER_CLASS = 10, 30
NAMES = {
    "digits": [str(c) for c in range(10)],
    "cifar10": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
}
SUPERCLASSES = {"digits": {}, "cifar10": {"vehicles": [0, 1, 8, 9], "animals": [2, 3, 4, 5, 6, 7]}}
STRENGTH = {"clean": 0.1, "fgsm": 0.7, "pgd20": 0.9, "autoattack": 1.0}  # of the suite `robustness`
MORE = {"margin-pgd20": 0.97, "temperature-pgd-5": 0.98}  # of `more-attacks`
LATE = ("best", "best-worst-class", "last", "36", "40")  # checkpoints of the suite `checkpoints`

SUITES = {"main": "robustness", "attacks": "more-attacks", "checkpoints": "checkpoints"}
CONFIG = {
    "scale": "made-up",
    "threats": THREATS,
    "datasets": {
        name: {"title": title, "threat": THREAT, "architecture": RESNET18} for name, title in DATASETS.items()
    },
    "recipes": {name: {"method": name, "label": LABELS[name][0], "colour": COLOURS[name]} for name in RECIPES}
    | defended.RECIPES,
    "models": {},
    "attacks": {name: {"family": "pgd", "label": label} for name, label in ATTACK_LABELS.items()},
    "suites": {"robustness": {"attacks": list(STRENGTH)}, "more-attacks": {"attacks": list(MORE)}, **defended.SUITES}
    | {"checkpoints": {"attacks": ["pgd20"], "checkpoints": ["best", "best-worst-class", "last", "epochs"]}},
    "studies": {
        "classwise": {
            "cohorts": {
                name: {
                    "datasets": list(DATASETS),
                    "recipes": list(RECIPES),
                    "seeds": list(SEEDS),
                    "models": [],
                    "suite": suite,
                }
                for name, suite in SUITES.items()
            }
            | {name: {"datasets": list(DATASETS), "models": [], **c} for name, c in defended.COHORTS.items()},
        }
    },
}
made_up_temperature.declare(CONFIG)


def write(folder):
    """All results of CONFIG below `folder`, which stands for results/<scale>."""
    (folder / "classes").mkdir(parents=True)
    made_up_temperature.write(folder, DATASETS)
    for d, dataset in enumerate(DATASETS):
        content = {"names": NAMES[dataset], "superclasses": SUPERCLASSES[dataset]}
        (folder / "classes" / f"{dataset}.json").write_text(json.dumps(content))
        for r, recipe in enumerate(RECIPES):
            for seed in SEEDS:
                random = np.random.default_rng([d, r, seed])
                robust = np.linspace(0.25, 0.75, CLASSES)[(np.arange(CLASSES) * 3) % CLASSES] + 0.02 * r
                frame = _evaluated(robust, dataset, random)
                more = frame["attack"].isin(list(MORE))
                write_evaluations(folder, frame[~more], recipe, seed, dataset)
                write_evaluations(folder, frame[more], recipe, seed, dataset, "more-attacks")
                write_evaluations(folder, _late(frame, robust, dataset, seed), recipe, seed, dataset, "checkpoints")
                run = folder / "runs" / dataset / recipe / f"seed{seed}"
                run.mkdir(parents=True)
                rows = random.standard_normal((CLASSES, 16))
                rows *= (1 + robust)[:, None] / np.linalg.norm(rows, axis=1, keepdims=True)
                save_file({"linear.weight": rows.astype(np.float32)}, run / "best.safetensors")
                _history(robust, random).to_parquet(run / "history.parquet", index=False)
        defended.write(folder, dataset)


def _evaluated(robust, dataset, random):
    """Every attack on CLASSES x PER_CLASS images, AutoAttack on a third of them; errors mostly go to the next class."""
    label = np.repeat(np.arange(CLASSES), PER_CLASS)
    hardness = random.random(len(label))
    groups = list(SUPERCLASSES[dataset].values()) or [list(range(CLASSES))]
    following = {c: group[(i + 1) % len(group)] for group in groups for i, c in enumerate(group)}
    anywhere = (label + random.integers(1, CLASSES, len(label))) % CLASSES
    wrong = np.where(random.random(len(label)) < 0.7, [following[c] for c in label], anywhere)
    frames = []
    for attack, strength in (STRENGTH | MORE).items():
        right = hardness < 1 - (1 - robust[label]) * strength
        columns = {"checkpoint": "best", "attack": attack, "index": np.arange(len(label)), "label": label}
        columns |= {"prediction_natural": label, "prediction_adversarial": np.where(right, label, wrong)}
        frame = pd.DataFrame(columns).assign(broken_by=np.where(right, "", "apgd-ce") if attack == "autoattack" else "")
        frames.append(frame[frame["index"] % 3 == 0] if attack == "autoattack" else frame)
    return pd.concat(frames, ignore_index=True)


def _late(frame, robust, dataset, seed):
    """PGD-20 at several checkpoints; the best one as in `frame`."""
    parts = [frame]
    for number, checkpoint in enumerate(LATE[1:]):
        random = np.random.default_rng([seed, number])
        shifted = (robust + 0.05 * random.standard_normal(CLASSES)).clip(0, 1)
        parts.append(_evaluated(shifted, dataset, random).assign(checkpoint=checkpoint))
    together = pd.concat(parts, ignore_index=True)
    return together[together["attack"] == "pgd20"]


def _history(robust, random, epochs=12):
    rows = []
    for epoch in range(1, epochs + 1):
        for split in ("train", "validation"):
            rates = robust * (1 - np.exp(-epoch / 3)) + 0.05 * random.standard_normal(CLASSES)
            counted = {
                "class_total": [20] * CLASSES,
                "class_robust": np.round(20 * rates.clip(0, 1)).astype(int).tolist(),
            }
            rows.append({"epoch": epoch, "split": split, **counted})
    return pd.DataFrame(rows)
