"""Draw one figure (.pdf, .png) from result files."""

import importlib
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.console import job, parser
from robustlens.provenance import Certificate
from robustlens.report.builder import add_inputs, named_files, named_inputs
from robustlens.report.context import Context
from robustlens.report.figure import save

arguments = parser(__doc__)
add_inputs(arguments)
arguments.add_argument("--pdf", required=True, type=Path)
arguments.add_argument("--png", required=True, type=Path)
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = args.spec
context = Context.from_json(spec["context"])

with job(f"figure {context.study}-{context.name}", args.log):
    certificate = Certificate(spec, named_files(args.input))
    builder = importlib.import_module(spec["builder"])
    save(builder.build(context, **named_inputs(args.input, builder.build)), args.pdf, args.png)
    certificate.write(args.certificate, [args.pdf, args.png])
