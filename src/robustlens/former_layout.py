"""Where files of the former layout of results/ are now. It had no folder per study, and one file per suite."""

import re
from pathlib import Path

from robustlens.configuration import Config, trained_under

STUDY_FILE = re.compile(r"(?P<root>.*results/[^/]+)/(?P<kind>tables|figures)/(?P<name>[^/]+)")
STUDY_RESULT = re.compile(r"/studies/(?P<study>[^/]+)/(?P<kind>tables|figures)/(?P<name>[^/.]+)")
EVALUATION = re.compile(
    r"(?P<run>.*results/[^/]+/evaluations/(?P<dataset>[^/]+)/(?P<recipe>[^/]+)/seed\d+)/(?P<suite>[^/]+)\.parquet"
)


def moved(target: str, config: Config) -> str | None:
    """The new place of a file that is asked for by its former one; None for any other, and for one of a study, a run or
    a suite that this scale does not have."""
    if match := STUDY_FILE.fullmatch(target):
        studies = [name for name in config["studies"] if match["name"].startswith(f"{name}-")]
        if studies:
            study = max(studies, key=len)
            name = match["name"].removeprefix(f"{study}-")
            place = name if name.startswith("claims.") else f"{match['kind']}/{name}"
            return f"{match['root']}/studies/{study}/{place}"
    if match := EVALUATION.fullmatch(target):
        known = {"dataset": config["datasets"], "recipe": {**config["recipes"], **config["models"]}}
        known["suite"] = config["suites"]
        if all(match[kind] in names for kind, names in known.items()):
            threat = trained_under(config, match["dataset"], match["recipe"])
            return f"{match['run']}/{threat}/{match['suite']}.json"
    return None


def found(folder: Path, scale: str) -> str | None:
    """What to say where results of a scale are in the former layout, and what to do; None where there are none."""
    results = folder / scale
    old = any((results / name).is_dir() for name in ("tables", "figures"))
    if not old and not any((results / "evaluations").glob("*/*/seed*/*.parquet")):
        return None
    return (
        f"{results} has results in the former layout. `make accept` takes over the finished ones whose parameters are "
        "still the same, and says what may be deleted then (docs/migration.md)."
    )
