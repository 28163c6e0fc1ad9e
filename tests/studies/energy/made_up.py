"""A made-up configuration of the energy study with two datasets, its results, and data for and against every claim."""

import json

import numpy as np
import pandas as pd
from claim_data import evaluated, holding, settings_of_sampler
from figure_results import write_images
from synthetic import ATTACK_LABELS, ATTACKS, FEWER, LABELS, RESNET18, THREAT, THREATS, write_study

DATASETS = {"digits": "handwritten digits", "svhn": "house numbers"}
MAIN, FURTHER, SUBSETS = ("standard", "sat", "trades", "weat-adv"), ("mart",), ("sat-no-low",)


def _cohort(*recipes, suite=None, seeds=(0, 1)):
    cohort = {"datasets": list(DATASETS), "recipes": list(recipes), "seeds": list(seeds), "models": []}
    return cohort | ({"suite": suite} if suite else {})


def _recipe(name):
    label, changes = LABELS[name]
    settings = {"method": "weat" if name.startswith("weat") else name, "label": label}
    left_out = {"measured_by": "sat", "group": "low-energy"} if name in FEWER else None
    return settings | ({"changes": changes} if changes else {}) | ({"leave_out": left_out} if left_out else {})


CONFIG = {
    "scale": "made-up",
    "threats": THREATS,
    "datasets": {
        name: {"title": title, "threat": THREAT, "architecture": RESNET18, "generation": {"grid": {}}}
        for name, title in DATASETS.items()
    },
    "recipes": {name: _recipe(name) for name in (*MAIN, *FURTHER, *SUBSETS)},
    "models": {},
    "attacks": {name: {"family": "pgd", "label": label} for name, label in ATTACK_LABELS.items()},
    "suites": {
        "robustness": {"attacks": ["clean", "fgsm", "pgd20", "autoattack"]},
        "attack-energies": {"attacks": list(ATTACKS)},
    },
    "studies": {
        "energy": {
            "cohorts": {
                "main": _cohort(*MAIN, suite="robustness"),
                "further": _cohort(*FURTHER, suite="robustness"),
                "subsets": _cohort(*SUBSETS, suite="robustness"),
                "attack-energies": _cohort("standard", "sat", suite="attack-energies"),
                "generation": _cohort("sat", "trades"),
                "generation-grid": _cohort("sat", "trades", seeds=(0,)),
            }
        }
    },
}


def write(folder):
    """All results of CONFIG below `folder`, which stands for results/<scale>."""
    for dataset in DATASETS:
        study = write_study(folder, dataset, (*MAIN, *FURTHER, *SUBSETS), (0, 1), epochs=24, images=40)
        for path in study.scores:
            distances = {"0": 1.0 + len(path.parts[-3]), "1": 4.0}
            path.write_text(json.dumps(json.loads(path.read_text()) | {"dims": 16, "frechet_per_class": distances}))
        write_images(folder, dataset)
        for seed in (0, 1):
            _measure(folder / "energies" / dataset / "sat" / f"seed{seed}" / "training-images.parquet")
        for recipe in ("sat", "trades"):
            _grid(folder / "generation" / dataset / recipe / "seed0")


def _measure(path):
    columns = {"index": range(40), "label": 0, "prediction": np.arange(40) % 4 > 0}
    energy = np.linspace(-14.0, -2.0, 40)
    path.parent.mkdir(parents=True)
    pd.DataFrame(columns | {"marginal": energy, "joint": energy}).to_parquet(path, index=False)


def _grid(place):
    rows = [
        {"setting": s, "init": init, "momentum": momentum, "steps": steps, "frechet": 3.0 + s}
        for s, (init, momentum, steps) in enumerate([("noise", 0.0, 5), ("pca", 0.8, 5), ("gaussian", 0.0, 10)])
    ]
    common = {"retained_variance": 0.95, "sigma": 0.5, "step_size": 0.1, "noise": 0.0, "frechet_two_half_spread": 0.25}
    common |= {"score_mean": 8.0, "kid_mean": 0.1, "nearest_training_distance_median": 2.0, "n_generated": 30}
    common |= {"features": "classifier", "frechet_name": "Fréchet classifier distance", "seconds": 1.0}
    pd.DataFrame([row | common for row in rows]).to_parquet(place / "grid.parquet", index=False)
    chains = [
        {"setting": row["setting"], "step": step, "joint": -float(step)}
        for row in rows
        for step in range(row["steps"] + 1)
    ]
    pd.DataFrame(chains).to_parquet(place / "grid-chains.parquet", index=False)
    np.savez(place / "grid.npz", images=np.full((len(rows), 3, 2, 1, 4, 4), 0.5, np.float32))


# Claims ---------------------------------------------------------------------------------------------------------------


