"""Made-up results for the figures of the energy study, where the ones of `synthetic` do not show what is tested."""

import hashlib
import json

import numpy as np
import pandas as pd

from robustlens.report.context import Context, Recipe
from robustlens.report.figure import BLACK, BLUE, GREEN, ORANGE, RED
from robustlens.study.declaration import USES

LOOKS = {  # recipe: label, colour, marker
    "standard": ("Standard", "#888888", "o"),
    "sat": ("SAT", RED, "o"),
    "trades": ("TRADES", BLUE, "s"),
    "mart": ("MART", ORANGE, "D"),
    "mail-at": ("MAIL-AT", BLACK, "v"),
    "weat-adv": ("WEAT-adv", GREEN, ">"),
    "sat-early": ("SAT, a few epochs", BLACK, "*"),
    "sat-no-high": ("without high-energy images", BLACK, "*"),
}
THREAT, OTHER_THREAT = "linf-3-16", "l2-1-2"
THREATS = {
    THREAT: {"norm": "linf", "epsilon": "3/16", "step_size": "3/64"},
    OTHER_THREAT: {"norm": "l2", "epsilon": "1/2", "step_size": "1/8"},
}


def context(**changes):
    """What builders are told of digits and the recipes above. changes: fields of a Context."""
    recipes = {
        name: Recipe(label=label, colour=colour, marker=marker, threats={"digits": THREAT})
        for name, (label, colour, marker) in LOOKS.items()
    }
    fewer = recipes["sat-no-high"]
    recipes["sat-no-high"] = Recipe(fewer.label, changes="sat", leaves_out="high-energy", threats=fewer.threats)
    fields = {
        "name": "figure",
        "study": "energy",
        "caveat": "Embedded scale: no evidence about CIFAR-10.",
        "paper": "the energy paper",
        "datasets": {"digits": "handwritten digits"},
        "recipes": recipes,
        "attacks": {"pgd": "PGD", "kl-pgd": "KL-PGD", "pgd20": "PGD-20", "autoattack": "AutoAttack"},
        "threats": THREATS,
        "architectures": {},
        "uses": USES,
    }
    return Context(**fields | changes)


