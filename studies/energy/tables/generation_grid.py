"""Every setting of the sampler on one classifier, and what it costs (generation section of the paper)."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.frames import read_runs
from robustlens.errors import RobustlensError
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.context import Context
from robustlens.report.summary import over_seeds, seeds_note
from robustlens.report.table import Table

STARTS = {"pca": "PCA", "gaussian": "Gaussian", "noise": "noise"}
PARAMETERS = {  # column: (label, digits); of these the ones that vary are columns, the others stand in a note
    "retained_variance": ("kept", 2),
    "sigma": ("sigma", 3),
    "momentum": ("momentum", 2),
    "noise": ("noise", 4),
    "step_size": ("step size", 4),
    "steps": ("steps", 0),
}
OF_PCA = ("retained_variance", "sigma")
OF_STEPS = ("momentum", "noise", "step_size")
MEASURES = {  # column: (label, digits)
    "frechet": ("distance", 3),
    "frechet_two_half_spread": ("halves", 3),
    "score_mean": ("score", 2),
    "kid_mean": ("kernel", 3),
    "nearest_training_distance_median": ("nearest", 2),
}
EQUAL, FASTEST, WORSE = "equal", "equal, fastest", "worse"


def build(context: Context, *, grid: list[Path]) -> Table:
    """grid: `grid.parquet` files; where there are several seeds of a classifier, a row is the mean over them."""
    runs = read_runs(grid)
    kinds = runs["frechet_name"].unique()
    if len(kinds) != 1:
        raise RobustlensError(f"sampler grids with different scores ({', '.join(kinds)}); score all with one network")
    varying = [name for name in PARAMETERS if runs[name].nunique() > 1]
    datasets = runs["dataset"].unique()
    rows = []
    for (dataset, recipe), of_recipe in runs.groupby(["dataset", "recipe"], sort=False):
        group = context.recipe_label(recipe) + (f" on {context.dataset_title(dataset)}" if len(datasets) > 1 else "")
        rows += _rows(of_recipe, varying, group)
    columns = (
        *(Column(PARAMETERS[name][0]) for name in varying),
        *(Column(label) for label, _ in MEASURES.values()),
        Column("quality", wide=1.0),
    )
    title = (
        f"Settings of the sampler on {context.datasets_titles(datasets)}: the best of each start, and the fastest of "
        "equal quality. The CSV file has all of them, from the best to the worst distance."
    )
    notes = tuple(_notes(runs, varying))
    return Table(context.label, context.caption(title), "start, setting", columns, tuple(rows), notes)


def judged(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per setting, its numbers averaged over seeds, from the smallest distance on, with `quality`: EQUAL for
    the settings that are no further than the best one plus how far the distances of two halves of its images lie apart,
    FASTEST for the one of them with the fewest steps (of several such, the nearest), and WORSE for the rest.
    """
    numbers = [*PARAMETERS, *MEASURES, "n_generated"]
    settings = runs.groupby("setting").agg({name: "mean" for name in numbers} | {"init": "first"})
    settings = settings.sort_values("frechet", kind="stable")
    best = settings.iloc[0]
    equal = settings["frechet"] <= best["frechet"] + best["frechet_two_half_spread"]
    settings["quality"] = equal.map({True: EQUAL, False: WORSE})
    settings.loc[settings[equal]["steps"].idxmin(), "quality"] = FASTEST
    return settings


def _rows(runs: pd.DataFrame, varying: list[str], group: str) -> list[Row]:
    sources = tuple(runs["source"].unique())
    rows = []
    settings = judged(runs)
    shown = _shown(settings)
    for setting, row in settings.iterrows():
        of_setting = runs[runs["setting"] == setting]
        parameters = [
            Cell(
                value=row[name] if _reads(row, name) else None,
                digits=_digits(runs, name),
                sources=sources,
            )
            for name in varying
        ]
        images = int(row["n_generated"])
        measures = [over_seeds(of_setting[name], digits, "", sources, images) for name, (_, digits) in MEASURES.items()]
        label = f"{STARTS.get(row['init'], row['init'])} {setting}"
        cells = (*parameters, *measures, Cell(text=row["quality"]))
        rows.append(Row(label, cells, group, printed=setting in shown))
    return rows


def _shown(settings: pd.DataFrame) -> set:
    """The settings in print: the best of each start, and the fastest of equal quality. settings: as `judged` gives
    them."""
    return {*settings.reset_index().groupby("init")["setting"].first(), settings["quality"].eq(FASTEST).idxmax()}


def _reads(setting: pd.Series, parameter: str) -> bool:
    """Whether a parameter makes a difference to a setting."""
    return not ((parameter in OF_PCA and setting["init"] != "pca") or (parameter in OF_STEPS and setting["steps"] == 0))


def _digits(runs: pd.DataFrame, name: str) -> int:
    """Decimals that tell all values of a parameter apart, at most those of PARAMETERS."""
    values, most = runs[name].unique(), PARAMETERS[name][1]
    return next(digits for digits in range(most + 1) if digits == most or all(round(v, digits) == v for v in values))


def _notes(runs: pd.DataFrame, varying: list[str]) -> list[str]:
    counts = runs["n_generated"].astype(int)
    images = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    notes = [
        f"distance: {runs['frechet_name'].iloc[0]} of {images} images per setting, lower is better; halves: how far "
        "the distances of two random halves of them lie apart. score: higher is better; kernel: kernel distance, lower "
        "is better; nearest: median L2 distance to the nearest training image, near 0 the samples are copies.",
        "quality: equal are the settings whose distance exceeds the best one's by no more than its halves lie apart; "
        "fastest of equal quality is the one of them with the fewest steps. A step is one gradient of the classifier "
        "per image, whatever the machine; seconds depend on the machine and decide nothing here.",
        "Settings of one classifier start from the same random numbers, and the best of many is partly the luckiest.",
    ]
    if set(OF_PCA) & set(varying):
        notes.append(
            "kept: part of the variance that the principal components of a class keep; sigma: in standard deviations "
            "of the class. Only PCA reads them."
        )
    if (runs["steps"] == 0).any():
        notes.append(
            "Settings of 0 steps are starting points, scored as they are: the difference from one of them is what the "
            "sampler adds to it. Momentum, noise and step size play no part there."
        )
    if (runs["features"] == "inception").any():
        notes.append(
            "Distances of so few images in 2,048 dimensions are biased upwards: compare them only at equal numbers of "
            "images, not with those of other tables. The kernel distance has no such bias."
        )
    same = [f"{label} {runs[name].iloc[0]:g}" for name, (label, _) in PARAMETERS.items() if name not in varying]
    if same:
        notes.append(f"The same for all settings: {', '.join(same)}.")
    return [*notes, seeds_note(runs["seed"])]
