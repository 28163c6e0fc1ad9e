"""The first page of a report: what held and what did not, as sentences and as one figure, by rules from its results."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustlens.analysis.claims import CONTRADICTED, OPEN, SUPPORTED, VERDICTS
from robustlens.report.chapter import Chapter
from robustlens.report.figure import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.headlines import Recipe, accuracies, strongest
from robustlens.report.ledger import bound, with_unit

SHADES = {SUPPORTED: BLUE, CONTRADICTED: ORANGE, OPEN: "white"}
LETTERS = {SUPPORTED: "white", CONTRADICTED: "black", OPEN: "black"}
LOOKS = ((BLUE, "o"), (RED, "s"), (GREEN, "D"), (PURPLE, "^"), (ORANGE, "v"), (SKY, "P"), (GREY, "X"))
TITLE = "What held, and what is robust"
NARROW = 0.06  # of the longest bar: a shorter part has no room for its number, which stands above it


@dataclass(frozen=True)
class Plane:
    """The recipes of all studies on one dataset that were measured without attack and under the same attack: each study
    has those that no study before it has."""

    dataset: str
    attack: str
    recipes: Mapping[str, list[Recipe]]

    @property
    def all(self) -> list[Recipe]:
        return [recipe for of_study in self.recipes.values() for recipe in of_study]

    def robust(self, recipe: Recipe) -> float:
        return recipe.accuracies[self.attack].value

    def clean(self, recipe: Recipe) -> float:
        return recipe.accuracies["clean"].value

    @property
    def most_seeds(self) -> list[Recipe]:
        """Those that are compared: a single run is more often far above or below its mean."""
        most = max(recipe.seeds for recipe in self.all)
        return [recipe for recipe in self.all if recipe.seeds == most]

    @property
    def undominated(self) -> list[Recipe]:
        """Of these, those than which no other one is better without attack and under it."""
        found = self.most_seeds
        return [one for one in found if not any(self._better(other, one) for other in found)]

    def _better(self, one: Recipe, other: Recipe) -> bool:
        ours, theirs = ((self.clean(recipe), self.robust(recipe)) for recipe in (one, other))
        return ours != theirs and ours[0] >= theirs[0] and ours[1] >= theirs[1]


def plane(chapters: Sequence[Chapter]) -> Plane | None:
    """Of the dataset with the most recipes, under the attack that its first study compares them by; None where nothing
    was attacked."""
    found: dict[str, dict[str, list[Recipe]]] = {}
    for chapter in chapters:
        if chapter.accuracies and chapter.robustness:
            for dataset, recipes in accuracies(chapter.accuracies, chapter.robustness)[1].items():
                found.setdefault(dataset, {})[chapter.study] = recipes
    planes = [made for dataset, studies in found.items() if (made := _plane(dataset, studies))]
    return max(planes, key=lambda made: len(made.all), default=None)


def sentences(chapters: Sequence[Chapter]) -> list[str]:
    """The most and the least robust recipe, and of all claims that which its numbers support, and that which they
    contradict, most clearly: with the most widths of its interval between the interval and the bound."""
    made = plane(chapters)
    rows = [(chapter.study, row) for chapter in chapters for row in chapter.judged]
    clearest = [_clearest(rows, SUPPORTED, "support"), _clearest(rows, CONTRADICTED, "contradict")] if rows else []
    return [*([_robust(made)] if made else []), *clearest]


@styled
def picture(chapters: Sequence[Chapter]) -> Drawing:
    """How many claims of each study are supported, contradicted and open, beside robust against clean accuracy of all
    recipes; what there is not is left out."""
    with_claims = [chapter for chapter in chapters if chapter.judged]
    judged = {chapter.study: Counter(row["verdict"] for row in chapter.judged) for chapter in with_claims}
    made = plane(chapters)
    parts: list[Callable[[Axes], str]] = []
    if judged:
        parts.append(lambda axes: _bars(axes, judged))
    if made:
        parts.append(lambda axes: _draw_plane(axes, made))
    figure = Figure(figsize=(TEXT_WIDTH, 2.7 if parts else 0.5), layout="constrained")
    panels = figure.subplots(1, len(parts), squeeze=False)[0] if parts else []
    said = [part(axes) for part, axes in zip(parts, panels, strict=True)]
    return Drawing(figure, TITLE, " ".join(said) or "No claims are judged, and nothing was attacked.")


def _plane(dataset: str, studies: Mapping[str, list[Recipe]]) -> Plane | None:
    attack = next((attack for recipes in studies.values() if (attack := strongest(recipes))), None)
    if attack is None:
        return None
    seen: set[str] = set()
    kept: dict[str, list[Recipe]] = {}
    for study, recipes in studies.items():
        own = [r for r in recipes if {attack, "clean"} <= r.accuracies.keys() and r.label not in seen]
        seen |= {recipe.label for recipe in own}
        if own:
            kept[study] = own
    return Plane(dataset, attack, kept) if kept else None


def _robust(made: Plane) -> str:
    found = made.most_seeds
    best, worst = max(found, key=made.robust), min(found, key=made.robust)
    seeds = "one seed" if best.seeds == 1 else f"{best.seeds} seeds"
    on = f" on {made.dataset}" if made.dataset else ""
    first = (
        f"Of {len(found)} recipes with {seeds}{on}, {best.label} has the highest mean accuracy under {made.attack}: "
        f"{best.accuracies[made.attack]} %, and {best.accuracies['clean']} % without attack"
    )
    if len(found) == 1:
        return f"{first}."
    last = f"{worst.accuracies[made.attack]} %, and {worst.accuracies['clean']} %"
    return f"{first}; {worst.label} has the lowest: {last}."


def _clearest(rows: Sequence[tuple[str, Mapping[str, str]]], verdict: str, verb: str) -> str:
    of_verdict = [(study, row) for study, row in rows if row["verdict"] == verdict]
    if not of_verdict:
        return f"The results {verb} no claim."
    study, row = max(of_verdict, key=lambda one: _distance(one[1]))
    on = f", on {row['dataset']}" if row["dataset"] else ""
    said = f"\u201c{row['statement']}\u201d ({study}{on})"
    number = f"the number that its rule wants above {bound(row)} is {with_unit(row)}"
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


def _draw_plane(axes: Axes, made: Plane) -> str:
    most = max(recipe.seeds for recipe in made.all)
    for (study, recipes), (colour, marker) in zip(made.recipes.items(), _looks(len(made.recipes)), strict=True):
        for seeds, fill in ((True, colour), (False, "white")):
            own = [recipe for recipe in recipes if (recipe.seeds == most) == seeds]
            x, y = [made.clean(recipe) for recipe in own], [made.robust(recipe) for recipe in own]
            look = {"linestyle": "none", "marker": marker, "markersize": 4, "color": colour, "markeredgewidth": 0.8}
            axes.plot(x, y, markerfacecolor=fill, label=drawn(study) if seeds else None, **look)
    for recipe in made.undominated:
        place = (made.clean(recipe), made.robust(recipe))
        axes.annotate(drawn(recipe.label), place, (-4, 3), textcoords="offset points", fontsize=8, ha="right")
    axes.set(xlabel="accuracy without attack, %", ylabel=drawn(f"under {made.attack}, %"))
    axes.legend(loc="lower left", handletextpad=0.2)
    on = f" on {made.dataset}" if made.dataset else ""
    few = f" Open marks: fewer than {most} seeds." if any(recipe.seeds < most for recipe in made.all) else ""
    return (
        f"Accuracy under {made.attack} against accuracy without attack of the recipes that have both{on}; named are "
        f"those that no other one beats at both.{few}"
    )


def _looks(count: int) -> list[tuple[str, str]]:
    return [LOOKS[i % len(LOOKS)] for i in range(count)]
