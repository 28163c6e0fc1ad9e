"""The first page of a report: what held and what did not, as sentences and as one figure, by rules from its results."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustlens.analysis.claims import CONTRADICTED, OPEN, SUPPORTED, VERDICTS
from robustlens.report.chapter import Chapter
from robustlens.report.figure import BLUE, ORANGE, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.headlines import Recipe, accuracies, strongest
from robustlens.report.ledger import bound, of_paper, with_unit
from robustlens.report.lists import listed

SHADES = {SUPPORTED: BLUE, CONTRADICTED: ORANGE, OPEN: "white"}
LETTERS = {SUPPORTED: "white", CONTRADICTED: "black", OPEN: "black"}
TITLE = "What held, and what is robust"
NARROW = 0.06  # of the longest bar: a shorter part has no room for its number, which stands above it
MOST_ROWS = 12  # of recipes; where there would be more, each study has one
LETTER = 2.5  # %, on the axis of accuracies, that a letter of a name takes
ROW, AROUND, LOWEST = 0.36, 0.7, 2.5  # inches: of a row of recipes, above and below all of them, and of the figure


@dataclass(frozen=True)
class Compared:
    """The recipes of one study on one dataset that its headlines compare under an attack: those with the most seeds,
    because a single run is more often far above or below its mean."""

    study: str
    dataset: str
    attack: str
    recipes: Sequence[Recipe]

    @property
    def seeds(self) -> int:
        return self.recipes[0].seeds

    @property
    def best(self) -> Recipe:
        return max(self.recipes, key=self.robust)

    @property
    def worst(self) -> Recipe:
        return min(self.recipes, key=self.robust)

    def robust(self, recipe: Recipe) -> float:
        return recipe.accuracies[self.attack].value

    def near_best(self, recipe: Recipe) -> bool:
        """Whether it is the best one, or can't be told apart from it, as the study's table has found."""
        return recipe.accuracies[self.attack].best


def compared(chapters: Sequence[Chapter]) -> list[Compared]:
    """Of each study and dataset, as far as anything was attacked."""
    found = []
    for chapter in chapters:
        if not (chapter.accuracies and chapter.robustness):
            continue
        for dataset, recipes in accuracies(chapter.accuracies, chapter.robustness)[1].items():
            if attack := strongest(recipes):
                attacked = [recipe for recipe in recipes if attack in recipe.accuracies]
                most = max(recipe.seeds for recipe in attacked)
                kept = [recipe for recipe in attacked if recipe.seeds == most]
                found.append(Compared(chapter.study, dataset, attack, kept))
    return found


def sentences(chapters: Sequence[Chapter]) -> list[str]:
    """The most and the least robust recipe, and of all claims that which its numbers support, and that which they
    contradict, most clearly: with the most widths of its interval between the interval and the bound."""
    found = compared(chapters)
    rows = [(chapter.study, row) for chapter in chapters for row in of_paper(chapter.judged)]
    clearest = [_clearest(rows, SUPPORTED, "support"), _clearest(rows, CONTRADICTED, "contradict")] if rows else []
    return [*([_robust(found)] if found else []), *clearest]


@styled
def picture(chapters: Sequence[Chapter]) -> Drawing:
    """How many claims of each study are supported, contradicted and open, beside the robust accuracy of its recipes;
    what there is not is left out."""
    judged = {c.study: Counter(row["verdict"] for row in of_paper(c.judged)) for c in chapters if of_paper(c.judged)}
    rows = _rows(compared(chapters))
    parts: list[Callable[[Axes], str]] = []
    if judged:
        parts.append(lambda axes: _bars(axes, judged))
    if rows:
        parts.append(lambda axes: _recipes(axes, rows))
    height = max(LOWEST, AROUND + ROW * len(rows)) if parts else 0.5
    figure = Figure(figsize=(TEXT_WIDTH, height), layout="constrained")
    widths = (1, 1.25) if len(parts) > 1 else None
    panels = figure.subplots(1, len(parts), squeeze=False, width_ratios=widths)[0] if parts else []
    said = [part(axes) for part, axes in zip(parts, panels, strict=True)]
    return Drawing(figure, TITLE, " ".join(said) or "No claims are judged, and nothing was attacked.")


def _rows(found: Sequence[Compared]) -> list[Compared]:
    """All, or of each study that with the most recipes where all would be too many."""
    if len(found) <= MOST_ROWS:
        return list(found)
    studies = dict.fromkeys(row.study for row in found)
    return [max((row for row in found if row.study == s), key=lambda row: len(row.recipes)) for s in studies]


def _robust(found: Sequence[Compared]) -> str:
    """Of the dataset and attack with the most recipes of all studies together."""
    planes: dict[tuple[str, str], list[Compared]] = {}
    for row in found:
        planes.setdefault((row.dataset, row.attack), []).append(row)
    rows = max(planes.values(), key=lambda rows: len(_labels(rows)))
    most = max(row.seeds for row in rows)
    rows = [row for row in rows if row.seeds == most]
    recipes = {recipe.label: recipe for row in reversed(rows) for recipe in row.recipes}
    attack, dataset = rows[0].attack, rows[0].dataset
    best, worst = (pick(recipes.values(), key=rows[0].robust) for pick in (max, min))
    seeds, spread = ("one seed", "") if most == 1 else (f"{most} seeds", " (± standard deviation over seeds)")
    first = (
        f"Of {len(_labels(rows))} recipes with {seeds}{f' on {dataset}' if dataset else ''}, {best.label} has the "
        f"highest mean accuracy{spread} under {attack}: {_both(best, attack, ' without attack')}"
    )
    if len(recipes) == 1:
        return f"{first}."
    return f"{first}. {_near(rows, best.label, most)} {worst.label} has the lowest mean: {_both(worst, attack)}."


def _labels(rows: Sequence[Compared]) -> list[str]:
    return list(dict.fromkeys(recipe.label for row in rows for recipe in row.recipes))


def _both(recipe: Recipe, attack: str, without: str = "") -> str:
    """Its accuracy under the attack and, where that was measured, without one."""
    clean = recipe.accuracies.get("clean")
    return f"{recipe.accuracies[attack]} %" + (f", and {clean} %{without}" if clean else "")


def _near(rows: Sequence[Compared], best: str, seeds: int) -> str:
    """Which recipes can't be told apart from the best one, and which were not compared with it: a table compares its
    own rows."""
    if seeds == 1:
        return "One seed can't tell it apart from others."
    own = [row for row in rows if best in _labels([row])]
    near = [r.label for row in own for r in row.recipes if row.near_best(r) and r.label != best]
    others = [label for label in _labels(rows) if label not in _labels(own)]
    told = (
        f"{listed(list(dict.fromkeys(near)))} can't be told apart from it by paired 95 % intervals"
        if near
        else "Paired 95 % intervals tell it apart from all that it was compared with"
    )
    apart = f"; not compared with it, because no table has both: {listed(others)}" if others else ""
    return f"{told}{apart}."


def _clearest(rows: Sequence[tuple[str, Mapping[str, str]]], verdict: str, verb: str) -> str:
    of_verdict = [(study, row) for study, row in rows if row["verdict"] == verdict]
    if not of_verdict:
        return f"The results {verb} no claim."
    study, row = max(of_verdict, key=lambda one: _distance(one[1]))
    on = f", on {row['dataset']}" if row["dataset"] else ""
    said = f"\u201c{row['statement']}\u201d ({study}{on})"
    number = f"it holds above {bound(row)}, and we measure {with_unit(row)}"
    others = [f"{other['id']} ({name})" for name, other in of_verdict if other is not row]
    also = f" Also contradicted: {', '.join(others)}." if verdict == CONTRADICTED and others else ""
    return f"The results {verb} most clearly: {said}: {number}.{also}"


def _distance(row: Mapping[str, str]) -> float:
    """Widths of the interval between it and the bound; 0 where it has no ends, or no width."""
    if not all(row[key] for key in ("low", "high", "bound")):
        return 0.0
    low, high, limit = (float(row[key]) for key in ("low", "high", "bound"))
    return max(low - limit, limit - high) / (high - low) if high > low else 0.0


def _bars(axes: Axes, judged: Mapping[str, Counter]) -> str:
    studies = list(judged)
    starts, longest = [0] * len(studies), max(counts.total() for counts in judged.values())
    for verdict in VERDICTS:
        counts = [judged[study][verdict] for study in studies]
        axes.barh(studies, counts, 0.62, starts, color=SHADES[verdict], edgecolor="black", linewidth=0.6, label=verdict)
        for y, (start, count) in enumerate(zip(starts, counts, strict=True)):
            if count:
                inside = count >= NARROW * longest
                place, colour = (start + count / 2, y if inside else y - 0.42), LETTERS[verdict] if inside else "black"
                axes.annotate(str(count), place, ha="center", va="center", fontsize=8, color=colour)
        starts = [start + count for start, count in zip(starts, counts, strict=True)]
    axes.set(xlabel="claims", ylim=(len(studies) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.2, 1), ncols=3, handlelength=1.0, columnspacing=1.0)
    total = Counter({verdict: sum(counts[verdict] for counts in judged.values()) for verdict in VERDICTS})
    return (
        f"Of {total.total()} claims these results support {total[SUPPORTED]}, contradict {total[CONTRADICTED]} and "
        f"leave {total[OPEN]} open."
    )


def _name_ends(axes: Axes, y: int, row: Compared) -> None:
    """The least robust recipe to the left of all marks, or above its own where there is no room, the most robust one to
    the right of them."""
    white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # in front of the line
    look = {"textcoords": "offset points", "fontsize": 7.5, "bbox": white}
    low, high = row.robust(row.worst), row.robust(row.best)
    axes.annotate(drawn(row.best.label), (high, y), (5, 0), ha="left", va="center", **look)
    if row.worst is not row.best:
        if low > LETTER * len(row.worst.label):
            place = {"xytext": (-5, 0), "ha": "right", "va": "center"}
        else:
            place = {"xytext": (0, 6), "ha": "center" if low > 50 else "left", "bbox": None}
        axes.annotate(drawn(row.worst.label), (low, y), **look | place)


def _recipes(axes: Axes, rows: Sequence[Compared]) -> str:
    """A line per study and dataset, a mark per recipe; the best and the worst one have their names."""
    look = {"linestyle": "none", "marker": "o", "markersize": 4.5, "color": BLUE, "markeredgewidth": 0.9}
    for y, row in enumerate(rows):
        axes.axhline(y, color="#D0D0D0", linewidth=0.6, zorder=0)
        for near, fill in ((False, "white"), (True, BLUE)):
            values = [row.robust(recipe) for recipe in row.recipes if row.near_best(recipe) == near]
            axes.plot(values, [y] * len(values), markerfacecolor=fill, **look)
        _name_ends(axes, y, row)
    several = Counter(row.study for row in rows)
    attack = rows[0].attack
    apart = [
        " ".join([*[row.dataset] * (several[row.study] > 1), *[f"({row.attack})"] * (row.attack != attack)])
        for row in rows
    ]
    labels = ["\n".join(filter(None, (row.study, more))) for row, more in zip(rows, apart, strict=True)]
    axes.set_yticks(range(len(rows)), map(drawn, labels), fontsize=7.5)
    axes.set(xlim=(-3, 103), ylim=(len(rows) - 0.5, -0.7))
    others = any(row.attack != attack for row in rows)
    axes.set_xlabel(f"mean accuracy under {'attack' if others else drawn(attack)}, %")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    filled, empty = (
        [any(row.near_best(recipe) for recipe in row.recipes) == wanted for row in rows] for wanted in (True, False)
    )
    marks = " Filled: the best mean, and those that paired 95 % intervals don't tell apart from it." * any(filled)
    marks += " A line of hollow marks: nothing is told apart." * (any(filled) and any(empty))
    bracketed = ", or the attack in brackets," if others else ""
    return (
        f"Right: accuracy under {attack}{bracketed} of the recipes with the most seeds, the least and the most robust "
        f"one named.{marks} Compare only lines of one dataset and threat."
    )
