"""A made-up configuration of this study with two datasets, its results, and data for and against every claim."""

from functools import cache

import numpy as np
import pandas as pd
from synthetic import ATTACK_LABELS, RESNET18, THREAT, THREATS, write_evaluations

from studies.invariance import training
from studies.invariance.claims.data import InvarianceData
from studies.invariance.results import sums

DATASETS = {"digits": "handwritten digits", "cifar10-step": "small photographs"}
# Recipe: label, what it changes, colour, marker, and how many of 100 images it gets right: natural, attacked ones
RECIPES = {
    "sat": ("SAT", None, "#D55E00", "o", 80, 40),
    "trades": ("TRADES", None, "#0072B2", "s", 78, 44),
    "lbgat": ("LBGAT", None, "#009E73", "^", 84, 45),
    "arat": ("AR-AT", None, "#CC79A7", "*", 88, 45),
    "naive": ("naive invariance", None, "#56B4E9", "h", 82, 40),
    "naive-stop-gradient": ("naive + stop-gradient", "naive", "#0072B2", "p", 83, 40),
    "naive-to-natural": ("naive, one half", "naive", "#332288", "8", 70, 30),
    "naive-small-batches": ("naive, small batches", "naive", "#A6CEE3", "3", 82, 40),
    "naive-large-batches": ("naive, large batches", "naive", "#1F78B4", "4", 82, 40),
    "arat-no-stop-gradient": ("AR-AT without stop-gradient", "arat", "#B07A9A", "o", 86, 43),
    "arat-gamma-triple": ("AR-AT, three times gamma", "arat", "#7A2E5D", "3", 84, 45),
    "arat-no-predictor": ("AR-AT without predictor", "arat", "#6A3D9A", "v", 87, 44),
    "arat-shared-batchnorm": ("AR-AT, one BatchNorm", "arat", "#A6761D", "s", 84, 42),
    "arat-as-released": ("AR-AT, as released", "arat", "#8F4E73", "P", 86, 46),
    "lbgat-shared": ("LBGAT, one network", "lbgat", "#004D40", "<", 78, 40),
    "lbgat-split": ("LBGAT, two BatchNorms", "lbgat-shared", "#1B7837", ">", 80, 44),
    "lbgat-split-stop-gradient": ("LBGAT, stop-gradient", "lbgat-split", "#7FBC41", "D", 81, 48),
}
MAIN = ("sat", "trades", "lbgat", "arat")
SEEDS, IMAGES, CLASSES = (0, 1), 200, 4
WEAKER = {"pgd20": 1.0, "autoattack": 0.95, "autoattack-10": 0.97, "pgd20-off-centre": 0.8}
LABELS = ATTACK_LABELS | {"autoattack-10": "AutoAttack of 10 iterations", "pgd20-off-centre": "PGD-20, off-centre"}
SUITES = {
    "robustness": ("clean", "pgd20", "autoattack"),
    "brief": ("clean", "pgd20"),
    "evaluators": ("autoattack", "autoattack-10", "pgd20", "pgd20-off-centre"),
    "both-batchnorms": ("clean", "pgd20"),
}
OBSERVED = [name for name in RECIPES if name.startswith(("naive", "arat", "lbgat-shared"))]
RELEASED, STRENGTHS = ("arat-as-released",), ("arat-gamma-triple",)
BATCHES = ("naive-small-batches", "naive-large-batches")
COHORTS = {
    "main": (MAIN, "robustness"),
    "compared": ([name for name in RECIPES if name not in (*MAIN, *RELEASED, *STRENGTHS, *BATCHES)], "brief"),
    "released": (RELEASED, "brief"),
    "strengths": (STRENGTHS, "brief"),
    "batches": (BATCHES, None),
    "exported": (["arat"], "both-batchnorms"),
    "evaluators": (MAIN, "evaluators"),
    "features": (MAIN, "robustness"),
    "channels": (["arat-shared-batchnorm", "arat"], "robustness"),
}
EVERYTHING = tuple(
    name
    for name in vars(training)
    if name.isupper() and isinstance(getattr(training, name), tuple) and len(getattr(training, name)) == 2
)

