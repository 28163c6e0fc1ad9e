"""The results that the claims of the energy paper are judged on, and how to pick from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from robustlens.analysis.claims import NotMeasured
from robustlens.analysis.evaluations import falls, largest, with_points
from robustlens.analysis.frames import RUN, last_epoch, read_evaluations, read_runs, read_scores, with_deltas
from robustlens.analysis.measured import of
from robustlens.report import threats
from robustlens.report.context import Context


@dataclass(frozen=True)
class EnergyData:
    """The results of one dataset, as the readers of `frames` give them; a frame may be empty.

    robustness, attack_energies: evaluations, under one threat; history, energies: of the training runs; grid: settings
    of the sampler. changes: recipe -> the recipe that it varies.
    notes: sentences to print below the verdicts.
    """

    robustness: pd.DataFrame
    attack_energies: pd.DataFrame
    history: pd.DataFrame
    energies: pd.DataFrame
    scores: pd.DataFrame
    grid: pd.DataFrame = field(default_factory=pd.DataFrame)
    changes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read(
    context: Context,
    *,
    robustness: Sequence[Path] = (),
    attack_energies: Sequence[Path] = (),
    history: Sequence[Path] = (),
    energies: Sequence[Path] = (),
    scores: Sequence[Path] = (),
    grid: Sequence[Path] = (),
) -> dict[str, EnergyData]:
    """The results of each dataset. robustness, attack_energies: indexes of suites; the others: lists of
    `history.parquet`, `energies.parquet`, `scores.json` and `grid.parquet` files. Claims that need a list that is empty
    are open.
    """
    readers = (read_evaluations, read_evaluations, read_runs, read_runs, read_scores, read_runs)
    lists = (robustness, attack_energies, history, energies, scores, grid)
    frames = [read(files) if files else pd.DataFrame() for read, files in zip(readers, lists, strict=True)]
    datasets = list(dict.fromkeys(dataset for frame in frames if len(frame) for dataset in frame["dataset"].unique()))
    changes = {name: changed for name in context.recipes if (changed := context.changes(name))}
    found = {}
    for dataset in datasets:
        parts = [frame[frame["dataset"] == dataset] if len(frame) else frame for frame in frames]
        evaluated = [threats.one(largest(frame), context) if len(frame) else (frame, []) for frame in parts[:2]]
        notes = tuple(note for _, of_frame in evaluated for note in of_frame)
        found[dataset] = EnergyData(*(frame for frame, _ in evaluated), *parts[2:], changes, notes)
    return found


def attacked_standard(data: EnergyData, attack: str) -> pd.DataFrame:
    """The rows of one attack on the last checkpoint of standard training, with the shifts of the energies."""
    return with_deltas(of(data.attack_energies, recipe="standard", attack=attack, checkpoint="last"))


def final_energies(data: EnergyData, recipe: str) -> pd.DataFrame:
    """Per-sample energies of the training images at the last tracked epoch of each run, with their shifts."""
    return with_deltas(last_epoch(of(data.energies, recipe=recipe, split="train")))


def attacked_points(data: EnergyData, recipe: str, attack: str, checkpoint: str = "best") -> pd.DataFrame:
    """The rows of one recipe's test images under one attack, with their points."""
    return with_points(of(data.robustness, recipe=recipe, attack=attack, checkpoint=checkpoint))


def overfitting(data: EnergyData, recipe: str) -> pd.DataFrame:
    """The falls of a recipe's test images under PGD-20. Raises NotMeasured where a checkpoint is missing."""
    checkpoints = [attacked_points(data, recipe, "pgd20", checkpoint) for checkpoint in ("best", "last")]
    return falls(pd.concat(checkpoints))


def one_of_each_family(data: EnergyData, frame: pd.DataFrame) -> pd.DataFrame:
    """Without the recipes that vary another one: these are no independent evidence."""
    return frame[~frame["recipe"].isin(data.changes)]


def check_left_out(data: EnergyData, *recipes: str) -> None:
    """Raises NotMeasured when one of the recipes trained on as many images as the one it changes: then it left none
    out, and says nothing. Histories that don't say how many images there were pass.
    """
    if "train_images" not in data.history:
        return
    images = data.history.drop_duplicates(RUN).set_index(["recipe", "seed"])["train_images"]
    for recipe in recipes:
        whole, seeds = data.changes.get(recipe), images.get(recipe, pd.Series(dtype=float)).index
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
