"""Draw one animation (.gif) from result files."""

import importlib
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.console import job, parser
from robustlens.provenance import Certificate
from robustlens.report.builder import add_inputs, named_files, named_inputs
from robustlens.report.context import Context

arguments = parser(__doc__)
add_inputs(arguments)
arguments.add_argument("--gif", required=True, type=Path)
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = args.spec
context = Context.from_json(spec["context"])

with job(f"animation {context.study}-{context.name}", args.log):
    certificate = Certificate(spec, named_files(args.input))
    builder = importlib.import_module(spec["builder"])
    builder.animate(context, **named_inputs(args.input, builder.animate), gif=args.gif)
    certificate.write(args.certificate, [args.gif])
