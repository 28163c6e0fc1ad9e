"""Images of every class from a generator that was fitted to the training images."""

import json
from pathlib import Path

from robustlens.console import Progress, job, parser
from robustlens.data.pool import FILES
from robustlens.data.prepared import load
from robustlens.generators.pool import write_pool
from robustlens.parameters import create
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--folder", required=True, type=Path, help="folder of the pool")
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = json.loads(args.spec)

with job(f"pool {spec['dataset']}/{spec['generator']['name']}", args.log):
    certificate = Certificate(spec, [args.data / "sheet.json"])
    data = load(args.data, ["train"])
    generator = create("generators", spec["generator"]["family"], spec["generator"]["parameters"])
    progress = Progress("image", spec["per_class"] * data.classes)
    write_pool(args.folder, generator, data.splits["train"], data.classes, spec["per_class"], spec["seed"], progress)
    certificate.write(args.certificate, [args.folder / name for name in FILES])
