"""Draw one animation (.gif) from result files."""

import importlib
import json
from pathlib import Path

from robustlens.console import job, parser
from robustlens.provenance import Certificate
from robustlens.report import names

arguments = parser(__doc__)
arguments.add_argument("--energies", required=True, type=Path, nargs="+", help="energies files")
arguments.add_argument("--gif", required=True, type=Path)
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = json.loads(args.spec)

names.learn(spec["titles"])
with job(f"animation {spec['figure']}", args.log):
    certificate = Certificate(spec, args.energies)
    figure = importlib.import_module(f"robustlens.report.figures.{spec['figure']}")
    figure.animate(args.energies, spec["title"], args.gif)
    certificate.write(args.certificate, [args.gif])
