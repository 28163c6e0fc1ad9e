"""The claims of a paper at a glance: estimate, interval, bound and verdict of each, one line per claim."""

import math
import textwrap
from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlens.analysis.claims import CODE, CONTRADICTED, OPEN, SINGLE_SEED, SUPPORTED, Claim, Outcome
from robustlens.report.figure import BLUE, GREY, HIGHEST, RED, TEXT_WIDTH, Drawing, drawn, styled

# The dataset (empty where there is one alone), the claim, what the numbers say of it.
Entry = tuple[str, Claim, Outcome]
LOOKS = {
    SUPPORTED: {"color": BLUE, "marker": "o", "markerfacecolor": BLUE},
    CONTRADICTED: {"color": RED, "marker": "X", "markerfacecolor": RED},
    OPEN: {"color": GREY, "marker": "o", "markerfacecolor": "white"},
}
ROW, AROUND = 0.19, 0.62  # inches: of a claim, and of what a panel has above and below
TITLE = 56  # characters: of all titles of datasets in one line beside each other
TICKS = 12  # at most, of all panels beside each other
NO_UNIT = "no unit"


@styled
def forest(entries: Sequence[Entry], title: str, caption: str) -> Drawing:
    """A row of panels per unit, in the order in which the units come, with a line per claim; a column of panels per
    dataset. A claim that was not measured is named in the caption."""
    measured = [entry for entry in entries if not math.isnan(entry[2].estimate)]
    units = list(dict.fromkeys(outcome.unit for _, _, outcome in measured))
    datasets = list(dict.fromkeys(dataset for dataset, _, _ in measured))
    rows = [[entry for entry in measured if entry[2].unit == unit] for unit in units]
    claims = [list(dict.fromkeys(claim.id for _, claim, _ in row)) for row in rows]
    heights = _heights([len(names) for names in claims])
    figure = Figure(figsize=(TEXT_WIDTH, max(sum(heights), 1.0)), layout="constrained")
    if rows:
        axes = figure.subplots(
            len(rows), len(datasets), squeeze=False, height_ratios=heights, sharex="row", sharey="row"
        )
        for panels, unit, row, names in zip(axes, units, rows, claims, strict=True):
            limits = _limits([outcome for _, _, outcome in row])
            for one, dataset in zip(panels, datasets, strict=True):
                _panel(one, [entry for entry in row if entry[0] == dataset], names, limits, len(datasets))
            panels[0].set(xlim=limits, ylim=(len(names) - 0.4, -0.6))
            panels[0].set_yticks(range(len(names)), [drawn(name.replace("-", " ")) for name in names])
            panels[len(datasets) // 2].set_xlabel(unit or NO_UNIT)
        for one, dataset in zip(axes[0], datasets, strict=True):
            one.set_title(
                drawn(textwrap.fill(dataset, TITLE // len(datasets), break_long_words=False, break_on_hyphens=False)),
                fontsize=8,
            )
        _legend(figure, [outcome.verdict for _, _, outcome in measured])
    missing: dict[str, list[str]] = {}
    for dataset, claim, outcome in entries:
        if math.isnan(outcome.estimate):
            missing.setdefault(f" on {dataset}" if dataset else "", []).append(claim.id.replace("-", " "))
    said = "".join(f" Not measured{on}: {', '.join(names)}." for on, names in missing.items())
    return Drawing(figure, title, f"{caption}{said}")


def _heights(claims: Sequence[int]) -> list[float]:
    """Inches of each row of panels, by how many claims it has; where a page has no room, lines move together."""
    room = HIGHEST - AROUND * len(claims)
    line = min(ROW, room / max(sum(claims), 1))
    return [AROUND + line * count for count in claims]


def _panel(
    axes: Axes, entries: Sequence[Entry], names: Sequence[str], limits: tuple[float, float], columns: int
) -> None:
    """names: of the claims of all panels beside this one, from top to bottom. limits: of their common axis.
    columns: of panels."""
    low, high = limits
    for _, claim, outcome in entries:
        y, look = names.index(claim.id), LOOKS[outcome.verdict]
        ends = (max(outcome.low, low), min(outcome.high, high))
        dotted = outcome.why_open == SINGLE_SEED
        axes.plot(ends, (y, y), ":" if dotted else "-", color=look["color"], linewidth=1.2, solid_capstyle="butt")
        axes.plot([outcome.estimate], [y], linestyle="none", markersize=4.5, markeredgecolor=look["color"], **look)
        axes.plot([outcome.bound] * 2, (y - 0.4, y + 0.4), color="black", linewidth=0.8)
    axes.locator_params(axis="x", nbins=max(2, TICKS // columns))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _limits(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """What all finite ends, estimates and bounds fit into, with a little room; an interval without an end goes on to
    the edge."""
    values = [v for o in outcomes for v in (o.estimate, o.low, o.high, o.bound) if math.isfinite(v)]
    room = 0.04 * (max(values) - min(values)) or 1.0
    return min(values) - room, max(values) + room


def _legend(figure: Figure, verdicts: Sequence[str]) -> None:
    handles = [
        Line2D([], [], linewidth=1.2, markersize=4.5, markeredgecolor=look["color"], label=verdict, **look)
        for verdict, look in LOOKS.items()
        if verdict in verdicts
    ]
    bound = Line2D([], [], color="black", linestyle="none", marker="|", markersize=8, label="bound")
    figure.legend(handles=[*handles, bound], loc="outside upper center", ncols=len(handles) + 1)


def counted(entries: Sequence[Entry]) -> str:
    """How many claims there are of each verdict, as the first sentence of the caption, without what only checks the
    code."""
    counts = Counter(outcome.verdict for _, claim, outcome in entries if claim.about != CODE)
    parts = [f"{counts[verdict]} {verdict}" for verdict in LOOKS]
    checks = dict.fromkeys(claim.id.replace("-", " ") for _, claim, _ in entries if claim.about == CODE)
    apart = f" Not counted, because it only checks the code: {', '.join(checks)}." if checks else ""
    return f"Of {counts.total()} claims, {', '.join(parts[:-1])} and {parts[-1]}.{apart}"
