"""Made-up results of defences of the worst class, of corrections and of training without one class; and data for and
against the claims on them."""

import numpy as np
import pandas as pd
from synthetic import write_evaluations

from robustlens.analysis.class_removal import Answers
from studies.classwise.removal import Removal

CLASSES, PER_CLASS = 10, 30
ATTACKS = ("clean", "pgd20", "margin-pgd20", "autoattack")
WITHOUT = (1, 2, 3)
DEFENCES = {"class-weighted-sat": "sat", "dafa": "trades"}
RECIPES = {
    **{name: {"method": name, "changes": base, "colour": "#CC79A7", "marker": "X"} for name, base in DEFENCES.items()},
    **{f"sat-without-{k}": {"method": "sat", "changes": "sat", "leave_out": {"classes": [k]}} for k in WITHOUT},
}
COHORTS = {
    "defence": {"recipes": list(DEFENCES), "suite": "defence", "seeds": [0, 1]},
    "defence-autoattack": {"recipes": list(DEFENCES), "suite": "defence-autoattack", "seeds": [0]},
    "corrected": {"recipes": ["sat", "trades"], "suite": "corrected", "seeds": [0, 1]},
    "removal": {"recipes": [f"sat-without-{k}" for k in WITHOUT], "suite": "removal", "seeds": [0]},
}
SUITES = {
    "defence": {"attacks": ["clean", "pgd20", "margin-pgd20"]},
    "defence-autoattack": {"attacks": ["autoattack"]},
    "corrected": {"attacks": list(ATTACKS)},
    "removal": {"attacks": ["pgd20"]},
}
CORRECTED = ("best-tau-normalised", "best-logit-adjusted")


def write(folder, dataset):
    """Below results/<scale>, beside the results of `sat` and `trades`."""
    for recipe in DEFENCES:
        for seed in (0, 1):
            frame = _attacked("best", [recipe, seed])
            strongest = frame["attack"] == "autoattack"
            write_evaluations(folder, frame[~strongest], recipe, seed, dataset, "defence")
            if seed == 0:
                write_evaluations(folder, frame[strongest], recipe, seed, dataset, "defence-autoattack")
            _history(folder, dataset, recipe, seed, removed=None)
    for recipe in ("sat", "trades"):
        for seed in (0, 1):
            frame = pd.concat(_attacked(checkpoint, [recipe, checkpoint, seed]) for checkpoint in CORRECTED)
            write_evaluations(folder, frame, recipe, seed, dataset, "corrected")
            columns = {"correction": ["tau-normalised"] * 2 + ["logit-adjusted"] * 2, "strength": [0.0, 1.0] * 2}
            run = folder / "runs" / dataset / recipe / f"seed{seed}"
            tried = pd.DataFrame(columns).assign(chosen=[True, False, False, True])
            tried.to_parquet(run / "corrections.parquet", index=False)
    for k in WITHOUT:
        frame = _attacked("best", ["without", k], removed=k)
        write_evaluations(folder, frame[frame["attack"] == "pgd20"], f"sat-without-{k}", 0, dataset, "removal")
        _history(folder, dataset, f"sat-without-{k}", 0, removed=k)


def _attacked(checkpoint, seeds, removed=None):
    """Each class is taken for the next one where it is wrong."""
    random = np.random.default_rng([sum(map(ord, str(part))) for part in seeds])
    label = np.repeat(np.arange(CLASSES), PER_CLASS)
    frames = []
    for attack, share in zip(ATTACKS, (0.9, 0.6, 0.58, 0.5), strict=True):
        wrong = (label + 1) % CLASSES
        wrong = np.where(wrong == removed, (label + 2) % CLASSES, wrong)
        right = (random.random(len(label)) < share) & (label != removed)
        columns = {"checkpoint": checkpoint, "attack": attack, "index": np.arange(len(label)), "label": label}
        columns |= {"prediction_natural": np.where(label == removed, wrong, label)}
        frame = pd.DataFrame(columns).assign(prediction_adversarial=np.where(right, label, wrong), broken_by="")
        frames.append(frame[frame["index"] % 3 == 0] if attack == "autoattack" else frame)
    return pd.concat(frames, ignore_index=True)


def _history(folder, dataset, recipe, seed, removed):
    run = folder / "runs" / dataset / recipe / f"seed{seed}"
    run.mkdir(parents=True)
    trained = [0 if k == removed else 10 for k in range(CLASSES)]
    rows = [
        {"epoch": epoch, "split": split, "class_total": total, "class_robust": [min(epoch, n) for n in total]}
        for epoch in range(1, 9)
        for split, total in (("train", trained), ("validation", [20] * CLASSES))
    ]
    pd.DataFrame(rows).to_parquet(run / "history.parquet", index=False)


# Claims ---------------------------------------------------------------------------------------------------------------

MANY = 100  # images per class
BASE = 0.5  # robust accuracy of all classes but the first


def defence(support):
    """Supporting: the worst class of everything that changes SAT is 20 points better than that of SAT, otherwise 20
    points worse."""
    entries = {"sat": ("", 0.3), **{entry: ("sat", 0.5 if support else 0.1) for entry in CHANGING_SAT}}
    frames = []
    for entry, (base, worst) in entries.items():
        for seed in range(3):
            label, place = np.repeat(np.arange(CLASSES), MANY), np.tile(np.arange(MANY), CLASSES)
            rates = np.array([worst, *[BASE + 0.05 * (1 + c) for c in range(CLASSES - 1)]])
            right = (place * 7 + 3 * seed) % MANY < MANY * rates[label]
            columns = {"index": np.arange(len(label)), "label": label, "seed": seed}
            frame = pd.DataFrame(columns).assign(entry=entry, base=base)
            frame = frame.assign(prediction_adversarial=np.where(right, label, (label + 1) % CLASSES))
            frames += [frame.assign(attack=name, source=f"{entry}/seed{seed}/{name}") for name in ATTACKS[1:3]]
    return pd.concat(frames, ignore_index=True)


CHANGING_SAT = ("class-weighted-sat", "sat/best-worst-class", "sat/best-tau-normalised")


def removal(support):
    """Every image of each class is attacked into the next one. Supporting: most of them are robust without it, and few
    without the control, the class before; otherwise the other way round."""
    label = np.repeat(np.arange(CLASSES), MANY)
    confuser, image = (label + 1) % CLASSES, np.tile(np.arange(MANY), CLASSES)
    without = {}
    for k in range(CLASSES):
        few = np.where(image % 5 == 0, label, confuser)
        many = np.where(image % 5 > 0, label, (label + 2) % CLASSES)
        without[k] = np.stack([np.where((confuser == k) == support, many, few)] * 3)
    answers = Answers(label, np.stack([label] * 3), np.stack([confuser] * 3), without)
    return {"sat": Removal(answers, CLASSES, 3, ("removal",))}
