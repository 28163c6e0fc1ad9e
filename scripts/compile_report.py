"""Typeset report.tex as PDF."""

from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.console import job, parser
from robustlens.provenance import Certificate
from robustlens.report.latex import compile_pdf

arguments = parser(__doc__)
arguments.add_argument("--tex", required=True, type=Path)
arguments.add_argument("--figures", type=Path, nargs="*", default=[], help="what report.tex includes, as PDF")
arguments.add_argument("--pdf", required=True, type=Path)
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()

with job("report.pdf", args.log):
    certificate = Certificate(args.spec, [args.tex, *args.figures])
    compile_pdf(args.tex, args.pdf)
    certificate.write(args.certificate, [args.pdf])
