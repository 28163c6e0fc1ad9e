"""Rank correlation of the robustness of classes between attacks, and between defences."""

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from robustlens.analysis.classwise import class_means, shared_answers
from robustlens.analysis.statistics import Interval
from studies.classwise.results import resampled_parts

Correlation = Callable[[np.ndarray, np.ndarray], np.ndarray]


def matrix(parts: Mapping[str, pd.DataFrame], correlation: Correlation) -> np.ndarray | None:
    """The correlations (parts, parts) of class accuracies averaged over the seeds, of the seeds and images that all
    parts have; None where they have none in common. Each part: one recipe under one attack."""
    right, labels = shared_answers(list(parts.values()))
    if not right.size:
        return None
    classes, numbers = np.unique(labels, return_inverse=True)
    rates = class_means(right, numbers, len(classes)).mean(axis=0)
    return correlation(rates[:, None, :], rates[None, :, :])


def attack_pairs(parts: Mapping[str, Mapping[str, pd.DataFrame]]) -> Iterator[tuple[str, str]]:
    """The pairs of attacks that recipes have both of. parts: attack -> recipe -> rows."""
    return (pair for pair in combinations(parts, 2) if parts[pair[0]].keys() & parts[pair[1]].keys())


def between_attacks(
    first: Mapping[str, pd.DataFrame], second: Mapping[str, pd.DataFrame], correlation: Correlation
) -> Interval | None:
    """Between two attacks, averaged over the recipes that have both. first, second: recipe -> rows."""
    recipes = [recipe for recipe in first if recipe in second]

    def statistic(rates: np.ndarray) -> np.ndarray:
        rates = rates.mean(axis=1)  # over the seeds
        return np.nanmean(correlation(rates[:, 0::2], rates[:, 1::2]), axis=1)

    return resampled_parts([part[recipe] for recipe in recipes for part in (first, second)], statistic, (-1, 1))


def between_recipes(parts: Mapping[str, pd.DataFrame], correlation: Correlation, of: str = "") -> Interval | None:
    """Under one attack, averaged over all pairs of recipes, or over those that `of` is in. parts: recipe -> rows."""
    recipes = list(parts)
    pairs = [pair for pair in combinations(recipes, 2) if of in ("", *pair)]
    first, second = ([recipes.index(pair[i]) for pair in pairs] for i in (0, 1))

    def statistic(rates: np.ndarray) -> np.ndarray:
        rates = rates.mean(axis=1)
        return np.nanmean(correlation(rates[:, first], rates[:, second]), axis=1)

    return resampled_parts(list(parts.values()), statistic, (-1, 1)) if pairs else None
