"""The claims of a paper at a glance: estimate, interval, bound and verdict of each, one line per claim."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustlens.analysis.claims import CONTRADICTED, OPEN, SINGLE_SEED, SUPPORTED, Claim, Outcome
from robustlens.report.figure import BLUE, GREY, RED, TEXT_WIDTH, Drawing, drawn, styled

# The dataset (empty where there is one alone), the claim, what the numbers say of it.
Entry = tuple[str, Claim, Outcome]
LOOKS = {
    SUPPORTED: {"color": BLUE, "marker": "o", "markerfacecolor": BLUE},
    CONTRADICTED: {"color": RED, "marker": "X", "markerfacecolor": RED},
    OPEN: {"color": GREY, "marker": "o", "markerfacecolor": "white"},
}
ROW, AROUND = 0.19, 0.62  # inches: of a claim, and of what a panel has above and below
NO_UNIT = "no unit"


@styled
def forest(entries: Sequence[Entry], title: str, caption: str) -> Drawing:
    """A panel per unit, in the order in which the units come; a claim that was not measured is named in the caption."""
    measured = [entry for entry in entries if not math.isnan(entry[2].estimate)]
    units = list(dict.fromkeys(outcome.unit for _, _, outcome in measured))
    panels = [[entry for entry in measured if entry[2].unit == unit] for unit in units]
    heights = [AROUND + ROW * len(panel) for panel in panels]
    figure = Figure(figsize=(TEXT_WIDTH, max(sum(heights), 1.0)), layout="constrained")
    if panels:
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for one, unit, panel in zip(axes, units, panels, strict=True):
            _panel(one, panel, unit)
        _legend(axes[0], [outcome.verdict for _, _, outcome in measured])
    missing = [_name(entry) for entry in entries if math.isnan(entry[2].estimate)]
    said = f" Not measured: {', '.join(missing)}." if missing else ""
    return Drawing(figure, title, f"{caption}{said}")


def _panel(axes: Axes, entries: Sequence[Entry], unit: str) -> None:
    low, high = _limits([outcome for _, _, outcome in entries])
    for y, (_, _, outcome) in enumerate(entries):
        look, ends = LOOKS[outcome.verdict], (max(outcome.low, low), min(outcome.high, high))
        dotted = outcome.why_open == SINGLE_SEED
        axes.plot(ends, (y, y), ":" if dotted else "-", color=look["color"], linewidth=1.2, solid_capstyle="butt")
        axes.plot([outcome.estimate], [y], linestyle="none", markersize=4.5, markeredgecolor=look["color"], **look)
        axes.plot([outcome.bound] * 2, (y - 0.4, y + 0.4), color="black", linewidth=0.8)
    axes.set(xlim=(low, high), ylim=(len(entries) - 0.4, -0.6), xlabel=unit or NO_UNIT)
    axes.set_yticks(range(len(entries)), [drawn(_name(entry)) for entry in entries])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _limits(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """What all finite ends, estimates and bounds fit into, with a little room; an interval without an end goes on to
    the edge."""
    values = [v for o in outcomes for v in (o.estimate, o.low, o.high, o.bound) if math.isfinite(v)]
    room = 0.04 * (max(values) - min(values)) or 1.0
    return min(values) - room, max(values) + room


def _legend(axes: Axes, verdicts: Sequence[str]) -> None:
    handles = [
        axes.plot([], [], linewidth=1.2, markersize=4.5, markeredgecolor=look["color"], label=verdict, **look)[0]
        for verdict, look in LOOKS.items()
        if verdict in verdicts
    ]
    bound = axes.plot([], [], color="black", linestyle="none", marker="|", markersize=8, label="bound")
    axes.legend(handles=[*handles, *bound], loc="lower left", bbox_to_anchor=(0, 1), ncols=len(handles) + 1)


def _name(entry: Entry) -> str:
    dataset, claim, _ = entry
    return claim.id.replace("-", " ") + (f" ({dataset})" if dataset else "")


def counted(entries: Sequence[Entry]) -> str:
    """How many claims there are of each verdict, as the first sentence of the caption."""
    by_verdict = {verdict: [e for e in entries if e[2].verdict == verdict] for verdict in LOOKS}
    parts = [f"{len(of)} {verdict}" for verdict, of in by_verdict.items()]
    return f"Of {len(entries)} claims {', '.join(parts[:-1])} and {parts[-1]}."
