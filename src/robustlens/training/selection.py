"""Which epoch's weights are the best, by what the validation split says of them."""

SELECTIONS = ("robust-accuracy", "worst-class", "robust-accuracy-and-worst-class", "accuracy")


def criterion(settings: dict, attacked: bool) -> str:
    """The one that `training.selection` asks for. `auto`: robust accuracy. A method without an attack is most robust
    before it has learnt anything: there accuracy."""
    if settings["selection"] != "auto":
        return settings["selection"]
    return "robust-accuracy" if attacked else "accuracy"


def value(by: str, row: dict) -> list[float]:
    """How good an epoch is, to be compared in order; of equal ones the first is the best.

    row: of the history. Of the robust accuracies of the classes, the lowest counts; of equal ones, which are common
    where a class has few images, those with the higher robust accuracy.
    """
    if by == "accuracy":
        return [row["clean_accuracy"]]
    if by == "robust-accuracy":
        return [row["robust_accuracy"]]
    worst = min(right / total for right, total in zip(row["class_robust"], row["class_total"], strict=True) if total)
    if by == "worst-class":
        return [worst, row["robust_accuracy"]]
    return [worst + row["robust_accuracy"]]
