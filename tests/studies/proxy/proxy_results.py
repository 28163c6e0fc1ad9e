"""A made-up configuration of this study with two datasets, and its results."""

import hashlib
import json

import numpy as np
import pandas as pd
from synthetic import ATTACK_LABELS, RESNET18, THREAT, THREATS, write_evaluations

from studies.proxy.claims.data import ProxyData

DATASETS = {"digits": "handwritten digits", "toys": "small photographs"}
READERS = {"digits": "digits", "toys": "cifar10"}
GENERATORS = {
    "full": {"family": "gaussian", "per_class": 6, "label": "full Gaussian"},
    "ddpm": {"family": "ddpm", "per_class": 8, "label": "DDPM"},
    "ddpm-4": {"family": "ddpm", "per_class": 4, "label": "DDPM, 4 a class"},
}
# Recipe: label, what it changes, generator and gamma, and how many of 100 images it gets right: natural, attacked ones
RECIPES = {
    "sat": ("SAT", None, None, 80, 40),
    "sat-twice": ("SAT, twice the images", "sat", None, 82, 42),
    "ddpm-alone": ("DDPM alone", "sat-twice", ("ddpm", 0), 70, 38),
    "ddpm-alone-twice": ("DDPM alone, twice", "ddpm-alone", ("ddpm", 0, 2), 71, 39),
    "port-ddpm": ("PORT, DDPM", "sat-twice", ("ddpm", 0.4), 84, 48),
    "port-ddpm-0-8": ("PORT, DDPM, gamma 0.8", "port-ddpm", ("ddpm", 0.8), 83, 46),
    "port-full": ("PORT, full Gaussian", "sat-twice", ("full", 0.4), 83, 44),
    "port-diagonal": ("PORT, diagonal Gaussian", "sat-twice", ("full", 0.4), 80, 43),
    "port-ddpm-4": ("PORT, DDPM, 4 a class", "port-ddpm", ("ddpm-4", 0.4), 81, 43),
    "smoothing-twice": ("Smoothing", None, None, 80, 40),
    "port-smoothing": ("PORT with smoothing", "smoothing-twice", ("ddpm", 0.4), 84, 46),
}
CERTIFIED = ("smoothing-twice", "port-smoothing")
COHORTS = {
    "main": (["sat", "sat-twice", "ddpm-alone", "port-ddpm"], "selected-autoattack"),
    "proxies": (["port-full", "port-diagonal"], "selected"),
    "weights": (["port-ddpm-0-8", "ddpm-alone-twice"], "selected"),
    "sizes": (["port-ddpm-4"], "selected"),
}
SUITES = {"selected": ("clean", "pgd20"), "selected-autoattack": ("clean", "pgd20", "autoattack")}
SEEDS, IMAGES, CLASSES = (0, 1), 120, 3
SHAPE, LEVELS = (1, 4, 4), 16

CONFIG = {
    "scale": "made-up",
    "threats": THREATS,
    "generators": GENERATORS,
    "datasets": {
        name: {"title": title, "threat": THREAT, "architecture": RESNET18, "reader": {"family": READERS[name]}}
        for name, title in DATASETS.items()
    },
    "recipes": {
        name: {"method": "sat", "label": label, "colour": "#0072B2", "marker": "o"}
        | ({"changes": changes} if changes else {})
        | ({"mix": {"ratio": 1} | dict(zip(("generator", "gamma", "ratio"), mix, strict=False))} if mix else {})
        for name, (label, changes, mix, *_) in RECIPES.items()
    },
    "models": {},
    "attacks": {name: {"family": "pgd", "label": label} for name, label in ATTACK_LABELS.items()},
    "certifications": {"smoothed": {"label": "sigma 0.25"}},
    "suites": {name: {"attacks": list(attacks)} for name, attacks in SUITES.items()},
    "studies": {
        "proxy": {
            "cohorts": {
                name: {
                    "datasets": list(DATASETS),
                    "recipes": recipes,
                    "seeds": list(SEEDS),
                    "models": [],
                    "suite": suite,
                }
                for name, (recipes, suite) in COHORTS.items()
            }
            | {
                "certified": {
                    "datasets": list(DATASETS),
                    "recipes": list(CERTIFIED),
                    "seeds": list(SEEDS),
                    "models": [],
                    "certification": "smoothed",
                }
            },
        }
    },
}


