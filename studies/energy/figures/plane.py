"""The plane of joint and marginal energies, image by image, and how it changes in training (energy paper, figure 1)."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from robustlens.analysis.frames import one_dataset, read_runs
from robustlens.analysis.statistics import crossed_interval
from robustlens.atomic import replacing
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, GREY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import counted, printed
from robustlens.report.lists import listed
from studies.energy.phases import three_phases

COLOURS = "viridis"
LOSS = "loss of the attacked image (nat)\n$E(x^{\\ast}\\!, y) - E(x^{\\ast})$"
ARROWS = 12  # images with an arrow in a panel; more of them would hide the points
WIDTH = 1.5  # inches, of a panel
FLATTEST = 0.6  # of height to width, and of width to height
DENSE = 500  # above, points are small, below the arrows, and pixels in the PDF too, so that it stays small
MOVING_IMAGES = 400  # of the animation
FRAME_MS, LAST_FRAME_MS = 250, 1500


@styled
def build(context: Context, *, energies: list[Path], history: list[Path]) -> Drawing:
    """energies, history: the `energies.parquet` and `history.parquet` files of a few recipes on one dataset: a row of
    panels for each. The points are the tracked training images of the first seed; the phases are those of the first
    recipe, of the mean over all seeds, so that the panels of a column are of one epoch.
    """
    tracked = _training_images(energies)
    title, recipes = context.dataset_title(one_dataset(tracked)), list(tracked["recipe"].unique())
    of_first = read_runs(path for path in history if path.parts[-3] == recipes[0])
    common = [set(tracked[tracked["recipe"] == recipe]["epoch"]) for recipe in recipes]
    first = context.recipe_label(recipes[0])
    shown, phases = _panels(np.array(sorted(set.intersection(*common))), of_first, first)
    rows = tracked[tracked["epoch"].isin(list(shown))]
    limits = [_limits(rows[rows["recipe"] == recipe]) for recipe in recipes]
    heights = [WIDTH * np.ptp(up) / np.ptp(along) + 0.5 for along, up in limits]
    figure = Figure(figsize=(TEXT_WIDTH, sum(heights) + 0.25), layout="compressed")
    panels = figure.subplots(len(recipes), len(shown), sharex="row", sharey="row", squeeze=False, height_ratios=heights)
    shade = _shade(rows)
    for line, recipe in zip(panels, recipes, strict=True):
        for axes, epoch in zip(line, shown, strict=True):
            _draw(axes, rows[(rows["epoch"] == epoch) & (rows["recipe"] == recipe)], shade)
            axes.set_xlabel("$E(x, y)$ (nat)")
        _limit(line[0], rows[rows["recipe"] == recipe])
        line[0].set_ylabel(f"{drawn(context.recipe_label(recipe))}\n$E(x)$ (nat)")
    for axes, name in zip(panels[0], shown.values(), strict=True):
        axes.set_title(name)
    figure.colorbar(ScalarMappable(shade, COLOURS), ax=panels, label=LOSS, extend="max", pad=0.02, aspect=30)
    images = rows.groupby(["recipe", "epoch"])["index"].nunique()
    text = (
        f"{_finding(rows, recipes, max(shown), context)} Marginal against joint energy, in one scale, of "
        f"{counted(images.to_list(), 'natural training image')} of {title} in each panel, seed "
        f"{tracked['seed'].iloc[0]}; the colour is the cross-entropy of the same image under PGD. For "
        f"{min(ARROWS, int(images.min()))} of them an arrow leads to the attacked image. On the dashed line the "
        "cross-entropy E(x, y) \u2212 E(x) is 0. "
        f"{phases}"
    )
    return Drawing(figure, "Energies image by image", context.caption(text))


@styled
def animate(context: Context, *, energies: list[Path], gif: Path) -> None:
    """Writes the same plane as a GIF with one frame per epoch that the first seed of every recipe has tracked, the
    recipes side by side; same data, same bytes."""
    tracked = _training_images(energies)
    what = context.dataset_title(one_dataset(tracked))
    images = np.sort(tracked["index"].unique())
    tracked = tracked[tracked["index"].isin(images[_spread(len(images), MOVING_IMAGES)])]
    common = [set(rows["epoch"]) for _, rows in tracked.groupby("recipe")]
    epochs = sorted(set.intersection(*common))
    tracked = tracked[tracked["epoch"].isin(epochs)]
    shade = _shade(tracked)
    frames = [_frame(tracked, epoch, shade, what, context) for epoch in epochs]
    # one palette for all frames: a colour means the same loss throughout
    few = [frames[position] for position in _spread(len(frames), 4)]
    palette = Image.fromarray(np.concatenate(few)).quantize(256, Image.Quantize.MAXCOVERAGE)
    first, *others = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [FRAME_MS] * len(others) + [LAST_FRAME_MS]
    with replacing(gif) as path:
        first.save(path, format="GIF", save_all=True, append_images=others, duration=durations, loop=0)


def _frame(tracked: pd.DataFrame, epoch: int, shade: Normalize, what: str, context: Context) -> np.ndarray:
    """The pixels of one frame, uint8 (H, W, 3). what: the dataset, for its title."""
    recipes = tracked["recipe"].unique()
    figure = Figure(figsize=(1.6 + 2.8 * len(recipes), 3.2), dpi=120, layout="compressed")
    panels = figure.subplots(1, len(recipes), squeeze=False)[0]
    for axes, recipe in zip(panels, recipes, strict=True):
        own = tracked[tracked["recipe"] == recipe]
        _draw(axes, own[own["epoch"] == epoch], shade)
        _limit(axes, own)
        axes.set_title(drawn(context.recipe_label(recipe)))
        axes.set_xlabel("$E(x, y)$ (nat)")
    panels[0].set_ylabel("$E(x)$ (nat)")
    figure.suptitle(drawn(f"{what}, training images: epoch {epoch}"), fontsize=10)
    figure.colorbar(ScalarMappable(shade, COLOURS), ax=panels, label=LOSS, extend="max", pad=0.02, shrink=0.8)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]


def _training_images(energies: list[Path]) -> pd.DataFrame:
    """The rows of the training images of each recipe's first seed, in the order of the recipes, by epoch and image."""
    runs = read_runs(energies)
    one_dataset(runs)
    rows = runs[(runs["seed"] == runs.groupby("recipe")["seed"].transform("min")) & (runs["split"] == "train")]
    recipes = list(runs["recipe"].unique())
    without = [recipe for recipe in recipes if recipe not in set(rows["recipe"])]
    if without:
        place = next(path for path in energies if path.parts[-3] == without[0])
        raise RobustlensError(f"{place}: no tracked training images; train with `tracking: train_samples` above 0")
    order = rows["recipe"].map(recipes.index)
    return rows.assign(order=order).sort_values(["order", "epoch", "index"]).drop(columns="order")


