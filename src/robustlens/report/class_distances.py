"""The distance in which generated images are compared class by class: one for all runs, so that they compare."""

import pandas as pd


def class_distances(runs: pd.DataFrame) -> tuple[str, pd.Series]:
    """runs: a row a scores.json, as `frames.read_scores` gives them. Returns what the distance is, "frechet" or "kid"
    (a key of `names` in a scores.json), and {label: distance} of each run that has it, the others left out.

    It is the Fréchet distance where every run has one of each class, for which it needs more images than features have
    dimensions, and else the kernel distance. Older files have no kernel distances of classes: if none has, it is the
    Fréchet distance of the runs that have it.
    """
    found = {}
    for measure in ("frechet", "kid"):
        values = runs.get(f"{measure}_per_class", pd.Series(index=runs.index, dtype=object))
        found[measure] = values[[isinstance(value, dict) for value in values]]
    measure = "frechet" if len(found["frechet"]) == len(runs) or found["kid"].empty else "kid"
    return measure, found[measure]
