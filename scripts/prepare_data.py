"""Read a dataset, split it and write it as arrays with their sheet."""

import json
from pathlib import Path

from robustlens.console import job, parser
from robustlens.data.prepared import array_names
from robustlens.data.source import stratified_split, write_prepared
from robustlens.parameters import create
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--folder", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = json.loads(args.spec)

with job(f"prepare {spec['dataset']}", args.log):
    certificate = Certificate(spec)
    source = create("data", spec["reader"], {}).read()
    splits = spec["splits"]
    positions = stratified_split(source.labels, splits["train"], splits["validation"], splits["seed"])
    write_prepared(source, positions, args.folder, spec["dataset"], splits["seed"])
    certificate.write(args.certificate, [], [args.folder / name for name in [*array_names(), "sheet.json"]])
