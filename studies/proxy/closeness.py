"""How close the generated images of a pool are to real ones, by measures that know nothing of robust training."""

from typing import Any

import numpy as np
import pandas as pd

from robustlens.closeness.copying import copying
from robustlens.closeness.drawing import subsample
from robustlens.closeness.label_agreement import svm_agreement
from robustlens.closeness.linear_robustness import distances_to_wrong, fit_linear, transfer
from robustlens.closeness.wasserstein import floor
from robustlens.data.prepared import PreparedDataset, Split

NORMS = ("l2", "linf")


def measured(
    data: PreparedDataset, pool: Split, scores: dict, most: int, per_class: int, draws: int, seed: int
) -> pd.DataFrame:
    """One row per measure: its name, the norm ("" where it has none), the number of the draw, and its value.

    data: its splits `train`, which the generator has seen, and `test`, the real images that it has not. scores: of
    `generation.quality.score`, of the same pool. most: images of the pool that copies and labels are looked for in.
    per_class: real and generated images of each class between which distances are optimal transports, or as many as
    there are; `draws`: times that they are drawn anew. All distances are of pixels in [0, 1].

    frechet, score, kid: of `scores`. copy-ratio, share-near, median-distance, copies: of `closeness.copying`.
    agreement, agreement-real: of an SVM that was trained on one half of the test images (one of the training
    images would know those that a generator repeats), and its own accuracy on the other half.
    per-class: how many these were. wasserstein: the conditional Wasserstein distance of real and generated images;
    floor: that of real and other real ones. robustness-real, robustness-generated, gap: of a linear classifier of the
    training images on the very images of `wasserstein`, which is the bound of their gap.
    empirical, generalisation-penalty, shift-penalty, robustness: see `_terms`.
    """
    rows: list[dict[str, Any]] = []

    def add(measure: str, value: float, norm: str = "", draw: int = 0) -> None:
        rows.append({"measure": measure, "norm": norm, "draw": draw, "value": float(value)})

    for measure, key in (("frechet", "frechet"), ("score", "score_mean"), ("kid", "kid_mean")):
        add(measure, scores[key])
    train, test = data.splits["train"], data.splits["test"]
    real = (train.pixels(), np.array(train.labels)), (test.pixels(), np.array(test.labels))
    where = subsample(len(pool.labels), most, np.random.default_rng([seed, 0]))
    images, labels = pool.pixels(where), np.array(pool.labels)[where]
    copies = copying(images, labels, *real[1], *real[0], NORMS[0])
    for measure, value in (
        ("copy-ratio", copies.ratio),
        ("share-near", copies.share_near),
        ("median-distance", copies.median),
        ("median-distance-real", copies.held_out_median),
    ):
        add(measure, value, NORMS[0])
    halves = np.array_split(np.random.default_rng([seed, 5]).permutation(len(real[1][1])), 2)
    others, learnt = ((real[1][0][half], real[1][1][half]) for half in halves)
    agreed = svm_agreement(images, labels, *others, *learnt, data.classes, np.random.default_rng([seed, 1]))
    add("agreement", agreed.agreement)
    add("agreement-real", agreed.held_out)
    classifier = fit_linear(*real[0], data.classes)
    images, labels = _some_of_each_class(pool, data.classes, draws * per_class, np.random.default_rng([seed, 4]))
    fewest = [np.bincount(some, minlength=data.classes).min() for some in (real[1][1], labels)]
    per_class = max(1, min(per_class, fewest[0] // 2, fewest[1]))
    add("per-class", per_class)
    for norm in NORMS:
        for draw in range(draws):
            random = np.random.default_rng([seed, 2, draw])
            both = transfer(classifier, *real[1], images, labels, norm, per_class, random)
            add("wasserstein", both.conditional.value, norm, draw)
            add("robustness-real", both.real, norm, draw)
            add("robustness-generated", both.generated, norm, draw)
            add("gap", both.gap, norm, draw)
            add("floor", floor(*real[1], data.classes, norm, per_class, random).value, norm, draw)
            for measure, value in _terms(images, labels, *real[1], data.classes, norm, random).items():
                add(measure, value, norm, draw)
    return pd.DataFrame(rows)


def _some_of_each_class(
    pool: Split, classes: int, most: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of up to `most` images of each class."""
    positions = [np.flatnonzero(pool.labels == label) for label in range(classes)]
    where = np.concatenate([found[subsample(len(found), most, random)] for found in positions])
    return pool.pixels(where), np.array(pool.labels)[where]


def _terms(
    images: np.ndarray,
    labels: np.ndarray,
    real: np.ndarray,
    real_labels: np.ndarray,
    classes: int,
    norm: str,
    random: np.random.Generator,
) -> dict[str, float]:
    """What becomes of the robustness of a linear classifier that learns from generated images (the first author's post
    of 25 April 2022; how the terms are measured is ours).

    empirical: on the half of the generated images that it learns from, drawn by `random`. generalisation-penalty: its
    distance to that on the other half; shift-penalty: the distance of that to that on real images, which is
    `robustness`. All are exact for these images.
    """
    order = random.permutation(len(labels))
    learnt, others = order[: len(order) // 2], order[len(order) // 2 :]
    classifier = fit_linear(images[learnt], labels[learnt], classes)
    on_learnt, on_others, on_real = (
        distances_to_wrong(classifier, some, of, norm).mean()
        for some, of in ((images[learnt], labels[learnt]), (images[others], labels[others]), (real, real_labels))
    )
    return {
        "empirical": on_learnt,
        "generalisation-penalty": abs(on_others - on_learnt),
        "shift-penalty": abs(on_real - on_others),
        "robustness": on_real,
    }
