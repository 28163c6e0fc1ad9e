"""What a finished training leaves, and its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from torch import Tensor

from robustlens.atomic import replacing
from robustlens.models.weights import save_weights


@dataclass(frozen=True)
class TrainedRun:
    """What a finished run leaves.

    best, last: weights of the best epoch by `training.selection` (the first of equal ones) and of the last epoch. With
        weight averaging, see `averaging`. checkpoints: of the epochs `training.checkpoints`, as "<epoch>.<tensor>", and
        of what is best by `training.also_select` and what the method deploys besides, as "best-<name>.<tensor>".
    chosen: the epochs of the best ones, by their names: "best" and those of `also_select`.
    history: two rows per measured epoch (train subset, validation). energies: per sample, at the chosen epochs.
    timing: seconds and images/s of each epoch, the only part that differs between repeats.
    devices: what it was computed on (`device_facts`), by its first process; several where it was resumed on another
        machine.
    """

    best: dict[str, Tensor]
    last: dict[str, Tensor]
    checkpoints: dict[str, Tensor]
    chosen: dict[str, int]
    history: pd.DataFrame
    energies: pd.DataFrame
    statistics: pd.DataFrame
    timing: pd.DataFrame
    devices: list[dict]

    @property
    def best_epoch(self) -> int:
        return self.chosen["best"]


def statistics_table(rows: Sequence[Sequence]) -> pd.DataFrame:
    """The rows of an `Observing`; none of them still has the types of the columns."""
    types = {"epoch": "int64", "step": "int64", "observer": "str", "statistic": "str", "value": "float64"}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def write_run(run: TrainedRun, folder: Path) -> list[Path]:
    """Write {best,last,checkpoints}.safetensors and {history,energies,statistics,timing}.parquet."""
    folder, paths = Path(folder), []
    for name in ("best", "last", "checkpoints"):
        paths.append(folder / f"{name}.safetensors")
        save_weights(getattr(run, name), paths[-1])
    for name in ("history", "energies", "statistics", "timing"):
        paths.append(folder / f"{name}.parquet")
        with replacing(paths[-1]) as path:
            getattr(run, name).to_parquet(path, index=False)
    return paths
