"""What happens in training: gradients that conflict, features that drift, statistics that mix."""

import math
from dataclasses import replace

import numpy as np

from robustlens.analysis.claims import Claim, NotMeasured, Outcome, collector, decide_all
from robustlens.analysis.evaluations import sources
from robustlens.analysis.measured import of
from studies.invariance.claims.data import InvarianceData, above, larger, observed
from studies.invariance.training import (
    CONFLICT,
    COSINE,
    DISTANCE,
    DRIFT,
    GRADIENT,
    MEANS,
    MOVED_ADVERSARIAL,
    MOVED_NATURAL,
    MOVED_SHARED,
    of_seeds,
)

CLAIMS: list[Claim] = []
BATCHES = {"half": "naive-small-batches", "ordinary": "naive", "double": "naive-large-batches"}
NEAR = 10.0  # points from 50 % that "about half" stands for
MOMENTUM = 0.1  # of all BatchNorms, PyTorch's default
TWICE = (
    "The factor is how many times as far it would move because it is updated twice a step, if both kinds of images "
    "were alike: sqrt(v(0.19) / v(0.1)), v(m) = m / (2 - m) (1 - (1 - m)^k), to two decimals, where k is the number of "
    "steps from one observation to the next."
)
WHERE = "on the batches that were observed in the second half of the epochs, averaged over them for each seed,"

claim = collector(CLAIMS)


@claim(
    "naive-half-conflicts",
    "The half of naive invariance that moves natural features works against the classification.",
    "equation 5 and the authors' replies to their reviewers",
    "Minus the cosine between the gradients of the classification losses and of the distance, with the gradient to the "
    f"natural features alone, {WHERE} is above 0.",
)
def naive_half_conflicts(data: InvarianceData) -> Outcome:
    return above(data, "naive-to-natural", COSINE, sign=-1.0)


@claim(
    "naive-half-has-more-weights-in-conflict",
    "That half makes gradients of more weights conflict than the other one.",
    "the authors' replies to their reviewers",
    "Share of weights (of convolutions and linear layers) whose gradients of classification and of invariance have "
    f"opposite signs, {WHERE} with the gradient to the natural features alone minus that with the gradient to the "
    "adversarial ones alone (the stop-gradient), is above 0.",
)
def naive_half_has_more_weights_in_conflict(data: InvarianceData) -> Outcome:
    return larger(data, "naive-to-natural", "naive-stop-gradient", CONFLICT)


@claim(
    "half-of-the-weights-in-conflict",
    "Naive invariance has about half of the weights in conflict, whatever the size of a batch.",
    "figure 12 and the authors' replies to their reviewers",
    "Share in % of weights whose gradients of classification and of invariance have opposite signs, with naive "
    f"invariance and batches half as large, ordinary and twice as large, {WHERE} differs from 50 by less than "
    f"{NEAR:g} points for each size (together at 95 %). The bound is ours.",
)
def half_of_the_weights_in_conflict(data: InvarianceData) -> Outcome:
    seen = {size: observed(data, recipe, CONFLICT) for size, recipe in BATCHES.items()}
    room = {size: (NEAR - (100 * of_seeds(rows) - 50).abs()).to_numpy()[:, None] for size, rows in seen.items()}
    files = [file for rows in seen.values() for file in sources(rows)]
    return decide_all(room, f"{NEAR:g} points minus the distance from 50, by size of batches:", files, "points")


@claim(
    "conflict-grows-with-batches",
    "With larger batches naive invariance has slightly more weights in conflict.",
    "figure 12 and the authors' replies to their reviewers",
    f"Share of weights whose gradients of classification and of invariance have opposite signs, {WHERE} with naive "
    "invariance and batches twice as large minus that with batches half as large, is above 0.",
)
def conflict_grows_with_batches(data: InvarianceData) -> Outcome:
    return larger(data, BATCHES["double"], BATCHES["half"], CONFLICT)


@claim(
    "stop-gradient-lessens-the-conflict",
    "A stop-gradient on the natural features makes gradients of fewer weights conflict.",
    "the authors' replies to their reviewers",
    "Share of weights (of convolutions and linear layers) whose gradients of classification and of invariance have "
    f"opposite signs, {WHERE} with naive invariance minus that with the stop-gradient, is above 0.",
)
def stop_gradient_lessens_the_conflict(data: InvarianceData) -> Outcome:
    return larger(data, "naive", "naive-stop-gradient", CONFLICT)


@claim(
    "no-conflict-after-stop-gradient",
    "With a stop-gradient the invariance loss no longer works against the classification.",
    "the authors' replies to their reviewers",
    "Cosine between the gradients of the classification losses and of the distance, with naive invariance and the "
    f"stop-gradient, {WHERE} is above 0.",
)
def no_conflict_after_stop_gradient(data: InvarianceData) -> Outcome:
    return above(data, "naive-stop-gradient", COSINE)


@claim(
    "stop-gradient-lets-features-drift-apart",
    "With a stop-gradient alone natural and adversarial features come to be farther apart.",
    "the authors' replies to their reviewers",
    f"Distance of adversarial from natural features, ||z' - z||, mean over the regularised layers, {WHERE} with the "
    "stop-gradient minus that of naive invariance, is above 0.",
)
def stop_gradient_lets_features_drift_apart(data: InvarianceData) -> Outcome:
    return larger(data, "naive-stop-gradient", "naive", DISTANCE)


