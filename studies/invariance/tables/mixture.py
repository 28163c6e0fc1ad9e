"""Natural and adversarial images as BatchNorm sees them: how far apart they are, and how steady its statistics."""

from pathlib import Path

from robustlens.report.cells import Column
from robustlens.report.context import Context
from robustlens.report.table import Table
from studies.invariance.statistics_table import Shown, statistics_table
from studies.invariance.training import (
    CHANGED_ADVERSARIAL,
    CHANGED_NATURAL,
    CHANGED_SHARED,
    MEANS,
    MOVED_ADVERSARIAL,
    MOVED_NATURAL,
    MOVED_SHARED,
    VARIANCES,
)

INPUTS, RUNNING = "Inputs, natural against adversarial", "Running means, movement"
VARYING = "Running variances, movement"
COLUMNS = {
    Column("means", INPUTS): Shown(MEANS, 4),
    Column("variances", INPUTS): Shown(VARIANCES, 4),
    Column("shared", RUNNING): Shown(MOVED_SHARED, 4),
    Column("adversarial", RUNNING): Shown(MOVED_ADVERSARIAL, 4),
    Column("natural", RUNNING): Shown(MOVED_NATURAL, 4),
    Column("shared", VARYING): Shown(CHANGED_SHARED, 4),
    Column("adversarial", VARYING): Shown(CHANGED_ADVERSARIAL, 4),
    Column("natural", VARYING): Shown(CHANGED_NATURAL, 4),
}
NOTE = (
    "Means over the BatchNorms of the network and over the observed steps of the second half of training. Inputs, "
    "means: the squared difference of a channel's mean over natural and over adversarial images, divided by the mean "
    "of its two variances. Inputs, variances: the absolute logarithm of their ratio. Both are averaged over the "
    "channels. Movement of running means: how far a channel's is from where it was at the observed step before, in "
    "running standard deviations, as root mean square over the channels. Movement of running variances: the absolute "
    "logarithm of the ratio to what it was then, as mean over the channels. shared: of the one BatchNorm; "
    "adversarial, natural: of either of two. A shared one is updated twice a step, which alone makes it move 1.4 to "
    "1.5 times as far as each of two."
)


def build(context: Context, *, statistics: list[Path]) -> Table:
    """statistics: `statistics.parquet` files of runs that are observed."""
    return statistics_table(
        context, statistics, COLUMNS, "What BatchNorm sees of natural and of adversarial images", NOTE
    )
