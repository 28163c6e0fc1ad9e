"""Typeset report.tex as PDF."""

from pathlib import Path

from robustlens.console import job, parser
from robustlens.report.latex import compile_pdf

arguments = parser(__doc__)
arguments.add_argument("--tex", required=True, type=Path)
arguments.add_argument("--pdf", required=True, type=Path)
args = arguments.parse_args()

with job("report.pdf", args.log):
    compile_pdf(args.tex, args.pdf)
