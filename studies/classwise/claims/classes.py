"""How much classes differ, under which attacks and with which defences, and when."""

import numpy as np

from robustlens.analysis.claims import Claim, NotMeasured, Outcome, collector, decide, decide_intervals
from robustlens.analysis.classwise import class_gap, spearman
from robustlens.analysis.evaluations import sources
from robustlens.analysis.measured import of
from robustlens.analysis.statistics import Interval, crossed_interval
from studies.classwise.claims.data import (
    FEWEST,
    NOT_ROBUST,
    ClasswiseData,
    defences,
    in_points,
    judged,
    measured,
    of_both,
)
from studies.classwise.consistency import between_attacks, between_recipes
from studies.classwise.drops import drop_slope_interval
from studies.classwise.history import late_epochs, robust_by_class
from studies.classwise.results import REFERENCE, resampled_parts
from studies.classwise.weights import norm_correlation

CLAIMS: list[Claim] = []
STRONGEST, STRONGER = "autoattack", ("margin-pgd20", "temperature-pgd-5", "autoattack")
LARGE, CONSISTENT = 20.0, 0.7  # points; rank correlation

claim = collector(CLAIMS)


@claim(
    "classes-differ",
    "Adversarially trained classifiers are much more robust on some classes than on others.",
    "abstract",
    "Accuracy under PGD-20 of the best class minus that of the worst, best checkpoints, averaged over all "
    "adversarially trained recipes and seeds, is above 20 points (ours: the abstract says large).",
)
def classes_differ(data: ClasswiseData) -> Outcome:
    parts = list(defences(data, REFERENCE).values())
    found = resampled_parts(parts, lambda rates: class_gap(rates).mean(axis=(1, 2)), (0, 1))
    detail = f"{len(parts)} recipes, {parts[0]['label'].nunique()} classes"
    return judged(found and in_points(found), "points", detail, parts, LARGE)


@claim(
    "consistent-across-attacks",
    "The same classes are robust under different attacks.",
    "abstract",
    "Spearman's correlation, over classes, of the accuracies under PGD-20 and under AutoAttack (averaged over the "
    "seeds, best checkpoints, the same images), averaged over all adversarially trained recipes, is above 0.7 (ours: "
    "the abstract says largely consistent).",
)
def consistent_across_attacks(data: ClasswiseData) -> Outcome:
    pairs = of_both(data, REFERENCE, STRONGEST)
    first, second = ({number: pair[i] for number, pair in enumerate(pairs)} for i in (0, 1))
    found = between_attacks(first, second, spearman)
    return judged(found, "", f"{len(pairs)} recipes", [part for pair in pairs for part in pair], CONSISTENT)


@claim(
    "consistent-across-defences",
    "The same classes are robust with different defences.",
    "abstract",
    "Spearman's correlation, over classes, of the accuracies under PGD-20 (averaged over the seeds, best checkpoints), "
    "averaged over all pairs of adversarially trained recipes, is above 0.7 (ours: the abstract says largely "
    "consistent).",
)
def consistent_across_defences(data: ClasswiseData) -> Outcome:
    parts = defences(data, REFERENCE)
    if len(parts) < FEWEST:
        raise NotMeasured(f"{len(parts)} adversarially trained recipe; a correlation between recipes needs two")
    return judged(between_recipes(parts, spearman), "", f"{len(parts)} recipes", list(parts.values()), CONSISTENT)


@claim(
    "stronger-attacks-take-from-weak-classes",
    "Stronger attacks gain mainly on the vulnerable classes.",
    "abstract",
    "The drop from the accuracy under PGD-20 to that under a stronger attack, class by class, against the accuracy "
    "under PGD-20: minus the slope of the least-squares line, averaged over all adversarially trained recipes, is "
    "above 0 for PGD on the margin, for Temperature-PGD (1/T = 5) and for AutoAttack. Accuracies are averaged over the "
    "seeds; that under PGD-20 is of one half of each class's images, the drop of the other half, both ways. Supported "
    "if all three intervals lie above 0, contradicted if one lies below; together they hold at 95 %.",
)
def stronger_attacks_take_from_weak_classes(data: ClasswiseData) -> Outcome:
    intervals, files = {}, []
    for attack in STRONGER:
        parts = [part for pair in of_both(data, REFERENCE, attack) for part in pair]
        slope = measured(drop_slope_interval(parts, 1 - 0.05 / len(STRONGER)))
        intervals[attack] = Interval(-slope.estimate, -slope.high, -slope.low, slope.factors)
        files += [file for part in parts for file in sources(part)]
    return decide_intervals(intervals, "minus the slope:", files, "point per point")


@claim(
    "robust-classes-have-large-weights",
    "The robustness of a class grows with the norm of its weights in the last layer.",
    "abstract of the earlier version (2021)",
    "Pearson's correlation, over classes, of the norms with the accuracies under PGD-20, best checkpoints, run by run "
    "and averaged over the seeds, is above 0 for SAT (ours; tables/weight-norms has the other recipes and Spearman's). "
    "Its interval is over classes, too, which are drawn with replacement.",
)
def robust_classes_have_large_weights(data: ClasswiseData) -> Outcome:
    part, norms = of(data.evaluations, attack=REFERENCE, recipe="sat"), of(data.norms, recipe="sat")
    found = norm_correlation(part, norms)
    return judged(found, "", f"{len(norms)} runs of SAT", [part, norms])


@claim(
    "the-worst-class-swings",
    "Late in training the robust accuracy of the worst class swings more than the average.",
    "a follow-up (CFA, Wei et al. 2023)",
    "Validation images, last quarter of the measured epochs, all adversarially trained recipes: the mean absolute "
    "change of the worst class from one of them to the next minus that of the average, seed by seed, is above 0 "
    "points. The average is of all classes' images, so that chance alone moves it less.",
)
def the_worst_class_swings(data: ClasswiseData) -> Outcome:
    rows = of(data.history, split="validation")
    rows = rows[rows["recipe"] != NOT_ROBUST]
    by_run = rows.groupby(["seed", "recipe"])[["epoch", "class_total", "class_robust"]].apply(_more_swing)
    by_seed = by_run.unstack("recipe").dropna(axis=1)  # recipes that all seeds have
    if by_seed.empty:
        raise NotMeasured("a recipe that all seeds have")
    interval = crossed_interval(by_seed.mean(axis=1).to_numpy()[:, None])
    return decide(interval, "points", f"{by_seed.shape[1]} recipes", list(rows["source"].unique()))


def _more_swing(run) -> float:
    rates = 100 * robust_by_class(late_epochs(run))
    return float(np.abs(np.diff(rates.min(axis=1))).mean() - np.abs(np.diff(rates.mean(axis=1))).mean())