def claims_data(support):
    """What every claim of the paper is judged on: data that support it, or data that contradict it."""
    return holding(
        robustness=pd.concat(_robustness(support)),
        attack_energies=pd.concat(_attack_energies(support)),
        history=pd.concat(_histories(support)),
        energies=pd.concat(_energies(support)),
        scores=_scores(support),
        grid=settings_of_sampler(
            lambda init, kept, sigma, momentum, *_: 50 + (1 if support else -1) * (20 * (init != "pca") - 9 * momentum)
        ),
    )


def _first(right, n=400):
    return np.arange(n) < right


def _attack_energies(support):
    """ΔE(x) of standard training, and under KL-PGD also E(x, y), of images that are fooled and that are not."""
    sign = 1 if support else -1
    shifts = {
        "pgd": 14,
        "kl-pgd": 13,
        "apgd-ce": 15,
        "pgd-targeted": -3,
        "apgd-t": -6,
        "fab": -4,
        "square": -5,
        "cw": -4,
    }
    right = {"kl-pgd": 200, "pgd": 200 - sign * 120}
    for seed in range(3):
        for attack, shift in shifts.items():
            rows = evaluated(
                "standard", seed, attack, "last", _first(right.get(attack, 20)), sign * (shift + 0.1 * seed)
            )
            rises = np.where(rows["prediction_adversarial"] != rows["label"], 9.0, -9.0) + 0.1 * seed
            yield rows.assign(joint_adversarial=rows["joint_natural"] + sign * rises)


def _robustness(support):
    """Accuracies, of 400 images, and under PGD-20 |ΔE(x)|, which falls with them or rises."""
    best = {"sat": 240, "trades": 220, "mart": 200, "mail-trades": 180, "weat-adv": 160, "weat-nat": 140}
    last = {"sat": 160 if support else 320, "sat-no-low": 190 if support else 150}
    last["sat-no-random"] = last["sat"]
    fewer = {
        "sat-no-random": 240,
        "sat-no-low": 200,
        "sat-no-high-correct": 200,
        "sat-no-misclassified": 210 if support else 160,
    }
    auto = {"sat": 60, "trades": 280, "mail-trades": 250, "weat-nat": 300, "weat-adv": 360}
    auto |= {} if support else {"weat-adv": 40, "weat-nat": 100}
    for seed in range(3):
        for recipe, right in (best | fewer).items():
            moved = (2.0 - right / 200 if support else right / 200) + 0.01 * seed
            yield evaluated(recipe, seed, "pgd20", "best", _first(right), moved)
        for recipe, right in last.items():
            yield evaluated(recipe, seed, "pgd20", "last", _first(right))
        for recipe, right in auto.items():
            yield evaluated(recipe, seed, "autoattack", "best", _first(right))


def _histories(support):
    """SAT falls, levels off and falls again, or the reverse; the other recipes only end somewhere."""
    t, sign = np.arange(1, 31), 1 if support else -1
    falling = -0.05 * np.minimum(t, 8) - 0.2 * np.maximum(t - 22, 0)
    for recipe, size in {
        "sat": 1.0,
        "trades": 0.1,
        "mart": 0.4,
        "mail-trades": 0.2,
        "weat-nat": 0.7,
        "weat-adv": 0.55,
    }.items():
        overfit = 0.2 * size if support else 0.25 - 0.2 * size
        marginal = size if support else 1.2 - size
        for seed in range(3):
            place = {"dataset": "digits", "recipe": recipe, "seed": seed, "source": f"{recipe}/history", "epoch": t}
            train = pd.DataFrame(place | {"split": "train", "robust_accuracy": 0.5 + overfit + 0.001 * seed})
            energies = {"delta_marginal": sign * (size + 0.001 * seed) * falling, "marginal_term": -marginal}
            yield train.assign(**energies, conditional_term=1.0)
            yield train.assign(split="validation", robust_accuracy=0.5, delta_marginal=0.0)


def _energies(support):
    """ΔE(x) of training images at the end."""
    gaps = (
        {"sat": -0.9, "trades": -0.3, "weat-adv": -0.1} if support else {"sat": -0.1, "trades": -0.3, "weat-adv": -0.9}
    )
    for recipe, gap in gaps.items():
        for seed in range(3):
            rows = evaluated(recipe, seed, "", "", _first(50, 100), gap + 0.01 * seed)
            yield rows.assign(epoch=30, split="train")


def _scores(support):
    distances = {"sat": 20.0, "trades": 30.0 if support else 10.0}
    rows = [
        {
            "recipe": recipe,
            "seed": seed,
            "frechet": distance + 0.1 * seed,
            "names": {"frechet": "FID"},
            "source": recipe,
        }
        for recipe, distance in distances.items()
        for seed in range(3)
    ]
    return pd.DataFrame(rows).assign(dataset="digits")
