"""Which classes attacked images are taken for."""

from functools import partial

from robustlens.analysis.claims import Claim, NotMeasured, Outcome, collector
from robustlens.analysis.confusion import even_share_within, share_of_largest, share_within
from studies.classwise.claims.data import ClasswiseData, defences, in_points, judged
from studies.classwise.errors import halved_interval, matrix_interval
from studies.classwise.results import REFERENCE

CLAIMS: list[Claim] = []
FEW = 2

claim = collector(CLAIMS)


@claim(
    "attacked-into-few-classes",
    "Many images of a class can be attacked only into a few other classes.",
    "abstract of the earlier version (2021)",
    "Images that PGD-20 turns, or leaves, wrong, best checkpoints, averaged over all adversarially trained recipes: "
    "the share that goes to the two most frequent wrong classes of their true class is above what it would be if "
    "errors were spread evenly over all wrong classes. The two are chosen on one half of each class's images and "
    "measured on the other, both ways.",
)
def attacked_into_few_classes(data: ClasswiseData) -> Outcome:
    parts, classes = list(defences(data, REFERENCE).values()), len(data.names.names)
    if classes <= FEW + 1:
        raise NotMeasured(f"{classes} classes are too few")
    evenly = 100 * FEW / (classes - 1)
    found = halved_interval(parts, classes, partial(share_of_largest, count=FEW), (0, 1))
    detail = f"share of errors, spread evenly {evenly:.1f} %, {len(parts)} recipes"
    return judged(found and in_points(found), "%", detail, parts, evenly)


@claim(
    "attacked-into-similar-classes",
    "The classes that images are attacked into are semantically similar to their own.",
    "abstract of the earlier version (2021)",
    "Images that PGD-20 turns, or leaves, wrong, best checkpoints, averaged over all adversarially trained recipes: "
    "the share that stays in the superclass of the true class, minus what that would be if errors were spread evenly "
    "over all wrong classes, is above 0 points. Open for a dataset without superclasses.",
)
def attacked_into_similar_classes(data: ClasswiseData) -> Outcome:
    parts, groups = list(defences(data, REFERENCE).values()), list(data.names.superclasses.values())
    if not groups:
        raise NotMeasured("superclasses, which this dataset has none of")
    found = matrix_interval(
        parts,
        len(data.names.names),
        lambda rates, columns: share_within(rates, groups, columns) - even_share_within(rates, groups, columns),
        (-1, 1),
    )
    return judged(found and in_points(found), "points", f"{len(parts)} recipes, {len(groups)} superclasses", parts)
