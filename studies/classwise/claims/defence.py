"""What raises the robust accuracy of the worst class: in training, at inference, and by the choice of a checkpoint."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from robustlens.analysis.claims import UNDERPOWERED, Claim, NotMeasured, Outcome, collector
from robustlens.analysis.classwise import worst_class
from robustlens.analysis.measured import of
from robustlens.report.cells import number
from studies.classwise.claims.data import ClasswiseData, in_points, judged
from studies.classwise.defence import SELECTED, mean_gain
from studies.classwise.results import REFERENCE

CLAIMS: list[Claim] = []
MARGIN = "margin-pgd20"  # which no change of the softmax blinds
IMAGE = ["entry", "seed", "index"]
ENOUGH = 100  # validation images per class, of which a share has a standard error of at most 5 points

claim = collector(CLAIMS)

Pairs = dict[str, tuple[pd.DataFrame, pd.DataFrame]]


@claim(
    "training-raises-the-worst-class",
    "Modified training makes the most vulnerable class more robust.",
    "abstract",
    "Accuracy of the worst class under PGD-20 and PGD on the margin together of each recipe that attends to classes in "
    "training (class weights, CFA, FRL, DAFA, whichever there are, and CFA on each recipe and its averaging alone; "
    "ours, because the paper's own modification is not known) minus that of the recipe that it changes, best "
    "checkpoints, run by run, averaged over the seeds and these recipes, is above 0 points. Open (underpowered) where "
    "a class has fewer than 100 validation images and one of these recipes goes by the classes' robust accuracy there: "
    "FAWA, which averages only the epochs whose worst class is robust enough, and FRL.",
)
def training_raises_the_worst_class(data: ClasswiseData) -> Outcome:
    pairs = _pairs(data, lambda entry: "/" not in entry)
    outcome = _raised(pairs, "a defence of the worst class and what it changes")
    if data.chosen.empty:
        return outcome
    return _powered(outcome, data.chosen, f"{', '.join(data.chosen['recipe'].unique())} went by")


@claim(
    "corrections-raise-the-worst-class",
    "Modified inference makes the most vulnerable class more robust.",
    "abstract",
    "Accuracy of the worst class under PGD-20 and PGD on the margin together with a correction of the last layer "
    "(tau-normalisation, logit adjustment; ours, because the paper's own modification is not known), whose strength is "
    "chosen by the worst class of the validation split, minus that without, best checkpoints, run by run, averaged "
    "over the seeds, recipes and corrections, is above 0 points. Open (underpowered) where a class has fewer than 100 "
    "validation images.",
)
def corrections_raise_the_worst_class(data: ClasswiseData) -> Outcome:
    pairs = _pairs(data, lambda entry: "/" in entry and not entry.endswith(SELECTED))
    return _powered(_raised(pairs, "a corrected classifier and what it corrects"), data.history)


@claim(
    "selection-raises-the-worst-class",
    "The checkpoint that is best for the worst class of the validation split is better for it on test images, too.",
    "a design of ours",
    "Accuracy of the worst class under PGD-20 and PGD on the margin together of the checkpoint with the highest robust "
    "accuracy of the worst class of the validation split, minus that of the checkpoint with the highest robust "
    "accuracy there, run by run, averaged over the seeds and recipes (SAT and TRADES), is above 0 points. Open "
    "(underpowered) where a class has fewer than 100 validation images.",
)
def selection_raises_the_worst_class(data: ClasswiseData) -> Outcome:
    pairs = _pairs(data, lambda entry: entry.endswith(SELECTED))
    return _powered(_raised(pairs, "a checkpoint that is best for the worst class"), data.history)


def _pairs(data: ClasswiseData, wanted: Callable[[str], bool]) -> Pairs:
    """Entry -> its rows under both attacks together and those of its base."""
    rows = under_both(data.defence) if len(data.defence) else pd.DataFrame(columns=["entry"])
    parts = dict(iter(rows.groupby("entry", sort=False)))
    bases = {entry: part["base"].iloc[0] for entry, part in parts.items()}
    return {e: (part, parts[bases[e]]) for e, part in parts.items() if wanted(e) and bases[e] in parts}


def under_both(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows under PGD-20; an image that PGD on the margin turns wrong has its prediction. Raises NotMeasured for an
    entry that was tried under one of them alone."""
    reference, margin = (of(rows, attack=attack) for attack in (REFERENCE, MARGIN))
    if alone := sorted(set(reference["entry"]) - set(margin["entry"])):
        raise NotMeasured(f"{alone[0]} under {MARGIN}")
    both = reference.merge(margin[[*IMAGE, "prediction_adversarial", "source"]], on=IMAGE, suffixes=("", "_margin"))
    broken = both["prediction_adversarial_margin"] != both["label"]
    prediction = both["prediction_adversarial"].mask(broken, both["prediction_adversarial_margin"])
    return both.assign(prediction_adversarial=prediction).rename(columns={"source_margin": "other_source"})


def _raised(pairs: Pairs, what: str) -> Outcome:
    """The general rule for the mean gain of the worst class; each pair's own gain is told, without an interval."""
    if not pairs:
        raise NotMeasured(f"{what}, under {REFERENCE} and {MARGIN}")
    gains = {entry: mean_gain([pair], worst_class) for entry, pair in pairs.items()}
    told = ", ".join(f"{entry} {number(100 * gain.estimate, 1)}" for entry, gain in gains.items() if gain)
    found = mean_gain(list(pairs.values()), worst_class)
    detail = f"gain of {told}"
    return judged(found and in_points(found), "points", detail, [part for pair in pairs.values() for part in pair])


def _powered(outcome: Outcome, history: pd.DataFrame, how: str = "chosen on") -> Outcome:
    """Open where the choice was made on too few validation images to mean anything. history: of the runs in question;
    how: what these images were used for, in words."""
    counts = of(history, split="validation")["class_total"]
    fewest = int(min(np.min(total) for total in counts))
    if fewest >= ENOUGH:
        return outcome
    text = f"{outcome.detail}; {how} {fewest} validation images per class, underpowered, so open whatever it says"
    return outcome.opened(UNDERPOWERED, text)
