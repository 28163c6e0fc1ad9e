"""The results that the claims are judged on, and how to pick from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from robustlens.analysis.certified import read_certified
from robustlens.analysis.frames import read_runs
from robustlens.analysis.measured import as_claims_say
from robustlens.report import threats
from robustlens.report.context import Context
from studies.proxy.curves import read_validation
from studies.proxy.results import read_points

PAIRED = "best checkpoints, paired by seed and image"
# Recipes by what claims call them.
MIXED, MATCHED, PLAIN = "port-ddpm", "sat-twice", "sat"
ALONE, ALONE_MATCHED = "ddpm-alone", "ddpm-alone-twice"
# What stands for MIXED where classes, or their images, are others: so many images are generated there.
STANDS_FOR = {
    **dict.fromkeys(("port-ddpm-10000", "port-ddpm-400", "port-ddpm-large"), MIXED),
    "ddpm-10000-alone": ALONE,
    "ddpm-10000-alone-twice": ALONE_MATCHED,
}


@dataclass(frozen=True)
class ProxyData:
    """The results of one dataset; a frame may be empty.

    points: of the best checkpoints, each recipe under the threat of its training. validation: the best epoch of each
    run on validation images. closeness, curves: of the stages that look at generated images. certified: one row per
    test image with its certificate. notes: sentences to print below the verdicts.
    """

    points: pd.DataFrame
    validation: pd.DataFrame
    closeness: pd.DataFrame
    curves: pd.DataFrame
    certified: pd.DataFrame
    notes: tuple[str, ...] = field(default=())


def read(
    context: Context,
    *,
    evaluations: Sequence[Path] = (),
    history: Sequence[Path] = (),
    closeness: Sequence[Path] = (),
    discrimination: Sequence[Path] = (),
    certified: Sequence[Path] = (),
) -> dict[str, ProxyData]:
    """The results of each dataset. evaluations: indexes of suites; the others: one file per run."""
    points = read_points(context, evaluations) if evaluations else pd.DataFrame()
    seen = read_validation(history) if history else pd.DataFrame()
    close = read_runs(closeness) if closeness else pd.DataFrame()
    curves = read_runs(discrimination) if discrimination else pd.DataFrame()
    proven = read_certified(certified) if certified else pd.DataFrame()
    frames = points, seen, close, curves, proven
    datasets = dict.fromkeys(name for frame in frames if len(frame) for name in frame["dataset"].unique())
    found = {}
    for dataset in datasets:
        parts = [frame[frame["dataset"] == dataset] if len(frame) else frame for frame in frames]
        parts = [as_claims_say(part, STANDS_FOR) for part in parts]
        notes = tuple(threats.notes(parts[0], context) if len(parts[0]) else ())
        found[dataset] = ProxyData(*parts, notes)
    return found
