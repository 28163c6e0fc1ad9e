"""Made-up results for and against every claim of this study."""

import defended
import made_up_temperature
import numpy as np
import pandas as pd

from studies.classwise.claims.classes import STRONGER
from studies.classwise.claims.data import ClasswiseData
from studies.classwise.class_names import ClassNames

CLASSES = 10
GROUPS = {"first": [0, 1, 2, 3, 4], "second": [5, 6, 7, 8, 9]}
MANY = 400  # images per class


def claims_data(support):
    """What every claim of the paper is judged on: data that support it, or data that contradict it."""
    return ClasswiseData(
        evaluations=pd.concat(_evaluations(support)),
        history=pd.concat(_histories(support)),
        norms=_norms(support),
        names=ClassNames(tuple("abcdefghij"), GROUPS),
        gains=made_up_temperature.evaluations(support),
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
            for attack, rates in (("pgd20", pgd), *((name, stronger) for name in STRONGER)):
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
                moved = epoch % 2 * (20 + 5 * seed)
                counts = [50 - moved, *[75] * (CLASSES - 1)] if support else [10, *[90 - moved] * (CLASSES - 1)]
                rows.append({"epoch": epoch, "class_total": [100] * CLASSES, "class_robust": counts})
            place = {"split": "validation", "recipe": recipe, "seed": seed, "dataset": "digits", "source": "history"}
            yield pd.DataFrame(rows).assign(**place)


def _norms(support):
    """Growing with the accuracies of `sat`, or falling."""
    norms = np.linspace(1, 2, CLASSES) if support else np.linspace(2, 1, CLASSES)
    rows = [{"dataset": "digits", "recipe": "sat", "seed": seed, "norms": norms + 0.01 * seed} for seed in range(3)]
    return pd.DataFrame(rows).assign(source="weights")
