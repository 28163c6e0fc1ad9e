"""Record what a finished run's numbers come from, so that a test can tell when the README's are out of date."""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from robustlens.atomic import replacing
from robustlens.errors import RobustlensError
from robustlens.planning.dry_run import announced_jobs
from robustlens.planning.origin import computing, parameters_digest, without_code

REFERENCE = Path(__file__).parent.parent / "tests" / "reference.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", default="embedded", help="of a finished run in this folder")
    args = parser.parse_args()
    arguments = ["--cores", "1", "--config", f"scale={args.scale}"]
    try:
        left = computing(announced_jobs(arguments), f"results/{args.scale}/studies/")
        if left:
            sys.exit(
                f"results/{args.scale}: {len(left)} jobs are left, such as {left[0].rule}; run `make reproduce` first"
            )
        found = origin(arguments, args.scale)
    except RobustlensError as error:
        sys.exit(str(error))
    with replacing(Path("docs/recorded") / f"{args.scale}.json") as path:
        path.write_text(json.dumps({"commit": commit(), **found}, indent=2) + "\n")


def origin(arguments: list[str], scale: str) -> dict[str, object]:
    """What `snakemake <arguments>` would now compute from nothing: the arithmetic, a digest of the bytes that it gives
    in the tests, and for each study the number of its computing jobs and the digest of their parameters."""
    jobs = announced_jobs(arguments, everything=True)
    names = sorted({job.wildcards["study"] for job in jobs if "study" in job.wildcards})
    behind = {name: computing(jobs, f"results/{scale}/studies/{name}/") for name in names}
    (arithmetic,) = {job.spec["arithmetic"] for found in behind.values() for job in found}
    reference = json.dumps(without_code(json.loads(REFERENCE.read_text())))
    return {
        "arithmetic": arithmetic,
        "reference": hashlib.sha256(reference.encode()).hexdigest()[:12],
        "studies": {
            name: {"jobs": len(found), "parameters": parameters_digest(found)} for name, found in behind.items()
        },
    }


def commit() -> str:
    """Of the checkout in this folder."""
    done = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"no commit to record: {done.stderr.strip()}; run this in a clone")
    return done.stdout.strip()


if __name__ == "__main__":
    main()
