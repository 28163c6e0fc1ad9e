"""What becomes of images that were attacked into a class, when that class is not trained on."""

from pathlib import Path

from robustlens.analysis.class_removal import KINDS, Comparison, difference_interval, fates
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.context import Context
from robustlens.report.lists import separated
from robustlens.report.table import Table
from studies.classwise.class_names import read_class_names
from studies.classwise.removal import RULE, Removal, read_removal, removals
from studies.classwise.results import by_dataset, group_title, seeds_told

FEWEST = 10  # images behind an interval
COLUMNS = (
    Column("B"),
    Column("C"),
    Column("images"),
    *(Column(kind, f"Without {removed}, %") for removed in "BC" for kind in ("robust", "elsewhere")),
    Column("difference"),
)
NOTES = (
    "images: those of class A that are classified correctly without an attack and as B under PGD-20, when all classes "
    "are trained on; over all seeds. The other columns say what becomes of them when B, or C, is not trained on: the "
    "share that is robust, and the share that PGD-20 turns into a class other than A and B; the rest is turned into B "
    "again. difference: robust without B minus robust without C, in points. Best checkpoints.",
    RULE,
    "The last row is of all images, each counted once. In brackets 95 % intervals by drawing test images within each "
    "class, and seeds, with replacement (images only where there is one seed), with B and C as they are; none for "
    f"fewer than {FEWEST} images, and where all of them fare alike.",
)


def build(context: Context, *, evaluations: list[Path], history: list[Path], names: list[Path]) -> Table:
    """evaluations, history: of recipes and of those that train like them without a class; names: of the classes."""
    runs, named = read_removal(context, evaluations, history), read_class_names(names)
    datasets = list(runs["dataset"].unique())
    found = {dataset: removals(context, of_dataset) for dataset, of_dataset in by_dataset(runs)}
    several = len({base for of_dataset in found.values() for base in of_dataset}) > 1
    rows = []
    for dataset, of_dataset in found.items():
        for base, removal in of_dataset.items():
            group = group_title(context, datasets, dataset, *[context.recipe_label(base)] * several)
            rows += [Row(label, cells, group) for label, cells in _rows(removal, named[dataset].names)]
    seeds = seeds_told({"": [removal.seeds for of_dataset in found.values() for removal in of_dataset.values()]})
    bases = dict.fromkeys(context.recipe_label(base) for of_dataset in found.values() for base in of_dataset)
    title = f"{separated(bases)} on {context.datasets_titles(datasets)}, trained without one of the classes."
    notes = (*NOTES, *seeds, *threats.notes(runs, context))
    return Table(context.label, context.caption(title), "A", COLUMNS, tuple(rows), notes)


def _rows(removal: Removal, names: tuple[str, ...]) -> list[tuple[str, tuple[Cell, ...]]]:
    compared = removal.compared()
    rows = [
        (names[one.attacked], (Cell(text=names[one.confuser]), Cell(text=names[one.control]), *_cells(removal, [one])))
        for one in compared
    ]
    return [*rows, ("all", (Cell(), Cell(), *_cells(removal, compared)))] if compared else []


def _cells(removal: Removal, compared: list[Comparison]) -> tuple[Cell, ...]:
    found = fates(removal.answers, compared)
    told = {"n_seeds": removal.seeds, "sources": removal.files}
    counted = Cell(value=found.count, digits=0, **told)
    measured = [Cell(value=100 * found.share(kind), digits=1, unit="%", **told) for kind in range(1, len(KINDS))]
    interval = difference_interval(found)
    wide = found.count >= FEWEST and interval.low < interval.high
    ends = {"low": 100 * interval.low, "high": 100 * interval.high} if wide else {}
    difference = Cell(value=100 * interval.estimate, digits=1, unit="points", **ends, **told)
    return (counted, *measured, difference)
