"""Settings of the sampler: the distance that each ends at as a heat map, the best and the worst images, and the energy
on the way."""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from robustlens.analysis.frames import one_dataset, one_recipe, read_runs
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.figure import (
    BLACK,
    BLUE,
    GREY,
    LINES,
    ORANGE,
    TEXT_WIDTH,
    Drawing,
    label_ends,
    side_by_side,
    styled,
)
from robustlens.report.finding import digits, short

INITS = {"noise": ("noise", GREY), "gaussian": ("class Gaussian", ORANGE), "pca": ("class PCA", BLUE)}
SETTING = ["init", "retained_variance", "sigma", "step_size", "momentum", "noise"]  # all but how many steps
START = ["init", "retained_variance", "sigma"]
SHOWN = 2  # of the best and of the worst settings, as strips of images
CELL, STRIP, CHAINS = 0.24, 0.3, 1.8  # inches: of a row of the heat map, a strip, and the panel of chains


@styled
def build(context: Context, *, grid: list[Path], chains: list[Path], samples: list[Path]) -> Drawing:
    """grid, chains, samples: the `grid.parquet`, `grid-chains.parquet` and `grid.npz` files of one recipe on one
    dataset, in the same order of seeds; the first seed is drawn. The images are float32 (settings, classes, a few, C,
    H, W) in [0, 1].
    """
    if not len(grid) == len(chains) == len(samples):
        raise RobustlensError(
            f"{len(grid)} grids, {len(chains)} files of chains and {len(samples)} of images: pass those of one run"
        )
    settings, steps = read_runs(grid[:1]), read_runs(chains[:1])
    title = context.dataset_title(one_dataset(settings))
    with np.load(samples[0], allow_pickle=False) as arrays:
        images = arrays["images"]
    if len(images) != len(settings):
        raise RobustlensError(f"{samples[0]}: images of {len(images)} settings, but {grid[0]} has {len(settings)}")
    table = _table(settings)
    order = settings["frechet"].sort_values(kind="stable").index
    shown = list(dict.fromkeys([*order[:SHOWN], *order[::-1][:SHOWN]]))
    rows = -(-len(shown) // 2)
    heights = [0.75 + CELL * len(table), 0.1 + STRIP * rows, CHAINS]
    figure = Figure(figsize=(TEXT_WIDTH, sum(heights)), layout="constrained")
    above, between, below = figure.subfigures(3, 1, height_ratios=heights)
    name = settings["frechet_name"].iloc[0]
    _heat_map(above.subplots(), table, name)
    panels = between.subplots(rows, 2, squeeze=False).ravel(order="F")
    for axes in panels:
        axes.axis("off")
    for axes, position in zip(panels, shown, strict=False):
        _strip(axes, images[position], _label(settings.loc[position], position in order[:SHOWN]))
    _chains(below.subplots(), settings, steps)
    recipe, seed = context.recipe_label(one_recipe(settings)), settings["seed"].iloc[0]
    best, worst = settings.loc[order[0]], settings.loc[order[-1]]
    text = (
        f"Of {len(settings)} settings of the sampler for {recipe}, the one with the smallest {name}, "
        f"{_distance(best)}, starts from {_start(best)} and takes {best['steps']:g} steps with momentum "
        f"{best['momentum']:g}; the one with the largest, {_distance(worst)}, starts from {_start(worst)}. {title}, "
        f"seed {seed}, {best['n_generated']} images; behind \u00b1, how much the distances of two halves of them "
        "differ. Above: the distance for each starting point (row; \u03c3 is in standard deviations of the class, and "
        "the percentage is the variance that the PCA retains), momentum and number of steps (column). Between: images "
        f"of the best and of the worst settings, the first {images.shape[2]} of each of {images.shape[1]} classes, not "
        "chosen. Below: mean joint energy after each step; of settings that differ only in the number of steps, the "
        "longest chain is drawn."
    )
    return Drawing(figure, f"Settings of the sampler: {recipe}", context.caption(text))


def _start(setting: pd.Series) -> str:
    name = INITS.get(setting["init"], (setting["init"], BLACK))[0]
    if setting["init"] != "pca":
        return name
    return f"{name} {100 * setting['retained_variance']:g} %, \u03c3 {setting['sigma']:g}"


def _distance(setting: pd.Series) -> str:
    return f"{short(setting['frechet'], 3)} \u00b1 {short(setting['frechet_two_half_spread'], 1)}"


def _label(setting: pd.Series, best: bool) -> str:
    kind = "best" if best else "worst"
    return f"{kind}: {_start(setting)}\n{setting['steps']:g} steps, ζ {setting['momentum']:g}"


def _table(settings: pd.DataFrame) -> pd.DataFrame:
    """Distances: one row per starting point, one column per momentum and number of steps. No steps have no momentum."""
    told = settings.assign(
        start=[_start(row) for _, row in settings.iterrows()],
        way=[
            "no steps" if row["steps"] == 0 else f"{row['steps']:g} steps\nζ {row['momentum']:g}"
            for _, row in settings.iterrows()
        ],
    )
    columns = told.assign(momentum=told["momentum"].where(told["steps"] > 0, -1.0)).sort_values(["momentum", "steps"])
    table = told.pivot_table(index="start", columns="way", values="frechet", sort=False, aggfunc="min")
    return table[list(dict.fromkeys(columns["way"]))]


def _heat_map(axes: Axes, table: pd.DataFrame, name: str) -> None:
    values = table.to_numpy()
    low, high = np.nanmin(values), np.nanmax(values)
    norm = LogNorm(low, high if high > low else 2 * low)
    picture = axes.imshow(values, cmap="cividis_r", norm=norm, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = norm(value) > 0.55
            best = value == low
            text = f"{value:.{digits(value, 3)}f}"
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                color="white" if dark else BLACK,
                fontweight="bold" if best else "normal",
                fontsize=8,
            )
            if best:
                axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=BLACK, linewidth=1.6))
    axes.set_yticks(range(len(table)), table.index)
    axes.set_xticks(range(table.shape[1]), table.columns)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(picture, ax=axes, pad=0.02, aspect=12)
    bar.set_label("\n".join(textwrap.wrap(name, 18)))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    bar.ax.minorticks_off()