@claim(
    "stop-gradient-worsens-the-mixture",
    "With a stop-gradient alone BatchNorm meets natural and adversarial features that differ more.",
    "the authors' replies to their reviewers",
    "Squared difference of a channel's means over natural and over adversarial images, divided by its variance, mean "
    f"over the inputs of all BatchNorms, {WHERE} with the stop-gradient minus that of naive invariance, is above 0.",
)
def stop_gradient_worsens_the_mixture(data: InvarianceData) -> Outcome:
    return larger(data, "naive-stop-gradient", "naive", MEANS)


@claim(
    "split-batchnorm-steadies-statistics",
    "Split BatchNorm keeps the statistics of adversarial features steadier than a shared one.",
    "figure 14",
    "How far the running means of BatchNorm move from one observed step to the next, in running standard deviations, "
    f"mean over the layers, {WHERE} with one BatchNorm for both kinds of images minus a factor times that of "
    f"AR-AT's for adversarial ones, is above 0. {TWICE}",
)
def split_batchnorm_steadies_statistics(data: InvarianceData) -> Outcome:
    return _moves_farther(data, MOVED_ADVERSARIAL)


@claim(
    "natural-statistics-are-steadier",
    "Of two BatchNorms the one for natural images has statistics that are clearly steadier than those of a shared one.",
    "figure 14",
    "How far the running means of BatchNorm move from one observed step to the next, in running standard deviations, "
    f"mean over the layers, {WHERE} with one BatchNorm for both kinds of images minus a factor times that of "
    f"AR-AT's for natural ones, is above 0. {TWICE}",
)
def natural_statistics_are_steadier(data: InvarianceData) -> Outcome:
    return _moves_farther(data, MOVED_NATURAL)


@claim(
    "distillation-with-one-network-conflicts",
    "Where a network is its own teacher, distillation works against the classification.",
    "abstract, in our reading: with a network of its own for the teacher it can't",
    "Minus the cosine between the gradients of the classification loss and of the distance of the logits, with LBGAT "
    f"whose teacher has the classifier's weights and BatchNorm, {WHERE} is above 0.",
)
def distillation_with_one_network_conflicts(data: InvarianceData) -> Outcome:
    return above(data, "lbgat-shared", COSINE, sign=-1.0)


@claim(
    "predictor-lowers-the-gradient",
    "The predictor lowers the norm of the invariance loss's gradient.",
    "the authors' replies to their reviewers",
    f"Norm of the gradient of the invariance loss with respect to the classifier's parameters, {WHERE} without the "
    "predictor minus that of AR-AT, is above 0.",
)
def predictor_lowers_the_gradient(data: InvarianceData) -> Outcome:
    return larger(data, "arat-no-predictor", "arat", GRADIENT)


@claim(
    "predictor-lowers-the-drift",
    "The predictor makes adversarial features drift less from epoch to epoch.",
    "the authors' replies to their reviewers",
    "How far adversarial features of fixed training images move from one epoch to the next, relative to their norm, in "
    "the second half of the epochs, without the predictor minus that of AR-AT, is above 0.",
)
def predictor_lowers_the_drift(data: InvarianceData) -> Outcome:
    return larger(data, "arat-no-predictor", "arat", DRIFT)


def two_updates(steps: int) -> float:
    """How many times as far the running mean of a BatchNorm with two updates a step moves in so many steps as that of
    one with one update, if both kinds of images are alike; to two decimals.

    A running mean r <- (1 - m) r + m x of batch means x that are independent, of variance s^2, moves by a difference of
    variance 2 s^2 v(m) in k steps, v(m) = m / (2 - m) (1 - (1 - m)^k). Two updates with the same x are one with
    1 - (1 - m)^2. So the factor is sqrt(v(0.19) / v(0.1)): 1.95 for one step, and towards 1.41 for many.
    """

    def variance(momentum: float) -> float:
        return momentum / (2 - momentum) * (1 - (1 - momentum) ** steps)

    return round(math.sqrt(variance(1 - (1 - MOMENTUM) ** 2) / variance(MOMENTUM)), 2)


def _moves_farther(data: InvarianceData, which: tuple[str, str]) -> Outcome:
    """Whether one BatchNorm moves farther than this one of AR-AT's two, beyond what its second update a step does."""
    compared = ("arat-shared-batchnorm", MOVED_SHARED), ("arat", which)
    apart = {_steps_apart(data, recipe, moved) for recipe, moved in compared}
    if len(apart) > 1:
        raise NotMeasured("running means of both recipes with as many steps from one observation to the next")
    (steps,) = apart
    factor = two_updates(steps)
    found = larger(data, "arat-shared-batchnorm", "arat", MOVED_SHARED, which, factor)
    raw = larger(data, "arat-shared-batchnorm", "arat", MOVED_SHARED, which)
    told = f"factor {factor:g} for {steps} steps; uncorrected (factor 1): {raw.estimate:.3g}"
    told += f" ({raw.low:.3g} to {raw.high:.3g})" if math.isfinite(raw.low) else ""
    return replace(found, detail=f"{found.detail}; {told}")


def _steps_apart(data: InvarianceData, recipe: str, which: tuple[str, str]) -> int:
    """How many steps one observation of a recipe is after the one before."""
    rows = of(data.statistics, recipe=recipe, observer=which[0], statistic=which[1])
    gaps = np.diff(np.unique(rows["step"]))
    if not gaps.size:
        raise NotMeasured(f"running means of {recipe} at two steps")
    return int(gaps.min())  # larger where an observation is missing
