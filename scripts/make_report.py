"""Put tables, figures and claims together: report.html and report.tex."""

import json
from importlib.metadata import version
from pathlib import Path

from robustlens.atomic import replacing
from robustlens.console import job, parser
from robustlens.provenance import LIBRARIES, Certificate
from robustlens.report.document import Document
from robustlens.report.latex import render_tex
from robustlens.report.webpage import render_html

arguments = parser(__doc__)
arguments.add_argument("--sheets", required=True, type=Path, nargs="+", help="sheet.json of every dataset")
arguments.add_argument("--tables", required=True, type=Path, nargs="+")
arguments.add_argument("--figures", required=True, type=Path, nargs="+")
arguments.add_argument("--animations", type=Path, nargs="*", default=[])
arguments.add_argument("--claims", required=True, type=Path)
arguments.add_argument("--html", required=True, type=Path)
arguments.add_argument("--tex", required=True, type=Path)
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = json.loads(args.spec)

with job("report", args.log):
    tables = [path.with_suffix(suffix) for path in args.tables for suffix in (".tex", ".html")]
    claims = [args.claims.with_suffix(suffix) for suffix in (".csv", ".tex", ".html")]
    inputs = [*args.sheets, *tables, *args.figures, *args.animations, *claims]
    certificate = Certificate(spec, inputs)
    provenance = {"configuration": spec["configuration"], "scale": spec["scale"]}
    document = Document(
        title=spec["title"],
        scale=spec["scale"],
        datasets=[json.loads(path.read_text()) for path in args.sheets],
        tables=args.tables,
        figures=args.figures,
        claims=args.claims,
        animations=args.animations,
        provenance=provenance | {name: version(name) for name in LIBRARIES},
    )
    for path, text in ((args.html, render_html(document)), (args.tex, render_tex(document, args.tex.parent))):
        with replacing(path) as temporary:
            temporary.write_text(text)
    certificate.write(args.certificate, [args.html, args.tex])