def lines(axes):
    """The curves of a panel, without its horizontal and vertical helper lines."""
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def write(path, frame):
    """The frame as a file of a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False)
    return path


def bent(epochs, first, second):
    """0 up to the first bend, then falling by 1 per epoch, after the second bend by 3."""
    return [-max(t - first, 0) - 2 * max(t - second, 0) for t in epochs]


def write_bent_histories(folder, recipe, bends, epochs=20):
    """One history per seed, whose ΔE(x) on training images bends at the given epochs."""
    t = range(1, epochs + 1)
    paths = []
    for seed, (first, second) in enumerate(bends):
        curve = pd.DataFrame({"epoch": t, "robust_accuracy": 0.5, "delta_marginal": bent(t, first, second)})
        frame = pd.concat([curve.assign(split=split) for split in ("train", "validation")])
        paths.append(write(folder / "runs" / "digits" / recipe / f"seed{seed}" / "history.parquet", frame))
    return paths


def write_tracked(folder, recipe, epochs, seeds=(0, 1), images=60):
    """Energies of training and validation images at some epochs."""
    paths = []
    for seed in seeds:
        random, frames = np.random.default_rng(seed), []
        for epoch in epochs:
            for split in ("train", "validation"):
                marginal = random.normal(-0.2 * epoch, 1, (2, images))
                joint = marginal + random.exponential(1.0, (2, images))
                frame = {"epoch": epoch, "split": split, "index": np.arange(images)[::-1], "label": 0}
                for row, kind in enumerate(("natural", "adversarial")):
                    frame |= {f"marginal_{kind}": marginal[row], f"joint_{kind}": joint[row]}
                frames.append(pd.DataFrame(frame))
        paths.append(write(folder / "runs" / "digits" / recipe / f"seed{seed}" / "energies.parquet", pd.concat(frames)))
    return paths


def write_evaluations(folder, recipe, seed, frame, suite="robustness", threat=THREAT):
    """The index of a suite of a run on digits. frame: the evaluations, with the columns checkpoint and attack."""
    index = folder / "evaluations" / "digits" / recipe / f"seed{seed}" / threat / f"{suite}.json"
    entries = []
    for (checkpoint, attack), rows in frame.groupby(["checkpoint", "attack"], sort=False):
        file = write(index.parent / checkpoint / f"{attack}.parquet", rows.drop(columns=["checkpoint", "attack"]))
        entry = {"checkpoint": checkpoint, "attack": attack, "samples": None, "file": f"{checkpoint}/{file.name}"}
        entries.append(entry | {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()})
    run = {"dataset": "digits", "recipe": recipe, "seed": seed}
    content = {"run": run, "threat": {"name": threat} | THREATS[threat], "suite": suite, "evaluations": entries}
    index.write_text(json.dumps(content))
    return index


def evaluations_of(index):
    """All evaluations beside an index, with the columns checkpoint and attack."""
    frames = [
        pd.read_parquet(path).assign(checkpoint=path.parent.name, attack=path.name.partition(".")[0])
        for path in sorted(index.parent.glob("*/*.parquet"))
    ]
    return pd.concat(frames, ignore_index=True)


def write_subsets(folder, right):
    """Evaluations of ten images. right: {recipe: {(attack, checkpoint): which images are classified correctly}}."""
    paths = []
    for recipe, parts in right.items():
        frames = []
        for (attack, checkpoint), correct in parts.items():
            predicted = np.where(np.isin(np.arange(10), list(correct)), 0, 1)
            row = {"checkpoint": checkpoint, "attack": attack, "index": np.arange(10), "label": 0}
            frames.append(pd.DataFrame(row | {"prediction_adversarial": predicted}))
        paths.append(write_evaluations(folder, recipe, 0, pd.concat(frames), suite="brief"))
    return paths


def measured(folder, recipe="sat-early", shift=0.0):
    energy, prediction = shift + np.array([-12.0, -9.0, -9.1, -4.0, -2.0]), [0, 0, 1, 0, 1]
    frame = pd.DataFrame({"index": range(5), "label": 0, "prediction": prediction, "marginal": energy, "joint": energy})
    return write(folder / "energies" / "digits" / recipe / "seed0" / "training-images.parquet", frame)


SAT = {
    ("clean", "best"): range(9),
    ("clean", "last"): range(9),
    ("pgd20", "best"): range(6),
    ("pgd20", "last"): range(5),
}
NO_HIGH = {
    ("clean", "best"): range(7),
    ("clean", "last"): range(9),
    ("pgd20", "best"): range(1, 4),
    ("pgd20", "last"): range(0),
}


def write_images(folder, dataset="digits", images=None, labels=None):
    """The sheet of a prepared dataset with its training images, uint8 (N, C, H, W) of 255 levels; without any, 40
    random ones of ten classes."""
    data = folder / "data" / dataset
    data.mkdir(parents=True)
    if images is None:
        images, labels = np.random.default_rng(3).integers(0, 256, (40, 1, 8, 8)), np.arange(40) % 10
    parts = {"images": images.astype(np.uint8), "labels": labels.astype(np.int64), "index": np.arange(len(labels))}
    for part, array in parts.items():
        np.save(data / f"train_{part}.npy", array)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in data.glob("*.npy")}
    classes = [f"class {label}" for label in range(10)]
    sheet = {"name": dataset, "classes": classes, "shape": list(images.shape[1:]), "levels": 255, "sha256": sums}
    (data / "sheet.json").write_text(json.dumps(sheet))
    return data / "sheet.json"


def write_class_scores(folder, distances, kernel=None):
    """distances, kernel: {recipe: one `frechet_per_class`, or one `kid_per_class`, per seed}."""
    paths = []
    for recipe, of_seeds in distances.items():
        for seed, per_class in enumerate(of_seeds):
            path = folder / "generation" / "digits" / recipe / f"seed{seed}" / "scores.json"
            path.parent.mkdir(parents=True)
            labels = {"frechet": "Fréchet classifier distance", "kid": "kernel classifier distance"}
            content = {"names": labels, "dims": 16, "frechet_per_class": per_class}
            if kernel:
                content["kid_per_class"] = kernel[recipe][seed]
            path.write_text(json.dumps(content))
            paths.append(path)
    return paths


def write_grid(folder, settings):
    """settings: (init, momentum, steps, distance) each. The energy of setting s after step t is -s - t; its images
    have the grey level s / 10 + class / 100 + copy / 1000."""
    place = folder / "generation" / "digits" / "sat" / "seed0"
    common = {"retained_variance": 0.95, "sigma": 0.5, "step_size": 0.1, "noise": 0.0, "frechet_two_half_spread": 0.25}
    common |= {"n_generated": 30, "frechet_name": "Fréchet classifier distance"}
    rows = [
        common | {"setting": s, "init": init, "momentum": momentum, "steps": steps, "frechet": distance}
        for s, (init, momentum, steps, distance) in enumerate(settings)
    ]
    chains = [
        {"setting": r["setting"], "step": t, "joint": -r["setting"] - t} for r in rows for t in range(r["steps"] + 1)
    ]
    levels = np.indices((len(settings), 3, 2))
    images = (levels[0] / 10 + levels[1] / 100 + levels[2] / 1000)[..., None, None, None] * np.ones((1, 4, 4))
    grid = write(place / "grid.parquet", pd.DataFrame(rows)), write(place / "grid-chains.parquet", pd.DataFrame(chains))
    np.savez(place / "grid.npz", images=images.astype(np.float32))
    return {"grid": [grid[0]], "chains": [grid[1]], "samples": [place / "grid.npz"]}


SETTINGS = [
    ("noise", 0.0, 5, 9.0),
    ("noise", 0.0, 10, 8.0),
    ("pca", 0.0, 5, 3.0),
    ("pca", 0.8, 5, 1.25),
    ("gaussian", 0.8, 5, 2.0),
]
