"""Average and worst class under Temperature-PGD, by temperature, beside attacks with as many steps."""

from functools import partial
from pathlib import Path

import numpy as np

from robustlens.analysis.classwise import worst_class
from robustlens.report.context import Context
from robustlens.report.table import Table
from studies.classwise.temperature_table import temperature_table

METRICS = {"average, %": (partial(np.mean, axis=-1), "%", (0, 1)), "worst class, %": (worst_class, "%", (0, 1))}


def build(context: Context, *, evaluations: list[Path]) -> Table:
    """evaluations: indexes of suites."""
    return temperature_table(context, evaluations, METRICS, "Average and worst class under Temperature-PGD")
