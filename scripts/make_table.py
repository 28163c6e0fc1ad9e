"""Make one table (.tex, .csv, .html) from result files."""

import importlib
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.console import job, parser
from robustlens.provenance import Certificate
from robustlens.report.builder import add_inputs, named_files, named_inputs
from robustlens.report.context import Context

arguments = parser(__doc__)
add_inputs(arguments)
for suffix in ("tex", "csv", "html"):
    arguments.add_argument(f"--{suffix}", required=True, type=Path)
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = args.spec
context = Context.from_json(spec["context"])

with job(f"table {context.study}-{context.name}", args.log):
    certificate = Certificate(spec, named_files(args.input))
    builder = importlib.import_module(spec["builder"])
    table = builder.build(context, **named_inputs(args.input, builder.build))
    table.write(args.tex, args.csv, args.html)
    certificate.write(args.certificate, [args.tex, args.csv, args.html])
