"""What `snakemake <arguments>` has done, what is running, what failed and what is left. Changes nothing."""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from robustlens.errors import RobustlensError
from robustlens.job_log import slurm_states
from robustlens.planning.dry_run import announced_jobs
from robustlens.status import status_text, typed_command

arguments = argparse.ArgumentParser(description=__doc__, usage="status.py [arguments of snakemake]", allow_abbrev=False)
_, given = arguments.parse_known_args()
try:
    with ThreadPoolExecutor() as pool:
        everything = pool.submit(announced_jobs, given, everything=True)
        needed = pool.submit(announced_jobs, given)
        driven = any(Path(".snakemake/locks").glob("*"))
        command = typed_command(["snakemake", *given])
        print(status_text(everything.result(), needed.result(), slurm_states(), command, driven))
except RobustlensError as error:
    sys.exit(str(error))
