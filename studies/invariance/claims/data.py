"""The results that the claims of the AR-AT paper are judged on, and how to pick from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from robustlens.analysis.claims import NotMeasured, Outcome, decide
from robustlens.analysis.evaluations import sources
from robustlens.analysis.measured import as_claims_say, of
from robustlens.analysis.statistics import crossed_interval
from robustlens.report import threats
from robustlens.report.context import Context
from studies.invariance import training
from studies.invariance.results import best, read_points

# What stands at the paper scale, or on larger networks, for a recipe that claims name
STANDS_FOR = {"trades-three-forwards": "trades", "lbgat-lower-rate": "lbgat", "arat-wide": "arat"}


@dataclass(frozen=True)
class InvarianceData:
    """The results of one dataset; a frame may be empty.

    points: of the best checkpoints, with those of the sum of clean and AutoAttack, each recipe under the threat of its
    training. statistics: what observers saw. notes: sentences to print below the verdicts.
    """

    points: pd.DataFrame
    statistics: pd.DataFrame
    notes: tuple[str, ...] = field(default=())


def read(
    context: Context,
    *,
    evaluations: Sequence[Path] = (),
    evaluators: Sequence[Path] = (),
    statistics: Sequence[Path] = (),
) -> dict[str, InvarianceData]:
    """The results of each dataset. evaluations, evaluators: indexes of suites; statistics: `statistics.parquet`."""
    indexes = [*evaluations, *evaluators]
    points = best(read_points(context, indexes)) if indexes else pd.DataFrame()
    seen = training.read_statistics(statistics) if statistics else pd.DataFrame()
    datasets = dict.fromkeys(name for frame in (points, seen) if len(frame) for name in frame["dataset"].unique())
    found = {}
    for dataset in datasets:
        parts = [frame[frame["dataset"] == dataset] if len(frame) else frame for frame in (points, seen)]
        notes = tuple(threats.notes(parts[0], context) if len(parts[0]) else ())
        found[dataset] = InvarianceData(*(as_claims_say(part, STANDS_FOR) for part in parts), notes)
    return found


def observed(data: InvarianceData, recipe: str, which: tuple[str, str]) -> pd.DataFrame:
    """A statistic of a recipe over the second half of its epochs. Raises NotMeasured without any."""
    rows = of(data.statistics, recipe=recipe, observer=which[0], statistic=which[1])
    return training.late(rows)


def larger(
    data: InvarianceData,
    first: str,
    second: str,
    which: tuple[str, str],
    of_second: tuple[str, str] | None = None,
    times: float = 1.0,
) -> Outcome:
    """Whether a statistic is larger with one recipe than so many times that of another one (or another one's
    `of_second`): means of each seed over the second half of the epochs, paired by seed. Steps of one training are not
    independent of each other, so they count as one number."""
    ours, theirs = observed(data, first, which), observed(data, second, of_second or which)
    values = training.differences(ours, theirs.assign(value=times * theirs["value"]))
    if not values.size:
        raise NotMeasured(f"a seed that both {first} and {second} have")
    means = ", ".join(f"{name} {rows['value'].mean():.3g}" for name, rows in ((first, ours), (second, theirs)))
    return decide(crossed_interval(values), "", means, [*sources(ours), *sources(theirs)])


def above(data: InvarianceData, recipe: str, which: tuple[str, str], sign: float = 1.0, bound: float = 0.0) -> Outcome:
    """Whether sign times a statistic is above a bound: means of each seed over the second half of the epochs."""
    rows = observed(data, recipe, which)
    values = sign * training.of_seeds(rows).to_numpy()[:, None]
    return decide(crossed_interval(values), "", f"mean over the steps of {recipe}", sources(rows), bound)
