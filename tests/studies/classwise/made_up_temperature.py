"""What made_up.py has of Temperature-PGD: cohorts, their results, and data for and against every claim."""

import numpy as np
import pandas as pd
from synthetic import OTHER_THREAT, THREAT, write_evaluations

from studies.classwise.temperature import swept

# Recipe: label, the share of images that PGD breaks, how much that grows with log10(1/T), and the softmax's probability
# of the true class of clean images.
RECIPES = {"he": ("HE", 0.5, 0.1, 0.4), "mail-at": ("MAIL-AT", 0.45, -0.03, 0.9)}
LABELS = {
    "clean": "clean",
    "pgd20": "PGD-20",
    "margin-pgd20": "margin",
    "temperature-pgd-0-5": "T-PGD, 1/T = 0.5",
    "temperature-pgd-1": "T-PGD, 1/T = 1",
    "temperature-pgd-5": "T-PGD, 1/T = 5",
    "temperature-pgd-20": "T-PGD, 1/T = 20",
}
COHORTS = {"temperature": (list(RECIPES), THREAT), "temperature-l2": (["he"], OTHER_THREAT)}
SEEDS, CLASSES, PER_CLASS = (0, 1), 10, 20


def declare(config):
    """Add recipes, attacks, the suite and the cohorts to a made-up configuration."""
    looks = {"he": ("#CC79A7", "h"), "mail-at": ("#000000", "v")}
    for name, (label, *_) in RECIPES.items():
        colour, marker = looks[name]
        config["recipes"][name] = {"method": name, "label": label, "colour": colour, "marker": marker}
    config["attacks"] |= {name: {"family": "pgd", "label": label} for name, label in LABELS.items()}
    config["suites"]["temperature"] = {"attacks": list(LABELS)}
    for name, (recipes, threat) in COHORTS.items():
        cohort = {"recipes": recipes, "seeds": list(SEEDS), "models": [], "suite": "temperature", "threat": threat}
        config["studies"]["classwise"]["cohorts"][name] = {"datasets": list(config["datasets"]), **cohort}
    gains = config["studies"]["classwise"]["cohorts"]["temperature"] | {"suite": "more-attacks"}
    config["studies"]["classwise"]["cohorts"]["temperature-gain"] = gains


def write(folder, datasets):
    """The results of these cohorts below `folder`, which stands for results/<scale>."""
    for d, dataset in enumerate(datasets):
        for r, recipe in enumerate(RECIPES):
            for seed in SEEDS:
                random = np.random.default_rng([7, d, r, seed])
                place = f"{dataset}/{recipe}/seed{seed}/{THREAT}"
                file = folder / "signs" / place / "temperature.parquet"
                file.parent.mkdir(parents=True)
                _signs(random).to_parquet(file, index=False)
                rows = _attacked(recipe, random)
                write_evaluations(folder, rows, recipe, seed, dataset, "more-attacks", THREAT)
                for recipes, threat in COHORTS.values():
                    if recipe in recipes:
                        write_evaluations(folder, rows, recipe, seed, dataset, "temperature", threat)


def _attacked(recipe, random):
    _, drop, slope, probability = RECIPES[recipe]
    label = np.repeat(np.arange(CLASSES), PER_CLASS)
    hardness, frames = random.random(len(label)), []
    for attack in LABELS:
        taken = 0.05 if attack == "clean" else drop + slope * np.log10(swept([attack]).get(attack, 1.0))
        right = hardness < 1 - taken - 0.02 * label
        columns = {"checkpoint": "best", "attack": attack, "index": np.arange(len(label)), "label": label}
        columns |= {"prediction_adversarial": np.where(right, label, (label + 1) % CLASSES)}
        frames.append(pd.DataFrame(columns).assign(**_energies(probability, len(label))))
    return pd.concat(frames, ignore_index=True)


def _energies(probability, images):
    """Of softmaxes that give the true class this probability."""
    joint = np.linspace(-9, -7, images)
    return {"marginal_natural": joint + np.log(probability), "joint_natural": joint}


def _signs(random):
    rows = [
        {"attack": attack, "inverse_temperature": value, "index": index, "share": 0.01 * value * random.random()}
        for attack, value in swept(LABELS).items()
        for index in range(CLASSES)
    ]
    return pd.DataFrame(rows)


# Recipe -> the share that Temperature-PGD takes, and the softmax's probability of the true class.
EVALUATED = {"sat": (0.1, 0.9), "trades": (0.16, 0.7), "mart": (0.22, 0.6), "weat-adv": (0.3, 0.5), "he": (0.4, 0.4)}


def evaluations(support, images=200):
    """Supporting: Temperature-PGD takes more than PGD, mainly from the weak classes, and the more the flatter the
    softmax. Contradicting: it takes as much less."""
    pgd, frames = np.linspace(0.3, 0.8, CLASSES), []
    for recipe, (share, probability) in EVALUATED.items():
        taken = share * (0.8 - pgd) * (1 if support else -1)
        attacks = {"clean": np.full(CLASSES, 0.95), "pgd20": pgd, "temperature-pgd-5": pgd - taken}
        for seed in range(3):
            for attack, rates in attacks.items():
                frames.append(_of_rates(rates, images, seed).assign(attack=attack, recipe=recipe, seed=seed))
                frames[-1] = frames[-1].assign(source=f"{recipe}/seed{seed}/{attack}", dataset="digits")
                frames[-1] = frames[-1].assign(**_energies(probability, CLASSES * images))
    return pd.concat(frames, ignore_index=True)


def _of_rates(rates, images, seed):
    label, place = np.repeat(np.arange(CLASSES), images), np.tile(np.arange(images), CLASSES)
    right = (place * 7 + seed) % images < np.round(images * rates[label])
    columns = {"checkpoint": "best", "index": np.arange(len(label)), "label": label}
    return pd.DataFrame(columns | {"prediction_adversarial": np.where(right, label, (label + 1) % CLASSES)})
