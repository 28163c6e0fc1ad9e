"""What observers saw of gradients and features in the second half of training."""

from pathlib import Path

from robustlens.report.cells import Column
from robustlens.report.context import Context
from robustlens.report.table import Table
from studies.invariance.statistics_table import Shown, statistics_table
from studies.invariance.training import CONFLICT, COSINE, DISTANCE, DRIFT, FEATURE_COSINE, GRADIENT

GRADIENTS, FEATURES = "Gradients of classification and invariance", "Adversarial and natural features"
COLUMNS = {
    Column("cosine", GRADIENTS): Shown(COSINE, 3),
    Column("in conflict, %", GRADIENTS): Shown(CONFLICT, 1, percent=True),
    Column("norm", "Gradient of invariance"): Shown(GRADIENT, 3),
    Column("cosine", FEATURES): Shown(FEATURE_COSINE, 3),
    Column("distance", FEATURES): Shown(DISTANCE, 3),
    Column("drift per epoch", FEATURES): Shown(DRIFT, 3),
}
NOTE = (
    "Means over the observed steps (drift: over the epochs) of the second half of training, on its batches. Two "
    "gradients are compared: that of both cross-entropies together and that of the weighted invariance loss (LBGAT "
    "with one network: that of the teacher's cross-entropy and that of the distance of logits), with respect to the "
    "weights of the classifier's convolutions and linear layers. In conflict: the share of entries of opposite signs. "
    "Norm: with respect to all parameters. Features: of the regularised layers, after ReLU and the mean over "
    "positions. Distance: ||z' \u2212 z||. Drift: how far adversarial features of fixed training images move from one "
    "epoch to the next, relative to their norm."
)


def build(context: Context, *, statistics: list[Path]) -> Table:
    """statistics: `statistics.parquet` files of runs that are observed."""
    return statistics_table(context, statistics, COLUMNS, "Gradients and features in training", NOTE)
