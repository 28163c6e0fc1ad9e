"""The Fréchet distance of two sets of features: ours against pytorch-fid's, which takes scipy's root of a matrix, and
torch-fidelity's, which takes the eigenvalues of a product, in a process of its own."""

import contextlib
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from contest import OURS, Turn, contest, notes, rounds_of, seconds_of, timed, times
from line_up import TORCH_FIDELITY, Contestant, Problem
from workers import Failed, Skipped, Worker

from robustlens.generation.scores import frechet_distance, moments

PEER = "pytorch-fid"
OF_INCEPTION = "2,048 dimensions"
SIZES = {  # features of each set, and their dimensions
    OF_INCEPTION: (5000, 2048),
    "16 dimensions": (2000, 16),  # those of the embedded scale's classifier: without a goal, half a millisecond
}
FROM_FEATURES = ", moments included"
STARTS = {"moments": "", "features": FROM_FEATURES}
CLOSE = 1e-6  # relative


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """Of each size the rounds that count. Raises Failed where the distances differ."""
    try:
        from pytorch_fid.fid_score import calculate_frechet_distance
    except ImportError as error:
        raise Skipped(f"pytorch-fid can't be imported ({error})") from error
    found = {}
    for name, size in SIZES.items():
        with contextlib.ExitStack() as stack:
            found[name] = _measured(calculate_frechet_distance, *size, folder, quick, say, stack)
    return found


def _measured(
    theirs: Callable,
    n: int,
    d: int,
    folder: Path,
    quick: bool,
    say: Callable[[str], None],
    stack: contextlib.ExitStack,
) -> dict:
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
        apart = {name: abs(distance / distances[PEER] - 1) for name, distance in distances.items()}
        if max(apart.values()) > CLOSE:
            raise Failed(f"distances of {n} features of {d} dimensions differ: {distances}")
        device = torch.device("cpu")
        turns = {name: timed(do, device, 1 if quick else None) for name, do in run.items()}
        left_out = {"skipped": {}, "failed": {}}
        for file, one in zip(("first", "second"), sets, strict=True):
            np.save(folder / f"{file}.npy", one)
        for more in STARTS.values():
            name = f"{TORCH_FIDELITY}{more}"
            try:
                distance, turn = torch_fidelity(bool(more), folder, quick, stack)
                if (away := abs(distance / distances[PEER] - 1)) > CLOSE:
                    raise Failed(f"its distance, {distance}, is {away:.2g} off")
                distances[name], apart[name], turns[name] = distance, away, turn
            except (Skipped, Failed) as reason:
                left_out["skipped" if isinstance(reason, Skipped) else "failed"][name] = str(reason)
                say(f"{name}: {reason}")
        say(f"Fréchet distances of {n} features of {d} dimensions")
        found = contest(turns, device, quick)
    return {"n": n, "dimensions": d, "distances": distances, "apart": apart, **found, **left_out}


def torch_fidelity(
    moments_included: bool, folder: Path, quick: bool, stack: contextlib.ExitStack
) -> tuple[float, Turn]:
    """Its distance of the features in the folder, and what measures it. Raises Skipped where it can't run."""
    contestant = Contestant(
        str(TORCH_FIDELITY), "torch-fidelity", {"moments_included": moments_included}, TORCH_FIDELITY
    )
    worker = Worker(contestant, Problem("Fréchet distance", 0, 0, torch.get_num_threads(), gpu=False), folder)
    stack.callback(worker.stop)
    worker.ready()
    worker.ask("result", file=str(folder / "distance.npy"))
    calls = 1 if quick else max(1, round(1 / worker.turn(1)[0]))
    return float(np.load(folder / "distance.npy")), partial(worker.turn, calls)


def features(n: int, d: int, seed: int) -> np.ndarray:
    """float64 (n, d), correlated, with a spectrum that falls as that of a network's features does."""
    random, spread = np.random.default_rng(seed), np.arange(1, d + 1) ** -0.5
    mixed = np.random.default_rng(2).standard_normal((d, d)) / np.sqrt(d)
    return 0.1 * seed + (random.standard_normal((n, d)) * spread * (1 + 0.2 * seed)) @ mixed


def table(found: dict) -> str:
    lines = [
        "Fréchet distance, float64",
        "",
        f"| features | from | contestant | ms | times as fast {OURS} is | differs from {PEER} by | rounds |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in (one for one in found.values() if one["rounds"]):
        for start, more in STARTS.items():
            for peer in (OURS, PEER, str(TORCH_FIDELITY)):
                if (name := peer + more) in one["distances"]:
                    cells = [f"{one['n']} x {one['dimensions']}", start, peer, f"{1e3 * seconds_of(one, name):.3g}"]
                    cells += [f"{times(one, OURS + more, name):.2f}", f"{one['apart'][name]:.1g}", rounds_of(one)]
                    lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(note for one in found.values() for note in notes(one))])