CONFIG = {
    "scale": "made-up",
    "threats": THREATS,
    "datasets": {
        name: {"title": title, "threat": THREAT, "architecture": RESNET18} for name, title in DATASETS.items()
    },
    "recipes": {
        name: {"method": "arat", "label": label, "colour": colour, "marker": marker}
        | ({"changes": changes} if changes else {})
        | ({"observers": {"loss-terms": {"every": 1}}} if name in OBSERVED else {})
        for name, (label, changes, colour, marker, *_) in RECIPES.items()
    },
    "models": {},
    "attacks": {name: {"family": "pgd", "label": label} for name, label in LABELS.items()},
    "suites": {name: {"attacks": list(attacks)} for name, attacks in SUITES.items()},
    "studies": {
        "invariance": {
            "cohorts": {
                name: {
                    "datasets": list(DATASETS),
                    "recipes": list(recipes),
                    "seeds": list(SEEDS),
                    "models": [],
                    **({"suite": suite} if suite else {}),
                }
                for name, (recipes, suite) in COHORTS.items()
            },
        }
    },
}


def write(folder):
    """All results of CONFIG below `folder`, which stands for results/<scale>."""
    for d, dataset in enumerate(DATASETS):
        for r, recipe in enumerate(RECIPES):
            for seed in SEEDS:
                random = np.random.default_rng([d, r, seed])
                for recipes, suite in COHORTS.values():
                    if recipe in recipes and suite:
                        frame = _attacked(recipe, SUITES[suite], np.random.default_rng([d, r, seed]), suite)
                        write_evaluations(folder, frame, recipe, seed, dataset, suite)
                run = folder / "runs" / dataset / recipe / f"seed{seed}"
                run.mkdir(parents=True)
                if recipe in OBSERVED:
                    _statistics(random).to_parquet(run / "statistics.parquet", index=False)
                if recipe in MAIN:
                    file = folder / "features" / dataset / recipe / f"seed{seed}" / THREAT / "robustness.parquet"
                    file.parent.mkdir(parents=True)
                    _features(random).to_parquet(file, index=False)
                if recipe in COHORTS["channels"][0]:
                    file = (
                        folder / "features" / dataset / recipe / f"seed{seed}" / THREAT / "robustness/channels.parquet"
                    )
                    file.parent.mkdir(parents=True)
                    _channels(random, shared=recipe == "arat-shared-batchnorm").to_parquet(file, index=False)


def _attacked(recipe, attacks, random, suite):
    """AutoAttack on half of the images, as at the embedded scale."""
    natural, robust = RECIPES[recipe][-2:]
    checkpoints = {"robustness": ("best", "last"), "both-batchnorms": ("best", "best-natural-batchnorm")}
    label, hardness, frames = np.arange(IMAGES) % CLASSES, 100 * random.random(IMAGES), []
    for checkpoint in checkpoints.get(suite, ("best",)):
        shift = 0 if checkpoint == "best" else -3
        for attack in attacks:
            right = hardness < shift + (natural if attack == "clean" else robust * WEAKER[attack])
            columns = {"checkpoint": checkpoint, "attack": attack, "index": np.arange(IMAGES), "label": label}
            columns |= {"prediction_natural": label, "prediction_adversarial": np.where(right, label, label + 1)}
            broken_by = np.where(right, "", "apgd-ce") if attack.startswith("autoattack") else ""
            frame = pd.DataFrame(columns).assign(broken_by=broken_by)
            frames.append(frame[frame["index"] % 2 == 0] if attack.startswith("autoattack") else frame)
    return pd.concat(frames, ignore_index=True)


def _statistics(random, epochs=6, steps=3):
    rows = []
    for name in EVERYTHING:
        observer, statistic = getattr(training, name)
        for epoch in range(1, epochs + 1):
            for step in [0] if observer == "feature-drift" else range(1, steps + 1):
                value = 0.5 + 0.1 * random.standard_normal()
                rows.append((epoch, epoch * steps + step if step else 0, observer, statistic, value))
                if name == "CONFLICT":
                    rows += [(*rows[-1][:3], f"{statistic}/{layer}", value) for layer in ("conv1", "linear")]
    return pd.DataFrame(rows, columns=training.READ)


