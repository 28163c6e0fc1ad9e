"""Who overfits, and which training images make them (abstract, figure 1, energy subsets)."""

from itertools import combinations

import numpy as np
import pandas as pd

from robustlens.analysis.claims import Claim, NotMeasured, Outcome, collector, decide, decide_all
from robustlens.analysis.evaluations import sources
from robustlens.analysis.frames import RUN, last_epoch, seeds_by_images
from robustlens.analysis.measured import differences, of
from robustlens.analysis.statistics import crossed_interval
from studies.energy.claims.data import (
    EnergyData,
    attacked_points,
    check_equal_groups,
    check_left_out,
    overfitting,
)

CLAIMS: list[Claim] = []
ANY = "sat-no-random"  # what is left out is compared with as many images as it

claim = collector(CLAIMS)


@claim(
    "sat-overfits",
    "The robust error of SAT rises again after its best epoch.",
    "figure 1 (a)",
    "Accuracy of SAT under PGD-20 at the best checkpoint minus that at the last one, paired by seed and test image, is "
    "above 0 points.",
)
def sat_overfits(data: EnergyData) -> Outcome:
    rows = overfitting(data, "sat")
    fall = seeds_by_images(rows, "fall").to_numpy()
    return decide(crossed_interval(fall), "points", _shape(fall), sources(rows))


@claim(
    "trades-overfits-less",
    "TRADES, which aligns the energies, overfits less than SAT.",
    "abstract",
    "Last epoch, seed by seed: robust accuracy on tracked training images minus that on validation images, of SAT "
    "minus that of TRADES, is above 0 points.",
)
def trades_overfits_less(data: EnergyData) -> Outcome:
    sat, trades = _final_gaps(data, "sat"), _final_gaps(data, "trades")
    difference = (sat["gap"] - trades["gap"]).dropna()
    if difference.empty:
        raise NotMeasured("no seed of both SAT and TRADES")
    means = [part.loc[difference.index, "gap"].mean() for part in (sat, trades)]
    detail = f"training minus validation images: SAT {means[0]:.1f} points, TRADES {means[1]:.1f}".replace(
        "-", "\u2212"
    )
    interval = crossed_interval(difference.to_numpy()[:, None])
    return decide(interval, "points", detail, [*sat["source"], *trades["source"]])


@claim(
    "low-energy-images-drive-overfitting",
    "Low-energy images drive robust overfitting.",
    "energy subsets",
    "Robust overfitting (accuracy under PGD-20, best minus last checkpoint) of SAT without random training images "
    "minus that of SAT without as many of low energy, paired by seed and test image, is above 0 points. Not measured "
    "where the two train on numbers of images that are more than 5 % apart.",
)
def low_energy_images_drive_overfitting(data: EnergyData) -> Outcome:
    check_left_out(data, "sat-no-low", ANY)
    check_equal_groups(data, "sat-no-low", ANY)
    any_images, low = overfitting(data, ANY), overfitting(data, "sat-no-low")
    difference = differences(any_images, low, "fall")
    means = [part[part["seed"].isin(low["seed"])]["fall"].mean() for part in (any_images, low)]
    detail = (
        f"{_shape(difference)}; overfitting of {means[0]:.1f} points without any images, {means[1]:.1f} without these"
    )
    detail = detail.replace("-", "\u2212")
    return decide(crossed_interval(difference), "points", detail, [*sources(any_images), *sources(low)])


@claim(
    "high-energy-images-matter",
    "Leaving out correctly classified images of high energy hurts the robustness of SAT as much as leaving out "
    "misclassified ones.",
    "energy subsets",
    "Accuracy under PGD-20, best checkpoints, paired by seed and test image: that of SAT without random images minus "
    "that without as many of the former is above 0 points, and that without the latter minus that without the former "
    "is above \u22121 point. The less favourable of the two decides, at 97.5 %. Not measured where the three train on "
    "numbers of images that are more than 5 % apart.",
)
def high_energy_images_matter(data: EnergyData) -> Outcome:
    compared = (ANY, "sat-no-high-correct", "sat-no-misclassified")
    check_left_out(data, *compared)
    for pair in combinations(compared, 2):
        check_equal_groups(data, *pair)
    any_images, correct, wrong = (attacked_points(data, recipe, "pgd20") for recipe in compared)
    parts = {
        "loss": differences(any_images, correct, "points"),
        "lead of misclassified": differences(wrong, correct, "points"),
    }
    bounds = {"lead of misclassified": -1.0}
    what = f"{_shape(parts['loss'])}:"
    return decide_all(parts, what, [*any_images["source"], *correct["source"], *wrong["source"]], "points", bounds)


def _final_gaps(data: EnergyData, recipe: str) -> pd.DataFrame:
    """Indexed by seed: gap, robust accuracy on training minus validation images at the last epoch in points; source."""
    train, validation = (of(data.history, recipe=recipe, split=split) for split in ("train", "validation"))
    last = last_epoch(train.merge(validation, on=[*RUN, "epoch"])).set_index("seed")
    gap = 100 * (last["robust_accuracy_x"] - last["robust_accuracy_y"])
    return pd.DataFrame({"gap": gap, "source": last["source_x"]})


def _shape(values: np.ndarray) -> str:
    seeds, images = values.shape
    return f"{seeds} seed{'s' * (seeds > 1)}, {images} images"
