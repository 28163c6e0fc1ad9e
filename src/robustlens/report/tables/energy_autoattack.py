"""What each stage of AutoAttack leaves: accuracy after APGD-CE, APGD-T, FAB-T and Square, best checkpoint."""

from pathlib import Path

from robustlens.analysis.frames import RUN, read_runs
from robustlens.report import names
from robustlens.report.cells import Column, Row
from robustlens.report.scale import caption
from robustlens.report.summary import RESOLUTION, accuracy_digits, over_seeds, resolution_note, seeds_note
from robustlens.report.table import Table

STAGES = ("misclassified", "apgd-ce", "apgd-t", "fab-t", "square")
LABELS = ("clean", "after APGD-CE", "after APGD-T", "after FAB-T", "after Square")


def build(evaluations: list[Path], scale: str) -> Table:
    """evaluations: `robustness.parquet` files."""
    frame = read_runs(evaluations, ["checkpoint", "attack", "broken_by"])
    frame = frame[frame["checkpoint"].isin(("best", "published")) & (frame["attack"] == "autoattack")]
    datasets = frame["dataset"].unique()
    rows, notes = [], []
    for dataset in datasets:
        of_dataset = frame[frame["dataset"] == dataset]
        group = names.dataset(dataset) if len(datasets) > 1 else ""
        images = int(of_dataset.groupby(RUN).size().min())
        for recipe in of_dataset["recipe"].unique():
            runs = of_dataset[of_dataset["recipe"] == recipe].groupby("seed", sort=False)
            cells = [
                over_seeds(
                    100 * runs["broken_by"].agg(lambda b, k=k: 1 - b.isin(STAGES[: k + 1]).mean()),
                    accuracy_digits(images),
                    "%",
                    runs["source"].first(),
                    images,
                )
                for k in range(len(STAGES))
            ]
            rows.append(Row(names.recipe(recipe), tuple(cells), group))
        prefix = f"{group}, " if group else ""
        robust = (of_dataset["broken_by"] == "").mean()
        notes += [prefix + seeds_note(of_dataset["seed"]), resolution_note(f"{prefix}AutoAttack", images, robust)]
    title = (
        f"Accuracy in % on {names.datasets(datasets)} after each stage of AutoAttack, best checkpoint. A stage attacks "
        "only the images that are still classified correctly; the last column is the AutoAttack accuracy."
    )
    columns = tuple(Column(label) for label in LABELS)
    return Table("energy_autoattack", caption(title, scale), "recipe", columns, tuple(rows), (*notes, RESOLUTION))
