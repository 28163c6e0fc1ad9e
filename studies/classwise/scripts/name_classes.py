"""The names of a dataset's classes, and its superclasses where the catalogue has any."""

import json
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.atomic import replacing
from robustlens.console import job, parser
from robustlens.provenance import Certificate
from studies.classwise.class_names import of_sheet

arguments = parser(__doc__)
arguments.add_argument("--sheet", required=True, type=Path, help="sheet.json of the prepared dataset")
arguments.add_argument("--names", required=True, type=Path, help="JSON file to write")
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = args.spec

with job(f"names of the classes in {args.names.stem}", args.log):
    certificate = Certificate(spec, [args.sheet])
    names = of_sheet(json.loads(args.sheet.read_text()), spec["superclasses"])
    with replacing(args.names) as path:
        path.write_text(json.dumps(names, indent=2) + "\n")
    certificate.write(args.certificate, [args.names])
