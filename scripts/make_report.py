"""Put tables, figures and claims together, one chapter per study: report.html and report.tex."""

import json
from importlib.metadata import version
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.atomic import replacing
from robustlens.console import job, parser
from robustlens.errors import RobustlensError
from robustlens.provenance import LIBRARIES, Certificate
from robustlens.report.chapter import Chapter, Fact, study_of
from robustlens.report.context import Context
from robustlens.report.document import Document
from robustlens.report.figure import save
from robustlens.report.front import picture
from robustlens.report.jobs import commit, jobs_behind, read_certificates
from robustlens.report.latex import render_tex
from robustlens.report.webpage import render_html

arguments = parser(__doc__)
arguments.add_argument("--sheets", type=Path, nargs="*", default=[], help="sheet.json of every dataset")
arguments.add_argument(
    "--tables", type=Path, nargs="*", default=[], help=".tex of every table, .html and .csv beside it"
)
arguments.add_argument("--figures", type=Path, nargs="*", default=[], help=".png of every figure")
arguments.add_argument("--animations", type=Path, nargs="*", default=[], help=".gif of the figures that move")
arguments.add_argument(
    "--claims", type=Path, nargs="*", default=[], help=".csv of every study's, .tex, .html and .png beside"
)
arguments.add_argument("--collected", required=True, type=Path, help="the claims of all studies as one .csv")
arguments.add_argument(
    "--provenance", required=True, type=Path, help="folder of the certificates of all jobs that this rests on"
)
arguments.add_argument("--picture", required=True, type=Path, help=".png to write of the first page, .pdf beside it")
arguments.add_argument("--references", required=True, type=Path, help="the papers, as .bib")
arguments.add_argument("--html", required=True, type=Path)
arguments.add_argument("--tex", required=True, type=Path)
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = args.spec

with job("report", args.log):
    printed = [
        path.with_suffix(suffix) for path in (*args.tables, *args.claims) for suffix in (".tex", ".html", ".csv")
    ]
    forests = [path.with_suffix(".png") for path in args.claims]
    certificate = Certificate(
        spec, [*args.sheets, *printed, *args.figures, *args.animations, *forests, args.collected, args.references]
    )
    of_studies = {kind: {} for kind in ("tables", "figures", "animations", "claims")}
    for kind, by_study in of_studies.items():
        for path in getattr(args, kind):
            study = study_of(path)
            if study not in spec["studies"]:
                raise RobustlensError(
                    f"{path}: of the study {study!r}, which is not one of {', '.join(spec['studies'])}"
                )
            by_study.setdefault(study, []).append(path)

    def parts(kind: str, study: str, appendix: bool) -> list[Path]:
        """The files of the tables or figures of a study in its chapter, or in the appendix."""
        there = spec["studies"][study]["appendix"][kind]
        return [path for path in of_studies[kind].get(study, []) if (path.stem in there) == appendix]

    chapters = [
        Chapter(
            study=study,
            title=facts["title"],
            paper=facts["paper"],
            tables=parts("tables", study, appendix=False),
            figures=parts("figures", study, appendix=False),
            animations=of_studies["animations"].get(study, []),
            claims=next(iter(of_studies["claims"].get(study, [])), None),
            forest=next((path.with_suffix(".png") for path in of_studies["claims"].get(study, [])), None),
            robustness=Context.from_json(facts["robustness"]) if facts["robustness"] else None,
            setup=[Fact(*entry) for entry in facts["setup"]],
            further_tables=parts("tables", study, appendix=True),
            further_figures=parts("figures", study, appendix=True),
        )
        for study, facts in spec["studies"].items()
    ]
    certificates = read_certificates(args.provenance)

    def files_of(study: str) -> list[Path]:
        return [path for by_study in of_studies.values() for path in by_study.get(study, [])]

    cited = zip(spec["datasets"], args.sheets, strict=True)
    provenance = {"configuration": spec["configuration"], "scale": spec["scale"]}
    save(picture(chapters), args.picture.with_suffix(".pdf"), args.picture)
    document = Document(
        title=spec["title"],
        scale=spec["scale"],
        caveat=spec["caveat"],
        datasets=[json.loads(path.read_text()) | facts for facts, path in cited],
        chapters=chapters,
        claims=args.collected,
        provenance=provenance | {name: version(name) for name in LIBRARIES},
        seeds=tuple(spec["seeds"]),
        arithmetic=spec["arithmetic"],
        jobs=jobs_behind(certificate.inputs, certificates),
        of_studies={study: jobs_behind(files_of(study), certificates) for study in spec["studies"]},
        commit=commit(Path(__file__).resolve().parents[1]),
        picture=args.picture,
        references=args.references.read_text(),
    )
    for path, text in (
        (args.html, render_html(document, args.html.parent)),
        (args.tex, render_tex(document, args.tex.parent)),
    ):
        with replacing(path) as temporary:
            temporary.write_text(text)
    certificate.write(args.certificate, [args.html, args.tex, args.picture, args.picture.with_suffix(".pdf")])
