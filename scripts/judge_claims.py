"""Judge the claims of a study's paper by result files: one ledger (.tex, .csv, .html), and a figure (.pdf, .png)."""

import importlib
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.console import job, parser
from robustlens.provenance import Certificate
from robustlens.report.builder import add_inputs, named_files, named_inputs
from robustlens.report.context import Context
from robustlens.report.figure import save
from robustlens.report.tables import claims

arguments = parser(__doc__)
add_inputs(arguments)
for suffix in ("tex", "csv", "html", "pdf", "png"):
    arguments.add_argument(f"--{suffix}", required=True, type=Path)
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = args.spec
context = Context.from_json(spec["context"])

with job(f"claims {context.study}", args.log):
    certificate = Certificate(spec, named_files(args.input))
    study = importlib.import_module(spec["builder"])
    data = study.read(context, **named_inputs(args.input, study.read))
    table = claims.build(context, study.CLAIMS, study.PAPER_DATASETS, data)
    table.write(args.tex, args.csv, args.html)
    save(claims.picture(context, table), args.pdf, args.png)
    certificate.write(args.certificate, [args.tex, args.csv, args.html, args.pdf, args.png])
