"""Make one table (.tex, .csv, .html) from result files."""

import importlib
import json
from pathlib import Path

from robustlens.console import job, parser
from robustlens.provenance import Certificate
from robustlens.report import names

SOURCES = ("robustness", "attack_energies", "evaluations", "history", "energies", "scores", "grid")

arguments = parser(__doc__)
for name in SOURCES:
    arguments.add_argument(f"--{name}", type=Path, nargs="*", help=f"{name} files")
arguments.add_argument("--anchors", type=Path, nargs="+", help="scores of real images, one a dataset of the spec")
arguments.add_argument("--published_file", type=Path, help="published numbers")
for suffix in ("tex", "csv", "html"):
    arguments.add_argument(f"--{suffix}", required=True, type=Path)
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = json.loads(args.spec)

names.learn(spec["titles"])
with job(f"table {spec['table']}", args.log):
    given = {name: getattr(args, name) for name in SOURCES if getattr(args, name)}
    inputs = [path for paths in given.values() for path in paths]
    if args.anchors:
        given["anchors"] = dict(zip(spec["anchors"], args.anchors, strict=True))
        inputs += args.anchors
    if args.published_file:
        given["published_file"] = args.published_file
        inputs.append(args.published_file)
    certificate = Certificate(spec, inputs)
    if "architectures" in spec:
        given["architectures"] = spec["architectures"]
    table = importlib.import_module(f"robustlens.report.tables.{spec['table']}").build(scale=spec["scale"], **given)
    table.write(args.tex, args.csv, args.html)
    certificate.write(args.certificate, [args.tex, args.csv, args.html])
