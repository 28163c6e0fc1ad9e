"""Plan what `snakemake <targets>` would run: jobs, hours, disk, downloads. Prints the plan and writes it."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.atomic import replacing
from robustlens.console import job, parser
from robustlens.planning.dry_run import dry_run
from robustlens.planning.nothing import nothing_text, nothing_to_do

arguments = parser(__doc__)
arguments.add_argument("--text", required=True, type=Path, help="text file to write")
arguments.add_argument("--json", required=True, type=Path, help="JSON file to write")
args = arguments.parse_args()
spec = args.spec

with job("plan", args.log):
    asked = spec["snakefile"], spec["configfiles"], spec["entries"], spec["targets"]
    with ThreadPoolExecutor() as pool:
        dry_runs = pool.submit(dry_run, *asked, everything=True), pool.submit(dry_run, *asked)
        everything, needed = (run.result() for run in dry_runs)
    if needed:
        from robustlens.planning.here import planned  # PyTorch takes seconds to import

        plan, text = planned(spec, everything, needed)
    else:
        plan = nothing_to_do(spec["scale"], spec["targets"], len(everything))
        text = nothing_text(plan)
    for path, content in ((args.text, text), (args.json, json.dumps(plan, indent=2) + "\n")):
        with replacing(path) as temporary:
            temporary.write_text(content)
    print(f"\n{text}\nWritten: {args.text} and {args.json}", flush=True)
