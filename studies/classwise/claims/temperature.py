"""Temperature-PGD against PGD with as many steps, at a temperature that was fixed before any result."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from robustlens.analysis.claims import Claim, NotMeasured, Outcome, collector, decide
from robustlens.analysis.classwise import class_gap
from robustlens.analysis.evaluations import sources
from robustlens.analysis.statistics import crossed_interval
from studies.classwise.claims.data import FEWEST, NOT_ROBUST, ClasswiseData, in_points, judged
from studies.classwise.results import CLEAN, REFERENCE, by_recipe, resampled_parts
from studies.classwise.temperature import FIXED, confidence, difference, gain, inverse_temperature, mean_of

CLAIMS: list[Claim] = []
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
    "Temperature-PGD gains more over PGD on the flattest softmax than on the sharpest.",
    "our prediction",
    f"Accuracy under PGD-20 minus that under Temperature-PGD, {CHOICE}: of the recipe whose softmax gives the true "
    "class of clean images the lowest mean probability, minus that of the recipe with the highest one, among those "
    "that are adversarially trained, best checkpoints, paired by seed and image, is above 0 points.",
)
def temperature_gain_grows_with_flatness(data: ClasswiseData) -> Outcome:
    pairs, clean = _pairs(data.gains), by_recipe(data.gains, CLEAN)
    mean = {recipe: float(confidence(clean[recipe]).mean()) for recipe in pairs if recipe in clean}
    if len(mean) < FEWEST:
        raise NotMeasured("two adversarially trained recipes with their clean images")
    flat, sharp = min(mean, key=mean.get), max(mean, key=mean.get)
    gains = difference(gain(*pairs[flat]), gain(*pairs[sharp]))
    if not gains.size:
        raise NotMeasured(f"a seed and image that both {flat} and {sharp} have")
    detail = f"{flat} (mean probability {mean[flat]:.2f}) minus {sharp} ({mean[sharp]:.2f})"
    parts = [clean[flat], clean[sharp], *pairs[flat], *pairs[sharp]]
    return decide(crossed_interval(gains.to_numpy()), "points", detail, [f for part in parts for f in sources(part)])


def _pairs(rows: pd.DataFrame) -> Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Recipe -> rows under PGD-20 and under Temperature-PGD. Raises NotMeasured where none has both."""
    robust = rows[rows["recipe"] != NOT_ROBUST] if len(rows) else rows
    weaker, stronger = (by_recipe(robust, attack) if len(robust) else {} for attack in (REFERENCE, FIXED))
    found = {recipe: (weaker[recipe], stronger[recipe]) for recipe in weaker if recipe in stronger}
    if not found:
        raise NotMeasured(f"adversarially trained recipes under {REFERENCE} and {FIXED}")
    return found
