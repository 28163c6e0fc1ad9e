"""The results that the claims of the energy paper are judged on, and how to pick from them."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from robustlens.analysis.claims import NotMeasured
from robustlens.analysis.frames import RUN, last_epoch, paired, with_deltas

FEWER = "-no-"  # in the name of a recipe that trains like another, whose name stands before it, on fewer images


@dataclass(frozen=True)
class EnergyData:
    """The results of one dataset, as frames.read_runs gives them (scores: frames.read_scores); a frame may be empty.

    robustness, attack_energies: evaluations; history, energies: of the training runs; grid: settings of the sampler.
    """

    robustness: pd.DataFrame
    attack_energies: pd.DataFrame
    history: pd.DataFrame
    energies: pd.DataFrame
    scores: pd.DataFrame
    grid: pd.DataFrame = field(default_factory=pd.DataFrame)


def of(frame: pd.DataFrame, **wanted: str | float) -> pd.DataFrame:
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


def with_points(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Adds points: 100 where the prediction on the attacked image is its label, else 0."""
    return evaluations.assign(points=100.0 * (evaluations["prediction_adversarial"] == evaluations["label"]))


def attacked_points(data: EnergyData, recipe: str, attack: str, checkpoint: str = "best") -> pd.DataFrame:
    """The rows of one recipe's test images under one attack, with their points."""
    return with_points(of(data.robustness, recipe=recipe, attack=attack, checkpoint=checkpoint))


def overfitting(data: EnergyData, recipe: str) -> pd.DataFrame:
    """seed, index, source and fall: a test image's points under PGD-20 at the best minus those at the last checkpoint.
    Its mean is robust overfitting.
    """
    key = ["seed", "index", "source"]
    best, last = (attacked_points(data, recipe, "pgd20", c).set_index(key)["points"] for c in ("best", "last"))
    return (best - last).dropna().rename("fall").reset_index()


def all_images(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the recipes that train on fewer images than others of their kind."""
    return frame[~frame["recipe"].str.contains(FEWER, regex=False)]


def check_left_out(data: EnergyData, *recipes: str) -> None:
    """Raises NotMeasured when one of the recipes trained on as many images as the one it changes: then it left none
    out, and says nothing. Histories that don't say how many images there were pass.
    """
    if "train_images" not in data.history:
        return
    images = data.history.drop_duplicates(RUN).set_index(["recipe", "seed"])["train_images"]
    for recipe in recipes:
        whole, seeds = recipe.split(FEWER)[0], images.get(recipe, pd.Series(dtype=float)).index
        equal = [seed for seed in seeds if images.get((whole, seed)) == images[recipe, seed]]
        if equal:
            where = ", ".join(map(str, equal))
            raise NotMeasured(f"{recipe} left no training image out in seed {where}: its group is empty")


def check_equal_groups(data: EnergyData, first: str, second: str) -> None:
    """Raises NotMeasured when, in a seed, the two recipes trained on numbers of images that differ by more than 5 % of
    the larger: then the loss of images alone could explain a difference. Histories without these numbers pass.
    """
    if "train_images" not in data.history:
        return
    images = data.history.drop_duplicates(RUN).pivot(index="seed", columns="recipe", values="train_images")
    for seed, row in images.reindex(columns=[first, second]).dropna().iterrows():
        if abs(row[first] - row[second]) > 0.05 * row.max():
            raise NotMeasured(
                f"groups of one size: in seed {seed}, {first} trained on {row[first]:.0f} images and {second} on "
                f"{row[second]:.0f}, more than 5 % apart"
            )


def differences(first: pd.DataFrame, second: pd.DataFrame, value: str) -> np.ndarray:
    """first - second (seeds, images), paired; raises NotMeasured when they have nothing in common."""
    pairs = paired(first, second, value)
    if not pairs.size:
        raise NotMeasured("no seed and image that both recipes have")
    return pairs
