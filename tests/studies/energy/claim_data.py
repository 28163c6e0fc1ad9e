"""Made-up results that the claims of the energy paper are judged on."""

import dataclasses

import numpy as np
import pandas as pd
from synthetic import LABELS, context, write_study

from robustlens.analysis.claims import judge
from studies.energy.claims import CLAIMS, read
from studies.energy.claims.data import EnergyData

CHANGES = {name: changes for name, (_, changes) in LABELS.items() if changes}


def results(folder):
    """A whole study of one dataset, read as its ledger reads it."""
    study = write_study(folder, epochs=24, images=120)
    kinds = ("robustness", "attack_energies", "history", "energies", "scores")
    return read(context("claims"), **{kind: getattr(study, kind) for kind in kinds})["digits"]


def evaluate(name, data):
    """What a claim comes to."""
    return judge(next(claim for claim in CLAIMS if claim.id == name), data)


def swapped(frame, first, second):
    return frame.assign(recipe=frame["recipe"].replace({first: second, second: first}))


def holding(**frames):
    """The data with these frames; the others are empty."""
    empty = {f.name: pd.DataFrame() for f in dataclasses.fields(EnergyData) if f.type is pd.DataFrame}
    return EnergyData(**empty | {"changes": CHANGES} | frames)


def evaluated(recipe, seed, attack, checkpoint, right, moved=0.0, index=None):
    """An evaluation, one row per image; moved: ΔE(x) of each."""
    n = len(right)
    columns = {"checkpoint": checkpoint, "attack": attack, "index": range(n) if index is None else index, "label": 3}
    columns |= {"prediction_adversarial": [3 if r else 5 for r in right], "prediction_natural": 3}
    columns |= {"marginal_natural": -8.0, "marginal_adversarial": -8.0 - np.broadcast_to(moved, n)}
    columns |= {"joint_natural": -7.0, "joint_adversarial": -7.0}
    place = {"dataset": "digits", "recipe": recipe, "seed": seed, "source": f"{recipe}/seed{seed}/{checkpoint}"}
    return pd.DataFrame(columns).assign(**place)


def trained(recipe, seed, **columns):
    """The last epoch of a history, training images."""
    place = {"dataset": "digits", "recipe": recipe, "seed": seed, "source": f"{recipe}/history"}
    return pd.DataFrame([{"epoch": 40, "split": "train", **columns, **place}])


BEST, LAST = [1, 1, 1, 1, 0, 1, 1, 0], [1, 0, 1, 0, 0, 1, 0, 1]


def overfitted(recipe, seed, best=BEST, last=LAST):
    return [evaluated(recipe, seed, "pgd20", name, right) for name, right in (("best", best), ("last", last))]


def settings_of_sampler(distance, seeds=(("sat", 0), ("sat", 1), ("trades", 0), ("trades", 1))):
    """A grid with the distance of each setting as `distance(init, kept, sigma, momentum, steps, recipe)`."""
    rows = []
    for recipe, seed in seeds:
        for init in ("noise", "gaussian", "pca"):
            for kept, sigma in [(0.8, 0.5), (0.8, 1.0), (0.95, 1.0)] if init == "pca" else [(0.95, 1.0)]:
                for momentum in (0.0, 0.8):
                    for steps in (20, 40):
                        setting = {"init": init, "retained_variance": kept, "sigma": sigma, "momentum": momentum}
                        setting |= {"steps": steps, "step_size": 0.1, "noise": 0.001, "recipe": recipe, "seed": seed}
                        frechet = distance(init, kept, sigma, momentum, steps, recipe)
                        rows.append(setting | {"frechet": frechet, "frechet_name": "FID", "source": recipe})
    return pd.DataFrame(rows).assign(dataset="digits").sample(frac=1.0, random_state=0)
