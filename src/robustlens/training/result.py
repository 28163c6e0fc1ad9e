"""What a finished training leaves, and its files."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from torch import Tensor

from robustlens.atomic import replacing
from robustlens.models.weights import save_weights


@dataclass(frozen=True)
class TrainedRun:
    """What a finished run leaves.

    best, last: weights of the epoch with the highest robust accuracy on the validation split (the first of equal ones)
        and of the last epoch. A method without an attack is most robust before it has learnt anything: there `best` is
        chosen by clean accuracy. With weight averaging, see `averaging`.
    history: two rows per epoch (train subset, validation). energies: per sample, at the chosen epochs. timing: seconds
        and images/s of each epoch, the only part that differs between repeats.
    devices: what it was computed on (`device_facts`), by its first process; several where it was resumed on another
        machine.
    """

    best: dict[str, Tensor]
    last: dict[str, Tensor]
    best_epoch: int
    history: pd.DataFrame
    energies: pd.DataFrame
    timing: pd.DataFrame
    devices: list[dict]


def write_run(run: TrainedRun, folder: Path) -> list[Path]:
    """Write best.safetensors, last.safetensors, history.parquet, energies.parquet and timing.parquet."""
    folder = Path(folder)
    paths = [folder / name for name in ("best.safetensors", "last.safetensors")]
    save_weights(run.best, paths[0])
    save_weights(run.last, paths[1])
    for name in ("history", "energies", "timing"):
        paths.append(folder / f"{name}.parquet")
        with replacing(paths[-1]) as path:
            getattr(run, name).to_parquet(path, index=False)
    return paths
