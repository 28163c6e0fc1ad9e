"""Where files of the former layout of results/ are now. It had no folder per study, and one file per suite."""

import re
from pathlib import Path

from robustlens.configuration import Config, trained_under

STUDY_FILE = re.compile(r"(?P<root>.*results/[^/]+)/(?P<kind>tables|figures)/(?P<name>[^/]+)")
EVALUATION = re.compile(
    r"(?P<run>.*results/[^/]+/evaluations/(?P<dataset>[^/]+)/(?P<recipe>[^/]+)/seed\d+)/(?P<suite>[^/]+)\.parquet"
)


def moved(target: str, config: Config) -> str | None:
    """The new place of a file that is asked for by its former one; None for any other."""
    if match := STUDY_FILE.fullmatch(target):
        study = next((name for name in config["studies"] if match["name"].startswith(f"{name}-")), None)
        if study:
            name = match["name"].removeprefix(f"{study}-")
            place = name if name.startswith("claims.") else f"{match['kind']}/{name}"
            return f"{match['root']}/studies/{study}/{place}"
    if match := EVALUATION.fullmatch(target):
        known = match["dataset"] in config["datasets"]
        threat = trained_under(config, match["dataset"], match["recipe"]) if known else "<threat>"
        return f"{match['run']}/{threat}/{match['suite']}.json"
    return None


def found(folder: Path, scale: str) -> str | None:
    """What to say where results of a scale are in the former layout, and what to do; None where there are none."""
    results = folder / scale
    old = [name for name in ("tables", "figures") if (results / name).is_dir()]
    evaluations = next((results / "evaluations").glob("*/*/seed*/*.parquet"), None)
    if not old and evaluations is None:
        return None
    return (
        f"{results} has results in the former layout. `make accept` takes over the finished runs whose parameters are "
        f"still the same; after it, {' and '.join(f'{results}/{name}' for name in old) or 'nothing'} may be deleted."
    )
