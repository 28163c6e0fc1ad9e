"""Draw one figure (.pdf, .png) from result files."""

import importlib
import json
from pathlib import Path

from robustlens.console import job, parser
from robustlens.provenance import Certificate
from robustlens.report import names
from robustlens.report.figure import save

SOURCES = ("evaluations", "history", "energies", "samples", "scores", "grid", "chains")

arguments = parser(__doc__)
for name in SOURCES:
    arguments.add_argument(f"--{name}", type=Path, nargs="+", help=f"{name} files")
arguments.add_argument("--pdf", required=True, type=Path)
arguments.add_argument("--png", required=True, type=Path)
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = json.loads(args.spec)

names.learn(spec["titles"])
with job(f"figure {spec['figure']}", args.log):
    given = {name: getattr(args, name) for name in SOURCES if getattr(args, name)}
    certificate = Certificate(spec, [path for paths in given.values() for path in paths])
    if "recipe" in spec:
        given["recipe"] = spec["recipe"]
    drawing = importlib.import_module(f"robustlens.report.figures.{spec['figure']}").build(
        scale=spec["scale"], title=spec["title"], **given
    )
    save(drawing, args.pdf, args.png)
    certificate.write(args.certificate, [args.pdf, args.png])
