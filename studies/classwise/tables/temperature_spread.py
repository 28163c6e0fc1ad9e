"""How classes differ under Temperature-PGD, by temperature, beside attacks with as many steps."""

from pathlib import Path

from robustlens.analysis.classwise import class_gap, class_variance
from robustlens.report.context import Context
from robustlens.report.table import Table
from studies.classwise.temperature_table import temperature_table

METRICS = {"CV": (class_variance, "", (0, 0.25)), "MCD, points": (class_gap, "points", (0, 1))}
NOTE = (
    "CV is the variance over classes (divisor C) of accuracies between 0 and 1; MCD the best class minus the worst.",
)


def build(context: Context, *, evaluations: list[Path]) -> Table:
    """evaluations: indexes of suites."""
    return temperature_table(context, evaluations, METRICS, "How classes differ under Temperature-PGD", NOTE)
