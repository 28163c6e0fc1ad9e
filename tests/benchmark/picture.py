"""How many times as fast as its peers robustlens is, as bars, with the goals."""

from checkout import ROOT
from matplotlib.figure import Figure

FILE = ROOT / "docs" / "pictures" / "benchmarks.png"
REACHED, MISSED, GOAL = "#0072B2", "#E69F00", "#000000"


def draw(judged: list[dict], machine: str) -> Figure:
    """judged: what `report.goals` gives. What was not measured has no bar, but its goal."""
    bars = [goal for goal in judged if "peer" in goal][::-1]  # the first at the top
    figure = Figure(figsize=(9, 1.2 + 0.36 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    for place, goal in enumerate(bars):
        measured = goal["measured"]
        axes.barh(place, measured or 0, color=REACHED if goal["reached"] else MISSED, height=0.6)
        axes.plot([goal["least"]] * 2, [place - 0.4, place + 0.4], color=GOAL, linewidth=2)
        beyond = max(measured or 0, goal["least"])
        axes.text(
            beyond + 0.08, place, "not measured" if measured is None else f"{measured:.2f}", va="center", fontsize=8
        )
    axes.axvline(1, color="#888888", linewidth=1, linestyle=":")
    names = [f"{goal['what']}\nbeside {goal['peer']}" for goal in bars]
    axes.set_yticks(range(len(bars)), names, fontsize=7)
    axes.set_xlabel(f"times as fast as the peer on {machine}; | the goal", fontsize=9)
    axes.margins(x=0.1, y=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
