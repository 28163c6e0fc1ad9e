"""The report as LaTeX, and LaTeX as PDF."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from robustlens.atomic import replacing
from robustlens.errors import RobustlensError
from robustlens.report.chapter import Chapter
from robustlens.report.document import Document, environment, without
from robustlens.report.escape import latex
from robustlens.report.figure import title_and_caption

PDFTEX = ("-interaction=nonstopmode", "-halt-on-error", "-file-line-error", "-no-shell-escape")
ERROR = re.compile(r"^(!|.+:\d+: ).*")
PASSES = 3  # the contents, which move what follows them, are right from the third on
NO_DATES = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1"}


def render_tex(document: Document, folder: Path) -> str:
    """The report as a LaTeX file to be written into `folder`: tables by content, figures by relative path."""
    templates = environment(
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    templates.filters["latex"] = latex
    template = templates.get_template("report.tex")
    said = latex(document.caveat)
    chapters = [_chapter(chapter, folder, said) for chapter in document.chapters]
    front = _figure("front", document.picture, folder, said) if document.picture else None
    return template.render(document=document, chapters=chapters, front=front, latex=latex)


def _chapter(chapter: Chapter, folder: Path, caveat: str) -> dict:
    """What the template prints of a study. caveat: as LaTeX."""
    headlines = chapter.headlines
    return {
        "study": chapter.study,
        "heading": chapter.heading,
        "setup": chapter.setup,
        "verdicts": chapter.verdicts,
        "headlines": without(headlines.to_latex(), caveat) if headlines else None,
        "tables": _tables(chapter.tables, caveat),
        "figures": _figures(chapter.study, chapter.figures, folder, caveat),
        "forest": _figure(f"{chapter.study}-forest", chapter.forest, folder, caveat) if chapter.forest else None,
        "each_claim": chapter.each_claim,
        "has_appendix": chapter.has_appendix,
        "further_tables": _tables(chapter.further_tables, caveat),
        "further_figures": _figures(chapter.study, chapter.further_figures, folder, caveat),
        "claims": without(chapter.claims.with_suffix(".tex").read_text(), caveat) if chapter.claims else None,
    }


def _tables(paths: Iterable[Path], caveat: str) -> list[str]:
    return [without(path.with_suffix(".tex").read_text(), caveat) for path in paths]


def _figures(study: str, paths: Iterable[Path], folder: Path, caveat: str) -> list[dict]:
    return [_figure(f"{study}-{path.stem}", path, folder, caveat) for path in paths]


def _figure(label: str, path: Path, folder: Path, caveat: str) -> dict:
    _, caption = title_and_caption(path.with_suffix(".png"))
    relative = Path(os.path.relpath(path.with_suffix(".pdf"), folder)).as_posix()
    return {"path": relative, "caption": without(latex(caption), caveat), "label": label}


def compile_pdf(tex: Path, out: Path) -> None:
    """Typeset `tex` in a temporary folder and put the PDF at `out`; the same input gives the same bytes.

    Takes the first of latexmk, pdflatex and tectonic that is installed. Raises RobustlensError when none is, or when
    LaTeX fails: with its first errors, its log beside `out`.
    """
    tex, out = Path(tex).resolve(), Path(out)
    with tempfile.TemporaryDirectory() as folder:
        output = ""
        for command in _commands(tex, folder):
            run = subprocess.run(
                command,
                cwd=tex.parent,
                env=os.environ | NO_DATES,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
            output = run.stdout
            if run.returncode != 0:
                raise RobustlensError(_failure(tex, out, Path(folder), output))
        with replacing(out) as path:
            shutil.copyfile(Path(folder) / f"{tex.stem}.pdf", path)


def _commands(tex: Path, folder: str) -> list[list[str]]:
    if shutil.which("latexmk") and shutil.which("pdflatex"):
        return [["latexmk", "-norc", "-pdf", *PDFTEX, f"-outdir={folder}", tex.name]]
    if shutil.which("pdflatex"):
        return [["pdflatex", *PDFTEX, f"-output-directory={folder}", tex.name]] * PASSES
    if shutil.which("tectonic"):
        return [["tectonic", "--outdir", folder, tex.name]]
    raise RobustlensError(
        f"{tex}: no LaTeX is installed to typeset it; install the packages latexmk and texlive-latex-extra (Debian, "
        "Ubuntu), or tectonic (conda-forge)"
    )


def _failure(tex: Path, out: Path, folder: Path, output: str) -> str:
    """The message of a failed run; keeps the log beside the PDF that did not come to be."""
    log, made = out.with_suffix(".log"), folder / f"{tex.stem}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(made.read_text(encoding="utf-8", errors="replace") if made.exists() else output)
    lines = log.read_text().splitlines()
    errors = [" ".join(lines[i : i + 2]) for i, line in enumerate(lines) if ERROR.match(line)]
    return f"{tex}: LaTeX failed: {' | '.join(errors[:3]) or 'no error line was found'}; full log: {log}"
