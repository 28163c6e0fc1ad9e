"""What each stage of AutoAttack leaves: accuracy after APGD-CE, APGD-T, FAB-T and Square, best checkpoint."""

from pathlib import Path

from robustlens.analysis.evaluations import largest
from robustlens.analysis.frames import RUN, read_evaluations
from robustlens.report import threats
from robustlens.report.cells import Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import RESOLUTION, accuracy_digits, over_seeds, resolution_note
from robustlens.report.table import Table

STAGES = ("misclassified", "apgd-ce", "apgd-t", "fab-t", "square")
LABELS = ("clean", "after APGD-CE", "after APGD-T", "after FAB-T", "after Square")
READ = ["checkpoint", "attack", "broken_by"]


def build(context: Context, *, evaluations: list[Path]) -> Table:
    """evaluations: indexes of suites."""
    runs = largest(read_evaluations(evaluations, READ))
    attacked = runs[runs["checkpoint"].isin(("best", "published")) & (runs["attack"] == "autoattack")]
    rows, notes = [], threats.notes(attacked, context)
    for group, of_group in threats.groups(attacked, context):
        images = int(of_group.groupby(RUN).size().min())
        for recipe in of_group["recipe"].unique():
            seeds = of_group[of_group["recipe"] == recipe].groupby("seed", sort=False)
            cells = [
                over_seeds(
                    100 * seeds["broken_by"].agg(lambda b, k=k: 1 - b.isin(STAGES[: k + 1]).mean()),
                    accuracy_digits(images),
                    "%",
                    seeds["source"].first(),
                    images,
                )
                for k in range(len(STAGES))
            ]
            rows.append(Row(context.recipe_label(recipe), tuple(cells), group))
        prefix, robust = f"{group}, " if group else "", (of_group["broken_by"] == "").mean()
        notes += [prefix + note for note in seeds_notes(of_group["seed"], of_group["recipe"], context)]
        notes.append(resolution_note(f"{prefix}AutoAttack", images, robust))
    datasets = context.datasets_titles((attacked if len(attacked) else runs)["dataset"].unique())
    title = (
        f"Accuracy in % on {datasets} after each stage of AutoAttack, best checkpoint. A stage attacks only the images "
        "that are still classified correctly; the last column is the AutoAttack accuracy."
    )
    columns = tuple(Column(label) for label in LABELS)
    notes = (*notes, RESOLUTION) if rows else ("None of these suites has AutoAttack.",)
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)
