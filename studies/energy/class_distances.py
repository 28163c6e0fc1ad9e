"""The distance by which generated images are compared class by class: the same for all runs."""

import pandas as pd


def class_distances(runs: pd.DataFrame) -> tuple[str, pd.Series]:
    """runs: one row per scores.json, as `frames.read_scores` gives them. Returns what the distance is, "frechet" or
    "kid" (a key of `names` in a scores.json), and {label: distance} of each run that has it; other runs are left out.

    It is the Fréchet distance if every run has one for each class, which needs more images of the class than features
    have dimensions; otherwise it is the kernel distance. Older files have no kernel distances of classes: if none has,
    it is the Fréchet distance of the runs that have it.
    """
    found = {}
    for measure in ("frechet", "kid"):
        values = runs.get(f"{measure}_per_class", pd.Series(index=runs.index, dtype=object))
        found[measure] = values[[isinstance(value, dict) for value in values]]
    measure = "frechet" if len(found["frechet"]) == len(runs) or found["kid"].empty else "kid"
    return measure, found[measure]