def _features(random):
    natural, distance = 5 + random.random(IMAGES), 1 + random.random(IMAGES)
    columns = {"index": np.arange(IMAGES), "cosine": 0.9 + 0.1 * random.random(IMAGES)}
    return pd.DataFrame(columns | {"distance": distance, "norm": natural})


def _channels(random, shared, norms=3, width=8):
    frames = []
    for images in ("natural", "adversarial"):
        for depth in range(1, norms + 1):
            mean, variance = random.standard_normal(width), random.random(width) + 0.1
            columns = {"layer": f"bn{depth}", "depth": depth, "channel": np.arange(width), "mean": mean}
            stored = {"running_mean": np.zeros(width) if shared else mean, "running_variance": np.ones(width)}
            frames.append(pd.DataFrame(columns | {"variance": variance} | stored | {"eps": 1e-5, "images": images}))
    return pd.concat(frames, ignore_index=True)


# Claims -----------------------------------------------------------------------------------------------------------


# Robust accuracies that are far from those of what is said to be about as robust, where the claims are contradicted
FAR = {"naive-stop-gradient": 55, "lbgat": 35, "lbgat-shared": 30}


def claims_data(support):
    """Supporting: as the recipes above are. Contradicting: every difference the other way round."""
    return InvarianceData(_points(support).copy(), _seen(support).copy())


@cache
def _points(support):
    frames = []
    for recipe, (*_, natural, robust) in RECIPES.items():
        if not support:
            robust = FAR.get(recipe, robust)
        rates = {"clean": natural, **{attack: robust * factor for attack, factor in WEAKER.items()}}
        rates["autoattack-10"] = rates["autoattack"] + (3 if support else -3)
        for seed in range(3):
            for attack, rate in rates.items():
                wanted = rate if support or attack == "autoattack-10" or recipe.startswith("naive") else 130 - rate
                place = np.arange(IMAGES)
                right = (place * 7 + seed) % IMAGES < round(IMAGES * wanted / 100)
                columns = {"index": place, "label": 0, "prediction_adversarial": np.where(right, 0, 1)}
                frame = pd.DataFrame(columns).assign(checkpoint="best", attack=attack, recipe=recipe, seed=seed)
                frame = frame.assign(dataset="digits", threat=THREAT, points=100.0 * right)
                frames.append(frame.assign(source=f"{recipe}/seed{seed}/{attack}"))
    rows = pd.concat(frames, ignore_index=True)
    return pd.concat([rows, sums(rows)], ignore_index=True)


# Statistic: which of two recipes has the larger value, by the claims
LARGER = {
    "DISTANCE": ("naive-stop-gradient", "naive"),
    "MEANS": ("naive-stop-gradient", "naive"),
    "MOVED_SHARED": ("arat-shared-batchnorm", "arat"),
    "GRADIENT": ("arat-no-predictor", "arat"),
    "DRIFT": ("arat-no-predictor", "arat"),
}


# The share of weights in conflict where it supports the claims, and where it does not
SHARES = {
    "naive": (0.45, 0.75),
    "naive-stop-gradient": (0.3, 0.8),
    "naive-to-natural": (0.57, 0.7),
    "naive-small-batches": (0.44, 0.8),
    "naive-large-batches": (0.47, 0.7),
}


@cache
def _seen(support):
    frames = []
    for name in EVERYTHING:
        observer, statistic = getattr(training, name)
        for recipe in OBSERVED:
            value = 0.5 + 0.5 * ((recipe == LARGER.get(name, (None,))[0]) == support)
            value = -value if name == "COSINE" and support == (recipe != "naive-stop-gradient") else value
            value = SHARES.get(recipe, (0.5, 0.5))[not support] if name == "CONFLICT" else value
            for seed in range(3):
                for epoch in range(1, 5):
                    row = {"epoch": epoch, "step": 16 * epoch, "observer": observer, "statistic": statistic}
                    row |= {"value": value + 0.002 * seed * epoch * (1 + (recipe == "arat")), "dataset": "digits"}
                    frames.append(row | {"recipe": recipe, "seed": seed, "source": f"{recipe}/seed{seed}"})
    return pd.DataFrame(frames)