def _strip(axes: Axes, images: np.ndarray, label: str) -> None:
    """images (classes, a few, C, H, W) side by side, the label to the left."""
    axes.imshow(
        side_by_side(images.reshape(-1, *images.shape[2:])).squeeze(),
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    axes.set_anchor("E")
    axes.text(-0.02, 0.5, label, transform=axes.transAxes, ha="right", va="center", fontsize=7.5, linespacing=1.05)


def _chains(axes: Axes, settings: pd.DataFrame, chains: pd.DataFrame) -> None:
    longest = settings.sort_values("steps").drop_duplicates(SETTING, keep="last").sort_index()
    momenta = sorted(settings["momentum"].unique())
    ends = {}
    for setting in longest.itertuples():
        own = chains[chains["setting"] == setting.setting].sort_values("step")
        name, shade = INITS.get(setting.init, (setting.init, BLACK))
        number = momenta.index(setting.momentum)
        axes.plot(
            own["step"],
            own["joint"],
            color=shade,
            linestyle=LINES[number % len(LINES)],
            linewidth=1.0,
            zorder=2 if setting.init == "pca" else 3,
        )
        ends.setdefault((name, shade, setting.momentum), []).append(own["joint"].iloc[-1])
    axes.set_xlabel("step")
    axes.set_ylabel("mean $E(x, y)$ (nat)")
    last = chains["step"].max()
    axes.set_xlim(0, last)
    axes.set_ylim(axes.get_ylim())
    names = {f"{name}, ζ {momentum:g}": (np.mean(of), shade) for (name, shade, momentum), of in ends.items()}
    label_ends(axes, last, names, CHAINS - 0.5)