def write(folder):
    """All results of CONFIG below `folder`, which stands for results/<scale>."""
    for d, dataset in enumerate(DATASETS):
        write_images(folder, dataset, np.random.default_rng(d))
        for recipes, suite in COHORTS.values():
            for r, recipe in enumerate(recipes):
                for seed in SEEDS:
                    random = np.random.default_rng([d, r, seed])
                    write_evaluations(folder, _attacked(recipe, SUITES[suite], random), recipe, seed, dataset, suite)
                    place = f"{dataset}/{recipe}/seed{seed}"
                    run = folder / "runs" / place
                    run.mkdir(parents=True)
                    lead = 0.05 * (recipe == "port-ddpm-0-8" and seed == 1)  # so that seeds choose different weights
                    history(RECIPES[recipe][-1] / 100 + lead, random).to_parquet(run / "history.parquet", index=False)
                    if RECIPES[recipe][2]:
                        close = folder / "closeness" / place
                        close.mkdir(parents=True)
                        _closeness(random).to_parquet(close / "closeness.parquet", index=False)
                        told = folder / "discrimination" / place
                        told.mkdir(parents=True)
                        curves(0.9 + 0.02 * r).to_parquet(told / "curve.parquet", index=False)
        for recipe in CERTIFIED:
            for seed in SEEDS:
                place = folder / "certified" / dataset / recipe / f"seed{seed}"
                place.mkdir(parents=True)
                certificates(RECIPES[recipe][-1], seed).to_parquet(place / "smoothed.parquet", index=False)


def write_images(folder, dataset, random):
    """The training images of a dataset, and a pool of each generator."""
    data = folder / "data" / dataset
    data.mkdir(parents=True)
    labels = np.arange(5 * CLASSES) % CLASSES
    images = random.integers(0, LEVELS + 1, (len(labels), *SHAPE)).astype(np.uint8)
    parts = {"images": images, "labels": labels.astype(np.int64), "index": np.arange(len(labels), dtype=np.int64)}
    for part, array in parts.items():
        np.save(data / f"train_{part}.npy", array)
    names = [f"class {label}" for label in range(CLASSES)]
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in data.glob("*.npy")}
    sheet = {"name": dataset, "classes": names, "shape": list(SHAPE), "levels": LEVELS, "sha256": sums}
    (data / "sheet.json").write_text(json.dumps(sheet))
    for name, settings in GENERATORS.items():
        pool = folder / "generators" / dataset / name
        pool.mkdir(parents=True)
        labels = np.repeat(np.arange(CLASSES), settings["per_class"])
        np.save(pool / "images.npy", random.integers(0, 256, (len(labels), *SHAPE)).astype(np.uint8))
        np.save(pool / "labels.npy", labels.astype(np.int64))


def history(best, random, epochs=4):
    """Robust accuracy on validation images: `best`, or nearly so, in the epoch before the last one."""
    shape = np.array([0.5, 0.8, 1.0, 0.9]) * best + 0.01 * random.random()
    frames = [
        pd.DataFrame({"epoch": np.arange(1, epochs + 1), "split": split, "robust_accuracy": shape + shift})
        for split, shift in (("train", 0.2), ("validation", 0.0))
    ]
    return pd.concat(frames, ignore_index=True)


def _attacked(recipe, attacks, random):
    natural, robust = RECIPES[recipe][-2:]
    rates = {"clean": natural, "pgd20": robust, "autoattack": robust - 2}
    label, hardness, frames = np.arange(IMAGES) % CLASSES, 100 * random.random(IMAGES), []
    for attack in attacks:
        right = hardness < rates[attack]
        columns = {"checkpoint": "best", "attack": attack, "index": np.arange(IMAGES), "label": label}
        columns |= {
            "prediction_natural": label,
            "prediction_adversarial": np.where(right, label, (label + 1) % CLASSES),
        }
        frames.append(pd.DataFrame(columns).assign(broken_by=np.where(right, "", "apgd-ce")))
    return pd.concat(frames, ignore_index=True)


def _closeness(random):
    """As `studies.proxy.closeness.measured` gives it."""
    whole = ("per-class", "frechet", "score", "kid", "agreement", "agreement-real")
    copies = ("copy-ratio", "share-near", "median-distance", "median-distance-real")
    transport = ("wasserstein", "robustness-real", "robustness-generated", "gap", "floor")
    transport += ("empirical", "generalisation-penalty", "shift-penalty", "robustness")
    rows = [(name, "", 0) for name in whole] + [(name, "l2", 0) for name in copies]
    rows += [(name, norm, draw) for name in transport for norm in ("l2", "linf") for draw in range(2)]
    frame = pd.DataFrame(rows, columns=["measure", "norm", "draw"])
    return frame.assign(value=0.5 + 0.5 * random.random(len(frame)))


