"""How many times as fast as its peers robustlens is, as bars, with the goals."""

from checkout import ROOT
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator

FILE = ROOT / "docs" / "pictures" / "benchmarks.png"
REACHED, MISSED, GOAL, PAR = "#0072B2", "#E69F00", "#000000", "#888888"


def draw(judged: list[dict], machine: str) -> Figure:
    """judged: what `report.goals` gives. What was not measured has no bar, but its goal."""
    bars = [goal for goal in judged if "peer" in goal][::-1]  # the first at the top
    figure = Figure(figsize=(8, 1.2 + 0.36 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    for place, goal in enumerate(bars):
        measured = goal["measured"]
        axes.barh(place, (measured or 1) - 1, left=1, color=REACHED if goal["reached"] else MISSED, height=0.6)
        axes.plot([goal["least"]] * 2, [place - 0.4, place + 0.4], color=GOAL, linewidth=2)
        said = "not measured" if measured is None else f"{measured:.2f}"
        axes.annotate(said, (max(measured or 0, goal["least"]), place), (5, 0), textcoords="offset points", va="center")
    axes.axvline(1, color=PAR, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(bars)), [f"{goal['what']}\nbeside: {goal['peer']}" for goal in bars], fontsize=7)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"Times as fast as the peer, on {machine}")
    axes.set_xscale("log")  # twice as fast is as far to the right as half as fast is to the left
    axes.margins(x=0.12, y=0.01)
    axes.xaxis.set_major_locator(FixedLocator([0.5, 1, 1.5, 2, 3, 5, 10, 20, 50]))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.spines[["top", "right"]].set_visible(False)
    handles = [Patch(color=REACHED, label="goal reached"), Patch(color=MISSED, label="goal missed")]
    handles.append(Line2D([], [], color=GOAL, linewidth=2, label="goal"))
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False)
    return figure
