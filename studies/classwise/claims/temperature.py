"""Temperature-PGD against PGD with as many steps, at a temperature that was fixed before any result."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from robustlens.analysis.claims import Claim, NotMeasured, Outcome, collector, decide
from robustlens.analysis.classwise import class_gap, resampled_correlation, spearman
from robustlens.analysis.evaluations import sources
from robustlens.analysis.frames import seeds_by_images
from robustlens.analysis.statistics import crossed_interval
from robustlens.report.cells import number
from studies.classwise.claims.data import NOT_ROBUST, ClasswiseData, in_points, judged
from studies.classwise.results import CLEAN, REFERENCE, by_recipe, resampled_parts
from studies.classwise.temperature import FIXED, confidence, gain, inverse_temperature, mean_of, shared

CLAIMS: list[Claim] = []
ENOUGH = 5  # recipes, for a correlation over recipes
CHOICE = f"1/T = {inverse_temperature(FIXED):g} (ours, chosen before any result)"

claim = collector(CLAIMS)


@claim(
    "temperature-pgd-breaks-more",
    "Temperature-PGD has a higher attack rate than PGD.",
    "abstract",
    f"Accuracy under PGD-20 minus that under Temperature-PGD with as many steps, {CHOICE}, best checkpoints, averaged "
    "over all adversarially trained recipes, paired by seed and image, is above 0 points.",
)
def temperature_pgd_breaks_more(data: ClasswiseData) -> Outcome:
    pairs = _pairs(data.gains)
    gains = mean_of([gain(*pair) for pair in pairs.values()])
    if not gains.size:
        raise NotMeasured("a seed and image that all of these recipes have")
    files = [file for pair in pairs.values() for part in pair for file in sources(part)]
    return decide(crossed_interval(gains.to_numpy()), "points", f"mean over {', '.join(pairs)}", files)


@claim(
    "temperature-pgd-widens-the-gap",
    "Temperature-PGD makes classes differ more than PGD does.",
    "abstract",
    f"The best class minus the worst under Temperature-PGD, {CHOICE}, minus the same under PGD-20, best checkpoints, "
    "averaged over all adversarially trained recipes and seeds, is above 0 points.",
)
def temperature_pgd_widens_the_gap(data: ClasswiseData) -> Outcome:
    pairs = _pairs(data.gains)
    parts = [part for pair in pairs.values() for part in pair]

    def widening(rates: np.ndarray) -> np.ndarray:
        gaps = class_gap(rates)
        return (gaps[:, :, 1::2] - gaps[:, :, 0::2]).mean(axis=(1, 2))

    found = resampled_parts(parts, widening, (-1, 1))
    return judged(found and in_points(found), "points", f"mean over {', '.join(pairs)}", parts)


@claim(
    "temperature-gain-grows-with-flatness",
    "The flatter the softmax, the more Temperature-PGD gains over PGD.",
    "our prediction",
    f"Accuracy under PGD-20 minus that under Temperature-PGD, {CHOICE}, and 1 minus the softmax's mean probability of "
    "the true class of clean images, both averaged over the seeds, best checkpoints: Spearman's correlation of the two "
    "over all adversarially trained recipes is above 0. Its interval is over recipes, too, which are drawn with "
    f"replacement. Open with fewer than {ENOUGH} recipes: chance alone puts four in perfect order in one of 24 cases.",
)
def temperature_gain_grows_with_flatness(data: ClasswiseData) -> Outcome:
    pairs, clean = _pairs(data.gains), by_recipe(data.gains, CLEAN)
    recipes = [recipe for recipe in pairs if recipe in clean]
    if len(recipes) < ENOUGH:
        raise NotMeasured(f"{ENOUGH} adversarially trained recipes with their clean images")
    flat = [seeds_by_images(clean[name].assign(flat=1 - confidence(clean[name])), "flat") for name in recipes]
    values = shared([*flat, *(gain(*pairs[name]) for name in recipes)])  # (seeds, 2 recipes, images)
    seeds, _, images = values.shape
    if not values.size:
        raise NotMeasured("a seed and image that all of these recipes have")
    strata = np.repeat(np.arange(len(recipes)), images)
    found = resampled_correlation(values.reshape(seeds, 2, -1), strata, _order, "recipes")
    flatness, gains = np.split(values.mean(axis=(0, 2)), 2)
    told = ", ".join(
        f"{recipes[i]} {number(gains[i], 1)} ({1 - flatness[i]:.2f})" for i in np.argsort(-flatness, kind="stable")
    )
    detail = f"gains in points (and mean probability), from the flattest on: {told}"
    parts = [part for name in recipes for part in (clean[name], *pairs[name])]
    return decide(found, "", detail, [file for part in parts for file in sources(part)])


def _order(means: np.ndarray) -> np.ndarray:
    """Spearman's correlation over the recipes, from means (draws, seeds, [flatness, gain], recipes)."""
    return spearman(*np.moveaxis(means.mean(axis=1), 1, 0))


def _pairs(rows: pd.DataFrame) -> Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Recipe -> rows under PGD-20 and under Temperature-PGD. Raises NotMeasured where none has both."""
    robust = rows[rows["recipe"] != NOT_ROBUST] if len(rows) else rows
    weaker, stronger = (by_recipe(robust, attack) if len(robust) else {} for attack in (REFERENCE, FIXED))
    found = {recipe: (weaker[recipe], stronger[recipe]) for recipe in weaker if recipe in stronger}
    if not found:
        raise NotMeasured(f"adversarially trained recipes under {REFERENCE} and {FIXED}")
    return found