def curves(start):
    """As `discrimination.curve.measure_curve` gives the table, for two numbers of steps: falling from `start`."""
    epsilons = np.array([0.0, 0.1, 0.2, 0.4])
    frames = []
    for steps in (100, 300):
        accuracy = np.maximum(0.5, start + steps / 10_000 - epsilons)
        columns = {"norm": "l2", "steps": steps, "epsilon": epsilons, "accuracy": accuracy}
        frames.append(pd.DataFrame(columns | {"own_accuracy": accuracy - 0.01, "chosen_epsilon": epsilons}))
    return pd.concat(frames, ignore_index=True)


def certificates(right, seed, images=100):
    """As `certification.run.certificates` gives them: `right` in 100 images are certified, within up to 0.5."""
    share = (np.arange(images) * 37 + seed) % images / images
    columns = {"index": np.arange(images), "label": 0, "predicted": 0, "count": 990, "p_lower": 0.97}
    columns |= {"radius": np.where(share < right / 100, 0.5 * (1 - share), 0.0)}
    frame = pd.DataFrame(columns).assign(abstained=lambda rows: rows["radius"] == 0)
    return frame.assign(correct=~frame["abstained"], answer=0, sigma=0.25, draws=1000, alpha=0.001)


# Claims ---------------------------------------------------------------------------------------------------------------

# Recipe: how many of 100 images are right under attack, of data that support the claims and of data that contradict
# them; and of its generator the accuracy of discriminators at radius 0.
JUDGED = {
    "sat": (40, 60, None),
    "sat-twice": (42, 62, None),
    "ddpm-alone": (50, 48, None),
    "ddpm-alone-twice": (50, 48, None),
    "port-ddpm": (70, 40, 0.80),
    "port-ddpm-0-6": (66, 44, None),
    "port-ddpm-top": (68, 44, None),
    "port-ddpm-any": (60, 52, None),
    "port-full": (60, 46, 0.85),
    "port-mixture": (55, 52, 0.90),
    "port-diagonal": (48, 56, 0.95),
}


def claims_data(support):
    """What every claim is judged on: data that support it, or data that contradict it."""
    which, seeds = int(not support), range(3)
    points, seen, close, told, proven = [], [], [], [], []
    for recipe, (*rates, start) in JUDGED.items():
        for seed in seeds:
            run = {"dataset": "digits", "recipe": recipe, "seed": seed}
            for attack in ("pgd20", "autoattack"):
                rows = {
                    "index": np.arange(200),
                    "points": 100.0 * (np.arange(200) * 37 % 100 < rates[which] + seed - 1),
                }
                about = {
                    "checkpoint": "best",
                    "attack": attack,
                    "threat": THREAT,
                    "source": f"{recipe}-{seed}-{attack}",
                }
                points.append(pd.DataFrame(rows).assign(**run, **about))
            best = {"epoch": [3], "robust_accuracy": [rates[which] / 100]}
            seen.append(pd.DataFrame(best).assign(**run, source=f"{recipe}-{seed}"))
            if start:
                told.append(curves(start).assign(**run, source=f"{recipe}-{seed}-curve"))
                # The nearer by the Fréchet distance, the less its images help, or the more.
                close.append(_measured(rates[0] / 100, -0.1 if not support else 1.5).assign(**run, source=recipe))
    for recipe, right in zip(CERTIFIED, (20, 45) if support else (45, 20), strict=True):
        for seed in seeds:
            run = {"dataset": "digits", "recipe": recipe, "seed": seed, "certification": "smoothed"}
            proven.append(certificates(right, seed).assign(**run, source=f"{recipe}-{seed}-certified"))
    return ProxyData(*(pd.concat(frames, ignore_index=True) for frames in (points, seen, close, told, proven)))


def _measured(frechet, wasserstein):
    values = {"frechet": frechet, "wasserstein": wasserstein, "gap": 0.05}
    rows = [(name, "" if name == "frechet" else "l2", 0, value) for name, value in values.items()]
    return pd.DataFrame(rows, columns=["measure", "norm", "draw", "value"])
