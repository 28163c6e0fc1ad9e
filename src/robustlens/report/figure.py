"""One look for all figures, and files with the same bytes whenever the data are the same."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from PIL import Image

from robustlens.atomic import replacing

TEXT_WIDTH = 6.3  # inches: A4 with margins of 2.5 cm; a wider figure would be printed smaller
HIGHEST = 8.2  # inches: 85 % of the height of the text, which leaves room for the caption
SMALLEST = 7  # points, of any text in a figure
STYLE = {
    "font.family": "serif",
    # It comes with matplotlib, so it looks the same everywhere; the report is set in TeX Gyre Termes, which is like it.
    "font.serif": ["STIXGeneral"],
    "mathtext.fontset": "stix",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.4,
    "axes.unicode_minus": True,
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}
# Okabe and Ito's palette, told apart by colour-blind readers too
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#888888"
NATURAL, ADVERSARIAL = SKY, RED
# Lines that stand beside each other, told apart in grey, too.
LINES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
INK = "#444444"  # of notes within a figure

styled = rc_context(STYLE)


@dataclass(frozen=True)
class Drawing:
    """A figure with the title and the caption that documents print with it."""

    figure: Figure
    title: str
    caption: str


def drawn(label: str) -> str:
    """A label as matplotlib must be given it: a dollar sign begins no formula."""
    return label.replace("$", r"\$")


def band(axes: Axes, x: np.ndarray, values: np.ndarray, colour: str, opacity: float = 0.2, **line: object) -> None:
    """The mean over seeds of values (seeds, n) against x (n,), with a band of one standard deviation (n - 1), of that
    opacity: less where many overlap."""
    mean = values.mean(axis=0)
    axes.plot(x, mean, color=colour, **line)
    if len(values) > 1:
        std = values.std(axis=0, ddof=1)
        axes.fill_between(x, mean - std, mean + std, color=colour, alpha=opacity, linewidth=0)


def legible(colour: str) -> str:
    """The colour, so dark that small text in it has a contrast of at least 4.5 to 1 on white (WCAG 2.1, AA)."""
    rgb = np.array(to_rgb(colour))
    while 1.05 / (_luminance(rgb) + 0.05) < 4.5:
        rgb = 0.95 * rgb
    return to_hex(rgb)


def _luminance(rgb: np.ndarray) -> float:
    """Relative luminance of sRGB values in 0..1 (WCAG 2.1)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def label_ends(axes: Axes, x: float, ends: Mapping[str, tuple[float, str]], height: float, size: float = 8) -> None:
    """Names at the right ends of lines, in place of a legend, moved apart where they would overlap.

    x: where the lines end. ends: of each label its line's end and colour. height: of the panel, in inches. Call it when
    the limits and the scale of the vertical axis are set.
    """
    low, high = axes.transScale.transform([(1, y) for y in axes.get_ylim()])[:, 1]
    places = [72 * height * (axes.transScale.transform((1, y))[1] - low) / (high - low) for y, _ in ends.values()]
    for (label, (y, colour)), place, free in zip(ends.items(), places, apart(places, 1.15 * size), strict=True):
        axes.annotate(
            label,
            (x, y),
            xytext=(9, free - place),
            textcoords="offset points",
            color=legible(colour),
            fontsize=size,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 1},
        )