def _panels(tracked: np.ndarray, history: pd.DataFrame, name: str) -> tuple[dict[int, str], str]:
    """{epoch: title} of the panels, and the sentence that says why these epochs. name: whose history it is."""
    delta = history[history["split"] == "train"].pivot(index="seed", columns="epoch", values="delta_marginal")
    phases = three_phases(delta.columns.to_numpy(), delta.to_numpy().mean(axis=0))
    epochs = [int(epoch) for epoch in tracked]
    fallback = {epoch: f"epoch {epoch}" for epoch in (epochs[0], epochs[len(epochs) // 2], epochs[-1])}
    if phases is None:
        return fallback, "There are too few epochs to tell phases apart: first, middle and last tracked epoch."
    borders = (-np.inf, phases.first, phases.second, np.inf)
    last = [[e for e in epochs if low < e <= high][-1:] for low, high in pairwise(borders)]
    bends = f"ΔE(x) of {name} bends at epochs {phases.first:g} and {phases.second:g}"
    if not all(last):
        return fallback, (
            f"{bends}, but no epoch was tracked in one of the phases between: first, middle and last tracked epoch."
        )
    shown = {epoch: f"phase {number}: epoch {epoch}" for number, (epoch,) in enumerate(last, 1)}
    return shown, (
        f"One column per phase, at its last tracked epoch: the continuous line of three straight pieces that fits the "
        f"mean {bends}."
    )


def _finding(rows: pd.DataFrame, recipes: list[str], epoch: int, context: Context) -> str:
    """How far the attack moves E(x) of the images shown at the last epoch shown."""
    last, found = rows[rows["epoch"] == epoch], []
    for recipe in recipes:
        own = last[last["recipe"] == recipe]
        moved = crossed_interval((own["marginal_adversarial"] - own["marginal_natural"]).to_numpy()[None, :])
        found.append(f"{printed(moved, 'nat')} under {context.recipe_label(recipe)}")
    return f"At epoch {epoch} PGD moves E(x) of these images by {listed(found)} (mean and 95 % interval over images)."


def _shade(rows: pd.DataFrame) -> Normalize:
    """Colours up to the 98 % quantile of the loss, so that a few lost images do not take all of them."""
    return Normalize(0.0, max(float(_loss(rows).quantile(0.98)), 1e-6))


def _loss(rows: pd.DataFrame) -> pd.Series:
    return rows["joint_adversarial"] - rows["marginal_adversarial"]


def _draw(axes: Axes, rows: pd.DataFrame, shade: Normalize) -> None:
    axes.axline((0, 0), slope=1, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    dense = len(rows) > DENSE
    some = rows.iloc[_spread(len(rows), ARROWS)]
    tails, heads = (some[[f"joint_{kind}", f"marginal_{kind}"]].to_numpy().T for kind in ("natural", "adversarial"))
    in_data = {"angles": "xy", "scale_units": "xy", "scale": 1}
    axes.quiver(*tails, *(heads - tails), **in_data, units="inches", width=0.011, color=BLACK, alpha=0.6, zorder=3)
    axes.scatter(
        rows["joint_natural"],
        rows["marginal_natural"],
        s=3 if dense else 9,
        c=_loss(rows),
        cmap=COLOURS,
        norm=shade,
        linewidths=0,
        rasterized=dense,
    )
    axes.set_aspect("equal")


def _limit(axes: Axes, rows: pd.DataFrame) -> None:
    """Limits that hold the natural points, and the attacked ones, of every epoch in `rows`."""
    along, up = _limits(rows)
    axes.set_xlim(*along)
    axes.set_ylim(*up)


def _limits(rows: pd.DataFrame) -> list[tuple[float, float]]:
    """Along and up; the shorter one is widened to FLATTEST of the longer one."""
    values = [rows[[f"{name}_natural", f"{name}_adversarial"]].to_numpy() for name in ("joint", "marginal")]
    middles = [(found.min() + found.max()) / 2 for found in values]
    spans = [1.08 * np.ptp(found) + 2e-3 for found in values]
    spans = [max(span, FLATTEST * max(spans)) for span in spans]
    return [(middle - span / 2, middle + span / 2) for middle, span in zip(middles, spans, strict=True)]


def _spread(n: int, most: int) -> np.ndarray:
    """Positions of at most `most` of n things, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))
