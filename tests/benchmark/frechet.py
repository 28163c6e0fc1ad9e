"""The Fréchet distance of two sets of features: ours against pytorch-fid's, which takes scipy's root of a matrix."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from contest import OURS, contest, contest_table, rounds_of, timed
from workers import Failed, Skipped

from robustlens.generation.scores import frechet_distance, moments

PEER = "pytorch-fid"
SIZES = {  # features of each set, and their dimensions
    "Inception's features": (5000, 2048),
    "the embedded scale's features": (2000, 16),
}
FROM_FEATURES = ", moments included"
CLOSE = 1e-6  # relative


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """Of each size the rounds that count. Raises Failed where the distances differ."""
    try:
        from pytorch_fid.fid_score import calculate_frechet_distance
    except ImportError as error:
        raise Skipped(f"pytorch-fid can't be imported ({error})") from error
    return {name: _measured(calculate_frechet_distance, *size, quick, say) for name, size in SIZES.items()}


def _measured(theirs: Callable, n: int, d: int, quick: bool, say: Callable[[str], None]) -> dict:
    n, d = (n // 25, min(d, 64)) if quick else (n, d)
    sets = features(n, d, seed=0), features(n, d, seed=1)
    given = [part for one in sets for part in moments(one)[:2]]

    def from_features() -> float:
        return frechet_distance(*(part for one in sets for part in moments(one)[:2]))

    def theirs_from_features() -> float:
        return theirs(*(part for one in sets for part in (np.mean(one, axis=0), np.cov(one, rowvar=False))))

    run = {
        OURS: partial(frechet_distance, *given),
        PEER: partial(theirs, *given),
        OURS + FROM_FEATURES: from_features,
        PEER + FROM_FEATURES: theirs_from_features,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of an argument that pytorch-fid gives to scipy
        distances = {name: float(do()) for name, do in run.items()}
        apart = max(abs(distance / distances[PEER] - 1) for distance in distances.values())
        if apart > CLOSE:
            raise Failed(f"distances of {n} features of {d} dimensions differ by {apart:.2g} of them: {distances}")
        say(f"Fréchet distances of {n} features of {d} dimensions")
        device = torch.device("cpu")
        found = contest({name: timed(do, device, 1 if quick else None) for name, do in run.items()}, device, quick)
    return {"n": n, "dimensions": d, "distances": distances, "apart": apart, **found}


def features(n: int, d: int, seed: int) -> np.ndarray:
    """float64 (n, d), correlated, with a spectrum that falls as that of a network's features does."""
    random, spread = np.random.default_rng(seed), np.arange(1, d + 1) ** -0.5
    mixed = np.random.default_rng(2).standard_normal((d, d)) / np.sqrt(d)
    return 0.1 * seed + (random.standard_normal((n, d)) * spread * (1 + 0.2 * seed)) @ mixed


def table(found: dict) -> str:
    tables = []
    for name, one in found.items():
        title = f"Fréchet distance, {name}: {one['n']} of {one['dimensions']} dimensions, float64, equal to "
        title += f"{one['apart']:.1g}: {rounds_of(one)}\n\n"
        tables.append(title + contest_table(one, {"ms": lambda _, seconds: f"{1e3 * seconds:.3g}"}))
    return "\n".join(tables)