def apart(places: Sequence[float], gap: float) -> list[float]:
    """The nearest places, by least squares and in the same order, that are at least `gap` from each other."""
    order = np.argsort(places, kind="stable")
    blocks: list[list[float]] = []  # of [sum of the places that would do, how many]
    for rank, position in enumerate(order):
        blocks.append([places[position] - gap * rank, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    means = [total / count for total, count in blocks for _ in range(int(count))]
    found = [0.0] * len(places)
    for rank, position in enumerate(order):
        found[position] = means[rank] + gap * rank
    return found


def label_points(
    axes: Axes,
    points: Mapping[str, tuple[float, float, str]],
    others: Sequence[Sequence[float]] = (),
    size: float = 7.5,
) -> None:
    """Names beside points, each on the side where it covers the least of other names and points.

    points: of each label x, y and colour. others: points without a name, which are not to be covered either. Call it
    when limits and scales are set, and all else is drawn.
    """
    FigureCanvasAgg(axes.figure.figure).draw()
    spots = [axes.transData.transform(place) for place in (*((x, y) for x, y, _ in points.values()), *others)]
    point = axes.figure.figure.dpi / 72
    crowd = [Bbox.from_extents(x - 4 * point, y - 4 * point, x + 4 * point, y + 4 * point) for x, y in spots]
    frame = axes.get_window_extent()
    options = [_options(axes, label, *place, size) for label, place in points.items()]
    boxes = [[text.get_window_extent().padded(1) for text in texts] for texts in options]
    own = [[_cost(box, crowd, frame) for box in of_label] for of_label in boxes]
    chosen = [0] * len(options)
    for _ in range(SWEEPS):
        for label, of_label in enumerate(boxes):
            others = [boxes[other][side] for other, side in enumerate(chosen) if other != label]
            costs = [
                alone + 4 * sum(_shared(box, other) for other in others)
                for alone, box in zip(own[label], of_label, strict=True)
            ]
            chosen[label] = costs.index(min(costs))
    for texts, side in zip(options, chosen, strict=True):
        for number, text in enumerate(texts):
            if number != side:
                text.remove()


def _options(axes: Axes, label: str, x: float, y: float, colour: str, size: float) -> list[Annotation]:
    """The label on every side of its point."""
    return [
        axes.annotate(
            label,
            (x, y),
            xytext=(right, up),
            textcoords="offset points",
            ha=ha,
            va=va,
            fontsize=size,
            color=legible(colour),
        )
        for right, up, ha, va in SIDES
    ]


def _cost(box: Bbox, crowd: Sequence[Bbox], frame: Bbox) -> float:
    """What it costs to put a label there, whatever the others do: points that it covers, and what is out of frame."""
    return sum(_shared(box, other) for other in crowd) + 4 * (box.width * box.height - _shared(box, frame))


SWEEPS = 4  # over all labels, each time with the others where they are by then
# Of a label beside a point: offset in points, and which of its edges is there.
SIDES = (
    *((5, 0, "left", "center"), (-5, 0, "right", "center"), (0, 4, "center", "bottom"), (0, -4, "center", "top")),
    *((4, 3, "left", "bottom"), (-4, 3, "right", "bottom"), (4, -3, "left", "top"), (-4, -3, "right", "top")),
    *((6, 9, "left", "bottom"), (-6, 9, "right", "bottom"), (6, -9, "left", "top"), (-6, -9, "right", "top")),
    *((0, 12, "center", "bottom"), (0, -12, "center", "top"), (16, 0, "left", "center"), (-16, 0, "right", "center")),
)


def _shared(one: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(one, other)
    return both.width * both.height if both else 0.0


def side_by_side(images: np.ndarray) -> np.ndarray:
    """(H, W', C): images (N, C, H, W) beside each other, with white lines between."""
    channels, height, width = images.shape[1:]
    line = max(1, width // 16)
    strip = np.ones((height, len(images) * (width + line) - line, channels), dtype=np.float32)
    for column, image in enumerate(images):
        left = column * (width + line)
        strip[:, left : left + width] = image.transpose(1, 2, 0)
    return strip


@styled
def save(drawing: Drawing, pdf: Path, png: Path) -> None:
    """Write the figure as PDF and PNG, by rename and without a date, with title and caption in their metadata."""
    said = {"Title": drawing.title}
    for part in drawing.figure.subfigs:
        part.patch.set_visible(False)  # white on white; its lower edge is at 0 or at -0, from one run to the next
    notes = {
        pdf: {**said, "Subject": drawing.caption, "CreationDate": None},
        png: {**said, "Description": drawing.caption, "Software": None},
    }
    for file, metadata in notes.items():
        picture = io.BytesIO()  # on a full disk matplotlib fails in its own ways
        drawing.figure.savefig(picture, format=file.suffix[1:], metadata=metadata)
        with replacing(file) as path:
            path.write_bytes(picture.getvalue())


def title_and_caption(png: Path) -> tuple[str, str]:
    """What `save` wrote into a PNG."""
    with Image.open(png) as image:
        return image.text["Title"], image.text["Description"]
