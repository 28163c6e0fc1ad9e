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

from robustlens.analysis.frames import one_dataset, one_recipe, read_runs
from robustlens.atomic import replacing
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, GREY, TEXT_WIDTH, Drawing, drawn, styled
from studies.energy.phases import three_phases

COLOURS = "viridis"
LOSS = "loss of the attacked image, $E(x^{\\ast}\\!, y) - E(x^{\\ast})$"
ARROWS = 40  # images with an arrow; more of them would hide the points
DENSE = 500  # above, points are small, below the arrows, and pixels in the PDF too, so that it stays small
MOVING_IMAGES = 400  # of the animation
FRAME_MS, LAST_FRAME_MS = 250, 1500


@styled
def build(context: Context, *, energies: list[Path], history: list[Path]) -> Drawing:
    """energies, history: the `energies.parquet` and `history.parquet` files of one recipe on one dataset. The points
    are the tracked training images of the first seed, the phases are those of the mean over all seeds.
    """
    tracked = _training_images(energies)
    title, recipe = context.dataset_title(one_dataset(tracked)), context.recipe_label(one_recipe(tracked))
    shown, phases = _panels(tracked["epoch"].unique(), read_runs(history))
    rows = tracked[tracked["epoch"].isin(list(shown))]
    figure = Figure(figsize=(TEXT_WIDTH, 3.0), layout="constrained")
    panels = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    shade = _shade(rows)
    for axes, (epoch, name) in zip(panels, shown.items(), strict=True):
        _draw(axes, rows[rows["epoch"] == epoch], shade)
        axes.set_title(name)
    _limit(panels[0], rows)
    panels[0].set_ylabel("$E(x)$")
    figure.colorbar(ScalarMappable(shade, COLOURS), ax=panels, label=LOSS, extend="max", pad=0.02)
    images = tracked["index"].nunique()
    text = (
        f"{images} natural training images of {title} under {recipe}, seed {tracked['seed'].iloc[0]}: "
        "joint energy against marginal energy, coloured by the cross-entropy of the same image under PGD. Arrows lead "
        f"from the natural to the attacked image, for {min(ARROWS, images)} of them. On the dashed line the "
        f"cross-entropy E(x, y) \u2212 E(x) is 0. {phases}"
    )
    return Drawing(figure, f"Energies image by image: {recipe}", context.caption(text))


@styled
def animate(context: Context, *, energies: list[Path], gif: Path) -> None:
    """Writes the same plane as a GIF with one frame per tracked epoch of the first seed; same data, same bytes."""
    tracked = _training_images(energies)
    what = f"{context.recipe_label(one_recipe(tracked))} on {context.dataset_title(one_dataset(tracked))}"
    images = np.sort(tracked["index"].unique())
    tracked = tracked[tracked["index"].isin(images[_spread(len(images), MOVING_IMAGES)])]
    shade = _shade(tracked)
    frames = [_frame(tracked, epoch, shade, what) for epoch in np.sort(tracked["epoch"].unique())]
    # one palette for all frames: a colour means the same loss throughout
    few = [frames[position] for position in _spread(len(frames), 4)]
    palette = Image.fromarray(np.concatenate(few)).quantize(256, Image.Quantize.MAXCOVERAGE)
    first, *others = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [FRAME_MS] * len(others) + [LAST_FRAME_MS]
    with replacing(gif) as path:
        first.save(path, format="GIF", save_all=True, append_images=others, duration=durations, loop=0)


def _frame(tracked: pd.DataFrame, epoch: int, shade: Normalize, what: str) -> np.ndarray:
    """The pixels of one frame, uint8 (H, W, 3). what: recipe and dataset, for its title."""
    figure = Figure(figsize=(4.8, 3.9), dpi=120, layout="constrained")
    axes = figure.subplots()
    _draw(axes, tracked[tracked["epoch"] == epoch], shade)
    _limit(axes, tracked)
    axes.set_ylabel("$E(x)$")
    axes.set_title(drawn(f"{what}, training images: epoch {epoch}"))
    figure.colorbar(ScalarMappable(shade, COLOURS), ax=axes, label=LOSS, extend="max", pad=0.02)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]


def _training_images(energies: list[Path]) -> pd.DataFrame:
    """The rows of the training images of the first seed, by epoch and image."""
    runs = read_runs(energies)
    one_dataset(runs)
    one_recipe(runs)
    rows = runs[(runs["seed"] == runs["seed"].min()) & (runs["split"] == "train")]
    if rows.empty:
        raise RobustlensError(
            f"{energies[0]}: no tracked training images; train with `tracking: train_samples` above 0"
        )
    return rows.sort_values(["epoch", "index"])


def _panels(tracked: np.ndarray, history: pd.DataFrame) -> tuple[dict[int, str], str]:
    """{epoch: title} of the panels, and the sentence that says why these epochs."""
    delta = history[history["split"] == "train"].pivot(index="seed", columns="epoch", values="delta_marginal")
    phases = three_phases(delta.columns.to_numpy(), delta.to_numpy().mean(axis=0))
    epochs = sorted(int(epoch) for epoch in tracked)
    fallback = {epoch: f"epoch {epoch}" for epoch in (epochs[0], epochs[len(epochs) // 2], epochs[-1])}
    if phases is None:
        return fallback, "There are too few epochs to tell phases apart: first, middle and last tracked epoch."
    borders = (-np.inf, phases.first, phases.second, np.inf)
    last = [[e for e in epochs if low < e <= high][-1:] for low, high in pairwise(borders)]
    bends = f"ΔE(x) bends at epochs {phases.first:g} and {phases.second:g}"
    if not all(last):
        return fallback, (
            f"{bends}, but no epoch was tracked in one of the phases between: first, middle and last tracked epoch."
        )
    shown = {epoch: f"phase {number}: epoch {epoch}" for number, (epoch,) in enumerate(last, 1)}
    return shown, (
        f"One panel per phase, at its last tracked epoch: the continuous line of three straight pieces that fits the "
        f"mean {bends}."
    )


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
    axes.quiver(
        *tails,
        *(heads - tails),
        **in_data,
        units="inches",
        width=0.009,
        color=BLACK,
        alpha=0.4,
        zorder=3 if dense else 1,
    )
    axes.scatter(
        rows["joint_natural"],
        rows["marginal_natural"],
        s=3 if dense else 8,
        c=_loss(rows),
        cmap=COLOURS,
        norm=shade,
        linewidths=0,
        rasterized=dense,
    )
    axes.set_xlabel("$E(x, y)$")


def _limit(axes: Axes, rows: pd.DataFrame) -> None:
    """Limits that hold the natural points, and the attacked ones, of every epoch in `rows`."""
    for name, limit in (("joint", axes.set_xlim), ("marginal", axes.set_ylim)):
        values = rows[[f"{name}_natural", f"{name}_adversarial"]].to_numpy()
        margin = 0.04 * (values.max() - values.min()) + 1e-3
        limit(values.min() - margin, values.max() + margin)


def _spread(n: int, most: int) -> np.ndarray:
    """Positions of at most `most` of n things, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))
