"""A copy of this checkout as a clone of it would be: without results, so that a workflow in it has everything to do."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from workers import Skipped

ROOT = Path(__file__).parents[2]


def without_results(folder: Path) -> Path:
    """The copy, in `folder`, which must not exist. Raises Skipped without Snakemake and outside a checkout."""
    if importlib.util.find_spec("snakemake") is None:
        raise Skipped("Snakemake is not installed here")
    sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "workflow")]
    from flow import copy_sources

    try:
        return copy_sources(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Skipped(f"git can't list the files of this checkout ({error})") from error
