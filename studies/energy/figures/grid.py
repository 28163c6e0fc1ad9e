"""Settings of the sampler side by side: what they generate from one classifier, and the energy on the way."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlens.analysis.frames import one_dataset, one_recipe, read_runs
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, BLUE, GREEN, GREY, ORANGE, TEXT_WIDTH, Drawing, styled

COLUMNS = 2
ROW_HEIGHT, CHAIN_HEIGHT = 0.3, 2.2  # inches
INITS = {"noise": ("noise", GREY), "gaussian": ("class Gaussian", ORANGE), "pca": ("class PCA", BLUE)}
LINES = ["-", (0, (3, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1))]  # of the momenta, in increasing order
SETTING = ["init", "retained_variance", "sigma", "step_size", "momentum", "noise"]  # all but how many steps


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
    best = settings["frechet"].idxmin()
    rows = -(-len(settings) // COLUMNS)
    figure = Figure(figsize=(TEXT_WIDTH, CHAIN_HEIGHT + 0.1 + ROW_HEIGHT * rows), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(ROW_HEIGHT * rows, CHAIN_HEIGHT))
    panels = above.subplots(rows, COLUMNS, squeeze=False).ravel(order="F")
    for axes in panels:
        axes.axis("off")
    for axes, setting, shown in zip(panels, settings.itertuples(), images, strict=False):
        _row(axes, shown, _label(setting), setting.Index == best)
    _chains(below.subplots(), settings, steps)
    recipe, seed = context.recipe_label(one_recipe(settings)), settings["seed"].iloc[0]
    name = settings["frechet_name"].iloc[0]
    text = (
        f"Images generated with {len(settings)} settings of the sampler from {recipe} on {title}, seed "
        f"{seed}: the first {images.shape[2]} of each of {images.shape[1]} classes, not chosen. n: number of "
        "steps; zeta: momentum; of PCA, the retained variance, and sigma in standard deviations of the class. d: "
        f"{name} of {settings['n_generated'].iloc[0]} images, in brackets how much that of two halves differs; the "
        "smallest is framed. Below: mean joint energy after each step; of settings that differ only in the number of "
        "steps, the longest chain."
    )
    return Drawing(figure, f"Settings of the sampler: {recipe}", context.caption(text))


def _label(setting: tuple) -> str:
    start = INITS.get(setting.init, (setting.init, BLACK))[0]
    if setting.init == "pca":
        start += f" {100 * setting.retained_variance:g} %, \u03c3 {setting.sigma:g}"
    distance = f"d {setting.frechet:.3g} ({setting.frechet_two_half_spread:.2g})"
    return f"{start}\nn {setting.steps}, ζ {setting.momentum:g}: {distance}"


def _row(axes: Axes, images: np.ndarray, label: str, best: bool) -> None:
    """images (classes, a few, C, H, W) side by side, the label to the left; framed if best."""
    classes, each, channels, height, width = images.shape
    line = np.ones((height, classes * each * (width + 1) - 1, channels), dtype=np.float32)
    for position, image in enumerate(images.reshape(-1, channels, height, width)):
        left = position * (width + 1)
        line[:, left : left + width] = image.transpose(1, 2, 0)
    axes.imshow(line.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_anchor("E")
    text = {"transform": axes.transAxes, "ha": "right", "va": "center", "fontsize": 6.5, "linespacing": 1.05}
    axes.text(-0.03, 0.5, label, **text, color=GREEN if best else BLACK, fontweight="bold" if best else "normal")
    if best:
        axes.axis("on")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color=GREEN, linewidth=1.5)


def _chains(axes: Axes, settings: pd.DataFrame, chains: pd.DataFrame) -> None:
    longest = settings.sort_values("steps").drop_duplicates(SETTING, keep="last").sort_index()
    momenta = sorted(settings["momentum"].unique())
    for setting in longest.itertuples():
        own = chains[chains["setting"] == setting.setting].sort_values("step")
        shade = INITS.get(setting.init, (None, BLACK))[1]
        line = LINES[momenta.index(setting.momentum) % len(LINES)]
        axes.plot(
            own["step"],
            own["joint"],
            color=shade,
            linestyle=line,
            linewidth=0.9,
            zorder=2 if setting.init == "pca" else 3,
        )
    axes.set_xlabel("step")
    axes.set_ylabel("mean $E(x, y)$")
    found = [init for init in INITS if init in set(settings["init"])]
    handles = [Line2D([], [], color=INITS[init][1], label=INITS[init][0]) for init in found]
    handles += [
        Line2D([], [], color=BLACK, linestyle=LINES[i % len(LINES)], label=f"ζ = {momentum:g}")
        for i, momentum in enumerate(momenta)
    ]
    axes.figure.legend(handles=handles, loc="outside right center")
