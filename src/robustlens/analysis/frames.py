"""Per-run files as one table. The place of a file says what it holds: .../<dataset>/<recipe>/seed<k>/..."""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from robustlens.errors import RobustlensError

RUN = ["dataset", "recipe", "seed"]
PLACE = ["checkpoint", "attack", *RUN, "threat", "source"]  # what the place of an evaluation says


def run_of(path: Path) -> tuple[str, str, int]:
    """(dataset, recipe, seed) of a file under .../<dataset>/<recipe>/seed<k>/."""
    parts = Path(path).parts
    for position in range(len(parts) - 1, 1, -1):
        match = re.fullmatch(r"seed(\d+)", parts[position])
        if match:
            return parts[position - 2], parts[position - 1], int(match[1])
    raise RobustlensError(f"{path}: not the file of a run; it must lie in .../<dataset>/<recipe>/seed<k>/")


def read_runs(paths: Iterable[Path], columns: list[str] | None = None) -> pd.DataFrame:
    """The rows of all files with the columns dataset, recipe, seed and source (the file), in the order of `paths`.

    columns: read only these of the files. Raises RobustlensError for a file that is missing or is not Parquet.
    """
    frames = []
    for path in paths:
        dataset, recipe, seed = run_of(path)
        try:
            frame = pd.read_parquet(path, columns=columns)
        except (OSError, ValueError) as error:
            raise RobustlensError(f"{path}: cannot be read ({error}); delete it and run again") from error
        frames.append(frame.assign(dataset=dataset, recipe=recipe, seed=seed, source=Path(path).as_posix()))
    if not frames:
        raise RobustlensError("no run to read: the list of files is empty")
    return pd.concat(frames, ignore_index=True)


def read_evaluations(indexes: Iterable[Path], columns: list[str] | None = None) -> pd.DataFrame:
    """The rows of all evaluations that the indexes of suites list, one per attacked image, in that order. A file that
    several indexes list is read once.

    The columns: checkpoint, attack, those of the files, dataset, recipe, seed, threat (its name) and source (the file).
    columns: of those of the files, read only these.
    Raises RobustlensError for an index that can't be read, and for a listed file that is missing or was altered.
    """
    files: dict[Path, list] = {}
    for path in map(Path, indexes):
        try:
            index = json.loads(path.read_bytes())
            run = [index["run"][name] for name in RUN]
            for entry in index["evaluations"]:
                place = [entry["checkpoint"], entry["attack"], *run, index["threat"]["name"]]
                files.setdefault(path.parent / entry["file"], [path, entry["sha256"], place])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RobustlensError(
                f"{path}: not an index of evaluations ({error}); delete it and run the same command again"
            ) from error
    if not files:
        raise RobustlensError("no evaluation to read: the list of indexes is empty")
    own = None if columns is None else [name for name in columns if name not in ("checkpoint", "attack")]
    tables = [_evaluation(file, index, digest, own) for file, (index, digest, _) in files.items()]
    frame = pa.concat_tables(tables, promote_options="default").to_pandas()
    places = pd.DataFrame([[*place, file.as_posix()] for file, (_, _, place) in files.items()], columns=PLACE)
    rows = np.repeat(np.arange(len(files)), [table.num_rows for table in tables])
    of_rows = places.iloc[rows].reset_index(drop=True)
    return pd.concat([of_rows[PLACE[:2]], frame, of_rows[PLACE[2:]]], axis=1)


def _evaluation(file: Path, index: Path, digest: str, columns: list[str] | None) -> pa.Table:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RobustlensError(
            f"{file}: listed in {index}, but can't be read ({error.strerror}); delete {index} and run the same command "
            "again"
        ) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise RobustlensError(
            f"{file}: not the file that was made (its SHA-256 differs from {index}); delete both and run the same "
            "command again"
        )
    return pq.read_table(pa.BufferReader(content), columns=columns)


def read_scores(paths: Iterable[Path]) -> pd.DataFrame:
    """One row per scores.json, its entries as columns, with dataset, recipe, seed and source."""
    rows = []
    for path in paths:
        dataset, recipe, seed = run_of(path)
        place = {"dataset": dataset, "recipe": recipe, "seed": seed, "source": Path(path).as_posix()}
        rows.append(json.loads(Path(path).read_text()) | place)
    return pd.DataFrame(rows)


def with_deltas(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds delta_marginal = E(x) - E(x*) and delta_joint = E(x, y) - E(x*, y) from the four energies."""
    return frame.assign(
        delta_marginal=frame["marginal_natural"] - frame["marginal_adversarial"],
        delta_joint=frame["joint_natural"] - frame["joint_adversarial"],
    )


def accuracies(evaluations: pd.DataFrame) -> pd.DataFrame:
    """One row per (dataset, recipe, seed, checkpoint, attack): accuracy (0..1), images and source.

    An image counts as right when the prediction on its attacked version is its label.
    """
    right = evaluations.assign(right=evaluations["prediction_adversarial"] == evaluations["label"])
    groups = right.groupby([*RUN, "checkpoint", "attack"], sort=False)
    return groups.agg(accuracy=("right", "mean"), images=("right", "size"), source=("source", "first")).reset_index()


def last_epoch(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last epoch (of a history, or of tracked energies)."""
    return frame[frame["epoch"] == frame.groupby(RUN)["epoch"].transform("max")]


def one_dataset(frame: pd.DataFrame) -> str:
    """The only dataset of a frame; a figure is drawn for one."""
    names = frame["dataset"].unique()
    if len(names) != 1:
        raise RobustlensError(f"a figure shows one dataset, got files of {', '.join(names)}: pass the files of one")
    return names[0]


def one_recipe(frame: pd.DataFrame) -> str:
    """The only recipe of a frame. Raises RobustlensError for several."""
    recipes = frame["recipe"].unique()
    if len(recipes) != 1:
        raise RobustlensError(f"this figure shows one recipe, got files of {', '.join(recipes)}: pass the files of one")
    return recipes[0]


def seeds_by_images(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """`value` with one row per seed and one column per image (its index); only images that every seed has."""
    return frame.pivot(index="seed", columns="index", values=value).astype(np.float64).dropna(axis=1)


def paired(first: pd.DataFrame, second: pd.DataFrame, value: str) -> np.ndarray:
    """first - second (seeds, images) over the seeds and images that both have; may be empty."""
    a, b = seeds_by_images(first, value), seeds_by_images(second, value)
    seeds, images = a.index.intersection(b.index), a.columns.intersection(b.columns)
    return a.loc[seeds, images].to_numpy() - b.loc[seeds, images].to_numpy()
