"""A checkpoint of one's own under one attack: what of the configuration that takes, and what comes out.

Everything here runs before the workflow or after it: no torch.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from robustlens.configuration import reading
from robustlens.errors import RobustlensError
from robustlens.parameters import nearest

STUDY = "own-weights"  # the cohort in which it is evaluated, so that the configuration is checked for that
SHOWN_CLASSES = 20


@dataclass(frozen=True)
class Asked:
    """What is asked for. images: how many of the test images an attack gets; None: all, or as many as the suite says.
    threat: None: the dataset's. Raises RobustlensError for a number of images below 1."""

    dataset: str
    attack: str
    threat: str | None = None
    images: int | None = None

    def __post_init__(self) -> None:
        if self.images is not None and self.images < 1:
            raise RobustlensError(f"IMAGES: {self.images}, and an attack needs at least one; leave it out for all")


def scale_with(dataset: str, shipped: Sequence[Path], given: Sequence[Path]) -> str:
    """The last scale of the configuration that has a dataset, which is the nearest to the papers.

    Raises RobustlensError, with the nearest name, where none has it.
    """
    known: dict[str, None] = {}
    for scale in reversed(reading.scales(shipped, given)):
        datasets = reading.combined(shipped, given, {"scale": scale}).get("datasets", {})
        if dataset in datasets:
            return scale
        known |= dict.fromkeys(datasets)
    raise RobustlensError(
        f"no scale has the dataset {dataset!r}{nearest(dataset, list(known))}; docs/datasets.md says how to bring one"
    )


def name_of(weights: Path, model: Mapping[str, Any]) -> str:
    """What the workflow calls a classifier: the name of its file, and digits that are others for another content, part
    or architecture.

    model: its entry in the configuration, without that name.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", weights.stem.lower()).strip("-")
    digest = hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()
    return f"{slug[:40].strip('-')}-{digest[:8]}".lstrip("-")


def overlay(asked: Asked, config: Mapping[str, Any], name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that the configuration needs to evaluate a model.

    config: the complete configuration of the scale. model: its entry, as in `config.models`.
    Raises RobustlensError, with the nearest name, for an attack and for a threat that there is not.
    """
    if asked.threat is not None:
        _known("threat", asked.threat, config["threats"])
    suite, added = _suite(asked, config)
    cohort = {"datasets": [asked.dataset], "seeds": [0], "models": [name], "suite": suite}
    if asked.threat is not None:
        cohort["threat"] = asked.threat
    return {"models": {name: dict(model)}, "suites": added, "studies": {STUDY: {"cohorts": {"evaluation": cohort}}}}


def index_file(asked: Asked, config: Mapping[str, Any], name: str) -> Path:
    """Where the workflow says which files the evaluations are in."""
    threat = asked.threat or config["datasets"][asked.dataset]["threat"]
    suite, _ = _suite(asked, config)
    return Path("results", config["scale"], "evaluations", asked.dataset, name, "seed0", threat, f"{suite}.json")


def _suite(asked: Asked, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of the suite, and the suite itself where the configuration does not have it: a single attack is run
    beside the clean images, and a suite on other images is another suite."""
    _known("attack or suite", asked.attack, config["attacks"] | config["suites"])
    if asked.attack in config["attacks"]:
        name, attacks = f"clean-and-{asked.attack}", list(dict.fromkeys(["clean", asked.attack]))
    elif asked.images is None:
        return asked.attack, {}
    else:
        name, attacks = asked.attack, config["suites"][asked.attack]["attacks"]
    if asked.images is None:
        return name, {name: {"attacks": attacks}}
    return f"{name}-of-{asked.images}", {
        f"{name}-of-{asked.images}": {"attacks": attacks, "samples": dict.fromkeys(attacks, asked.images)}
    }


def _known(what: str, name: str, names: Mapping[str, Any]) -> None:
    if name not in names:
        raise RobustlensError(f"no {what} is called {name!r}{nearest(name, list(names))}; there are {', '.join(names)}")


# What came out --------------------------------------------------------------------------------------------------------


def summary(index: Path, config: Mapping[str, Any], sheet: Path) -> str:
    """Accuracy under each attack with its interval, over all images and per class, and where the answer for each image
    is.

    index: of `index_file`. config: the complete configuration. sheet: sheet.json of the prepared dataset.
    Intervals are exact binomial ones at 95 % (Clopper and Pearson 1934).
    """
    found, dataset = json.loads(index.read_text()), json.loads(sheet.read_text())
    paths = {one["attack"]: index.parent / one["file"] for one in found["evaluations"]}
    labels = {attack: config["attacks"][attack].get("label", attack) for attack in paths}
    if len(set(labels.values())) < len(labels):
        labels = {attack: attack for attack in paths}
    files = {labels[attack]: path for attack, path in paths.items()}
    tables = {attack: pd.read_parquet(file) for attack, file in files.items()}
    threat = found["threat"]
    parts = [
        f"Accuracy in per cent (95 % interval) on test images of {found['run']['dataset']}; "
        f"{threat['norm']}, epsilon {threat['epsilon']}"
    ]
    if not dataset["official_test_split"]:
        parts.append(
            f"The dataset has no test images of its own: these {dataset['sizes']['test']} are split off by the "
            "workflow, and a model that was trained on some of them looks better than it is."
        )
    overall = {attack: f"{_accuracy(table)}, {len(table)} images" for attack, table in tables.items()}
    parts.append(pd.Series(overall).to_string())
    parts.append(_by_class(tables, dataset["classes"]))
    parts.append("\n".join(["Image by image:", *(f"  {attack}: {file}" for attack, file in files.items())]))
    return "\n\n".join(parts)


def _by_class(tables: Mapping[str, pd.DataFrame], classes: list[str]) -> str:
    """Of many classes, those where the last attack leaves least."""
    *_, last = tables.values()
    right = (last["prediction_adversarial"] == last["label"]).groupby(last["label"]).mean()
    shown = right.index if len(right) <= SHOWN_CLASSES else right.sort_values(kind="stable").index[:SHOWN_CLASSES]
    # Datasets have classes of one name: ImageNet has two of cranes.
    names = {y: classes[y] if classes.count(classes[y]) == 1 else f"{classes[y]} ({y})" for y in shown}
    columns = {
        attack: {name: _accuracy(table[table["label"] == y]) for y, name in names.items()}
        for attack, table in tables.items()
    }
    rest = len(right) - len(shown)
    return pd.DataFrame(columns).to_string() + (f"\n(the lowest; {rest} more classes)" if rest else "")


def _accuracy(table: pd.DataFrame) -> str:
    """Of these images; nothing, where there are none."""
    if table.empty:
        return ""
    right = int((table["prediction_adversarial"] == table["label"]).sum())
    interval = binomtest(right, len(table)).proportion_ci()
    return f"{100 * right / len(table):.1f} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"
