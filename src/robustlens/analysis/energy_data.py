"""The results that the claims of the energy paper are judged on, and how to pick from them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from robustlens.analysis.claims import NotMeasured
from robustlens.analysis.frames import last_epoch, paired, with_deltas


@dataclass(frozen=True)
class EnergyData:
    """The results of one dataset, as frames.read_runs gives them (scores: frames.read_scores); a frame may be empty.

    robustness, attack_energies: evaluations; history, energies: of the training runs.
    """

    robustness: pd.DataFrame
    attack_energies: pd.DataFrame
    history: pd.DataFrame
    energies: pd.DataFrame
    scores: pd.DataFrame


def of(frame: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """The rows with these values; raises NotMeasured when there are none."""
    for column, value in wanted.items():
        frame = frame[frame[column] == value] if column in frame else frame[:0]
    if frame.empty:
        raise NotMeasured(", ".join(f"{column} {value}" for column, value in wanted.items()))
    return frame


def attacked_standard(data: EnergyData, attack: str) -> pd.DataFrame:
    """The rows of one attack on the last checkpoint of standard training, with the shifts of the energies."""
    return with_deltas(of(data.attack_energies, recipe="standard", attack=attack, checkpoint="last"))


def final_energies(data: EnergyData, recipe: str) -> pd.DataFrame:
    """Per-sample energies of the training images at the last tracked epoch of each run, with their shifts."""
    return with_deltas(last_epoch(of(data.energies, recipe=recipe, split="train")))


def differences(first: pd.DataFrame, second: pd.DataFrame, value: str) -> np.ndarray:
    """first - second (seeds, images), paired; raises NotMeasured when they have nothing in common."""
    pairs = paired(first, second, value)
    if not pairs.size:
        raise NotMeasured("no seed and image that both recipes have")
    return pairs
