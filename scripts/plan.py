"""Plan what `snakemake <targets>` would run: jobs, hours, disk, downloads. Prints the plan and writes it."""

import json
from pathlib import Path

from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.console import job, parser
from robustlens.device import use_device
from robustlens.planning.dry_run import dry_run
from robustlens.planning.known import Known
from robustlens.planning.plan import make_plan
from robustlens.planning.text import plan_text

arguments = parser(__doc__)
arguments.add_argument("--text", required=True, type=Path, help="text file to write")
arguments.add_argument("--json", required=True, type=Path, help="JSON file to write")
args = arguments.parse_args()
spec = json.loads(args.spec)

with job("plan", args.log):
    asked = spec["snakefile"], spec["configfiles"], spec["entries"], spec["targets"]
    everything, needed = dry_run(*asked, everything=True), dry_run(*asked)
    with use_device(max((one.threads for one in needed), default=1), arithmetic.of(spec)) as device:
        known = Known(everything, needed, spec["stages"], device)
        plan = make_plan(spec["scale"], spec["targets"], spec["studies"], known)
    text = plan_text(plan)
    for path, content in ((args.text, text), (args.json, json.dumps(plan, indent=2) + "\n")):
        with replacing(path) as temporary:
            temporary.write_text(content)
    print(f"\n{text}\nWritten: {args.text} and {args.json}", flush=True)
