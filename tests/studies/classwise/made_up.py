"""A made-up configuration of this study with two datasets, its results, and data for and against every claim."""

import json

import defended
import numpy as np
import pandas as pd
from safetensors.numpy import save_file
from synthetic import ATTACK_LABELS, LABELS, RESNET18, THREAT, THREATS, write_evaluations

from studies.classwise.claims.data import ClasswiseData
from studies.classwise.class_names import ClassNames

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
STRENGTH = {"clean": 0.1, "fgsm": 0.7, "pgd20": 0.9, "autoattack": 1.0}

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
    "suites": {"robustness": {"attacks": list(STRENGTH)}, **defended.SUITES},
    "studies": {
        "classwise": {
            "cohorts": {
                "main": {
                    "datasets": list(DATASETS),
                    "recipes": list(RECIPES),
                    "seeds": list(SEEDS),
                    "models": [],
                    "suite": "robustness",
                },
                **{name: {"datasets": list(DATASETS), "models": [], **c} for name, c in defended.COHORTS.items()},
            }
        }
    },
}


def write(folder):
    """All results of CONFIG below `folder`, which stands for results/<scale>."""
    (folder / "classes").mkdir(parents=True)
    for d, dataset in enumerate(DATASETS):
        content = {"names": NAMES[dataset], "superclasses": SUPERCLASSES[dataset]}
        (folder / "classes" / f"{dataset}.json").write_text(json.dumps(content))
        for r, recipe in enumerate(RECIPES):
            for seed in SEEDS:
                random = np.random.default_rng([d, r, seed])
                robust = np.linspace(0.25, 0.75, CLASSES)[(np.arange(CLASSES) * 3) % CLASSES] + 0.02 * r
                frame = _evaluated(robust, dataset, random)
                write_evaluations(folder, frame, recipe, seed, dataset)
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
    for attack, strength in STRENGTH.items():
        right = hardness < 1 - (1 - robust[label]) * strength
        columns = {"checkpoint": "best", "attack": attack, "index": np.arange(len(label)), "label": label}
        columns |= {"prediction_natural": label, "prediction_adversarial": np.where(right, label, wrong)}
        frame = pd.DataFrame(columns).assign(broken_by=np.where(right, "", "apgd-ce") if attack == "autoattack" else "")
        frames.append(frame[frame["index"] % 3 == 0] if attack == "autoattack" else frame)
    return pd.concat(frames, ignore_index=True)


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


# Claims ---------------------------------------------------------------------------------------------------------------

GROUPS = {"first": [0, 1, 2, 3, 4], "second": [5, 6, 7, 8, 9]}
MANY = 400  # images per class


def claims_data(support):
    """What every claim of the paper is judged on: data that support it, or data that contradict it."""
    return ClasswiseData(
        evaluations=pd.concat(_evaluations(support)),
        history=pd.concat(_histories(support)),
        norms=_norms(support),
        names=ClassNames(tuple("abcdefghij"), GROUPS),
        defence=defended.defence(support),
        removal=defended.removal(support),
    )


def _evaluations(support):
    """Supporting: one order of classes for all, far apart; AutoAttack takes most from the weak ones; errors go to two
    classes of the same group. Contradicting: near one another, in opposite orders; AutoAttack takes most from the
    strong ones; errors go to the other group, to other classes of it from images of odd numbers than of even ones."""
    for seed in range(3):
        for recipe, turned in (("sat", False), ("trades", not support)):
            pgd = np.linspace(0.3, 0.8, CLASSES) if support else np.linspace(0.42, 0.58, CLASSES)
            stronger = pgd - 0.5 * (0.8 - pgd) * pgd if support else 0.9 - pgd - 0.05
            for attack, rates in (("pgd20", pgd), ("autoattack", stronger)):
                yield _attacked(recipe, seed, attack, rates[::-1] if turned else rates, support)


def _attacked(recipe, seed, attack, rates, support):
    label = np.repeat(np.arange(CLASSES), MANY)
    place = np.tile(np.arange(MANY), CLASSES)
    right = (place * 7 + seed) % MANY < np.round(MANY * rates[label])
    others = [[c for c in group if (c != own)] for own in range(CLASSES) for group in _targets(own, support)]
    wrong = [_wrong(others[c], i, support) for c, i in zip(label, place, strict=True)]
    columns = {"checkpoint": "best", "attack": attack, "index": np.arange(len(label)), "label": label}
    source = f"{recipe}/seed{seed}/{attack}"
    return pd.DataFrame(columns).assign(
        prediction_adversarial=np.where(right, label, wrong), recipe=recipe, seed=seed, dataset="digits", source=source
    )


def _targets(own, support):
    """The one group that the errors of a class go to."""
    return [group for group in GROUPS.values() if (own in group) == support]


def _wrong(others, image, support):
    if support:
        return others[image // 2 % 2]
    part = others[:2] if image % 2 == 0 else others[2:]
    return part[image // 2 % len(part)]


def _histories(support):
    """Supporting: the worst class moves and the others stay. Contradicting: it stays and the others move."""
    for seed in range(3):
        for recipe in ("sat", "trades"):
            rows = []
            for epoch in range(1, 21):
                moved = epoch % 2 * (4 + seed)
                counts = [10 - moved, *[15] * (CLASSES - 1)] if support else [2, *[18 - moved] * (CLASSES - 1)]
                rows.append({"epoch": epoch, "class_total": [100] * CLASSES, "class_robust": counts})
            place = {"split": "validation", "recipe": recipe, "seed": seed, "dataset": "digits", "source": "history"}
            yield pd.DataFrame(rows).assign(**place)


def _norms(support):
    """Growing with the accuracies of `sat`, or falling."""
    norms = np.linspace(1, 2, CLASSES) if support else np.linspace(2, 1, CLASSES)
    rows = [{"dataset": "digits", "recipe": "sat", "seed": seed, "norms": norms + 0.01 * seed} for seed in range(3)]
    return pd.DataFrame(rows).assign(source="weights")
