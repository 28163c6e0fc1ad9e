"""One look for all figures, and files with the same bytes whenever the data are the same."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from robustlens.atomic import replacing

TEXT_WIDTH = 6.3  # inches: A4 with margins of 2.5 cm
STYLE = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral"],  # comes with matplotlib, so it looks the same everywhere
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


def band(axes: Axes, x: np.ndarray, values: np.ndarray, colour: str, **line: object) -> None:
    """The mean over seeds of values (seeds, n) against x (n,), with a band of one standard deviation (n - 1)."""
    mean = values.mean(axis=0)
    axes.plot(x, mean, color=colour, **line)
    if len(values) > 1:
        std = values.std(axis=0, ddof=1)
        axes.fill_between(x, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0)


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
