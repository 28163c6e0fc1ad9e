"""Made-up evaluations of a third-party model on 50,000 images of 1,000 classes."""

import numpy as np
import pandas as pd
from synthetic import write_evaluations

CLASSES, PER_CLASS = 1000, 50
MODEL = "salman2020-resnet50"
ATTACKS = {"clean": 0.0, "pgd20": 1.0, "margin-pgd20": 1.08, "temperature-pgd-5": 1.06, "autoattack": 1.12}
FEWER = 5  # images per class that AutoAttack gets


def evaluated(seed: int = 0) -> pd.DataFrame:
    """All attacks, on the published checkpoint. Half of the errors go to the next four classes, the others anywhere."""
    random = np.random.default_rng(seed)
    label = np.repeat(np.arange(CLASSES), PER_CLASS)
    natural, robust = random.beta(4, 2, CLASSES), random.beta(2, 3, CLASSES)
    hardness = random.random(len(label))
    near = (label + random.integers(1, 5, len(label))) % CLASSES
    anywhere = (label + random.integers(1, CLASSES, len(label))) % CLASSES
    wrong = np.where(random.random(len(label)) < 0.5, near, anywhere)
    frames = []
    for attack, strength in ATTACKS.items():
        rates = natural[label] if attack == "clean" else (natural * robust)[label] / strength
        right = hardness < rates
        columns = {"checkpoint": "published", "attack": attack, "index": np.arange(len(label)), "label": label}
        columns |= {"prediction_adversarial": np.where(right, label, wrong)}
        frame = pd.DataFrame(columns).assign(broken_by=np.where(right, "", "apgd-ce") if attack == "autoattack" else "")
        frames.append(frame[frame["index"] % PER_CLASS < FEWER] if attack == "autoattack" else frame)
    return pd.concat(frames, ignore_index=True)


def write(folder, threat):
    """The index of its suite. threat: the name of one that `synthetic` knows."""
    return write_evaluations(folder, evaluated(), MODEL, 0, "imagenet", "third-party", threat)
