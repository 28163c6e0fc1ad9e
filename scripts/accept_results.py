"""Accept finished results of earlier code, also in the former layout, if their parameters are still the same.

With -n nothing is changed.
"""

import argparse
import sys
from pathlib import Path

from robustlens.acceptance.jobs import accept, asks_for_a_dry_run
from robustlens.acceptance.text import acceptance_text
from robustlens.errors import RobustlensError
from robustlens.status import typed_command

arguments = argparse.ArgumentParser(
    description=__doc__, usage="accept_results.py [-n] [arguments of snakemake]", allow_abbrev=False
)
_, given = arguments.parse_known_args()
try:
    dry_run = asks_for_a_dry_run(given)
    found = accept(given, dry_run)
    scale = next(job.wildcards["scale"] for job in found.jobs if "scale" in job.wildcards)
    print(acceptance_text(found, Path("results", scale), typed_command(["snakemake", *given]), dry_run))
except RobustlensError as error:
    sys.exit(str(error))
