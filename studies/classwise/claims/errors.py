"""Which classes attacked images are taken for."""

from functools import partial

from robustlens.analysis.claims import Claim, NotMeasured, Outcome, collector
from robustlens.analysis.confusion import even_share_within, share_of_largest, share_within
from studies.classwise.claims.data import ClasswiseData, defences, in_points, judged
from studies.classwise.errors import ENOUGH, few_images, halved_interval, matrix_interval
from studies.classwise.results import REFERENCE

CLAIMS: list[Claim] = []
FEW, HALF = 2, 50.0  # wrong classes; % of the errors

claim = collector(CLAIMS)


@claim(
    "attacked-into-few-classes",
    "Images of a class are attacked into a few other classes.",
    "abstract of the earlier version (2021), of many images, which can be attacked only into these",
    "Images that PGD-20 turns, or leaves, wrong, best checkpoints, averaged over all adversarially trained recipes: "
    "the share that goes to the two most frequent wrong classes of their true class is above one half (ours: the "
    "abstract says many and a few). The two are chosen on one half of each class's images and measured on the other, "
    "both ways. Errors without an attack count, too. The bound was set when the estimate at embedded was known. Open "
    f"where a class has fewer than {ENOUGH} test images for each class of the dataset, and with five classes or fewer, "
    "of which two wrong ones are half.",
)
def attacked_into_few_classes(data: ClasswiseData) -> Outcome:
    parts, classes = list(defences(data, REFERENCE).values()), len(data.names.names)
    evenly = 100 * FEW / (classes - 1)
    if evenly >= HALF:
        raise NotMeasured(f"{classes} classes are too few")
    if any(few_images(part, classes) for part in parts):
        raise NotMeasured(f"{ENOUGH * classes} test images of each class; of fewer, chance chooses the two")
    found = halved_interval(parts, classes, partial(share_of_largest, count=FEW), (0, 1))
    detail = f"share of errors, spread evenly {evenly:.1f} %, {len(parts)} recipes"
    return judged(found and in_points(found), "%", detail, parts, HALF)


@claim(
    "attacked-into-similar-classes",
    "The classes that images are attacked into are semantically similar to their own.",
    "abstract of the earlier version (2021)",
    "Images that PGD-20 turns, or leaves, wrong, best checkpoints, averaged over all adversarially trained recipes: "
    "the share that stays in the superclass of the true class, minus what that would be if errors were spread evenly "
    "over all wrong classes, is above 0 points. Open for a dataset without superclasses; those of ImageNet are ours.",
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
