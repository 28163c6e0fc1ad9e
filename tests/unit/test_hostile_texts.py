"""Hostile texts stay texts in LaTeX documents and web pages."""

import re
import shutil
import subprocess

import pandas as pd
import pytest
from elements import Elements
from matplotlib.figure import Figure
from tabulated import ledger_of

from robustlens.errors import RobustlensError
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.chapter import Chapter
from robustlens.report.document import TEMPLATES, Document
from robustlens.report.escape import SPECIAL, latex
from robustlens.report.figure import Drawing, save
from robustlens.report.latex import render_tex
from robustlens.report.table import Table
from robustlens.report.webpage import render_html

TEXT = (
    r"\write18{touch pwned} \input{/etc/passwd} \immediate\openout1=pwned ^^5cinput $(touch pwned)$ `touch pwned` "
    "%comment #1 &x {unclosed ~ _ | \" ' ?` !` -- --- << >> ,, '' </textarea><script>alert(1)</script>"
    "<img src=x onerror=alert(1)> {{7*7}} <<7*7>> {% x %} <% x %>"
)
# Every command of LaTeX that plain text may become.
PRINTING = {rf"\{character}" for character in "{}&%$#_"} | {
    *(r"\textbackslash", r"\textasciitilde", r"\textasciicircum", r"\textless", r"\textgreater", r"\textbar"),
    *(r"\textquotedbl", r"\textquotesingle", r"\textasciigrave", r"\textendash", r"\pm", r"\times", r"\leq", r"\geq"),
    *(r"\approx", r"\infty", r"\cdot", r"\mp", r"\neq", r"\equiv", r"\sim", r"\propto", r"\rightarrow", r"\leftarrow"),
    *(
        r"\leftrightarrow",
        r"\Rightarrow",
        r"\in",
        r"\nabla",
        r"\partial",
        r"\sum",
        r"\prod",
        r"\surd",
        r"\ell",
        r"\Vert",
    ),
    *(r"\prime", r"\mathrm", r"\,", r"\textemdash", r"\textquoteleft", r"\textquoteright", r"\textquotedblleft"),
    *(r"\textquotedblright", r"\textellipsis", r"\textbullet", r"\textdagger", r"\textdaggerdbl", r"\texttrademark"),
    r"\texteuro",
    *(
        rf"\{name}"
        for name in ("Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega")
    ),
    *(
        rf"\{name}"
        for name in ("alpha", "beta", "gamma", "delta", "varepsilon", "zeta", "eta", "theta", "iota", "kappa")
    ),
    *(
        rf"\{name}"
        for name in ("lambda", "mu", "nu", "xi", "pi", "rho", "varsigma", "sigma", "tau", "upsilon", "varphi")
    ),
    *(r"\chi", r"\psi", r"\omega"),
}
NO_BREAK = "\u00a0"  # a tie in LaTeX
NO_FONT = "ĦħĸĿŀŉŦŧ\u017f"


def control_sequences(tex: str) -> set[str]:
    return set(re.findall(r"\\(?:[A-Za-z]+|.)", tex, re.DOTALL))


def unescaped(tex: str) -> str:
    """What LaTeX takes for more than a letter, outside formulas."""
    plain = re.sub(r"\\(?:[A-Za-z]+\{\}|.)", "", re.sub(r"(?<!\\)\$[^$]*(?<!\\)\$", "", tex))
    return re.sub(r"[^\\{}$&#^_~%]", "", re.sub(r"\{[\[*]?\}", "", plain))


def test_no_character_becomes_a_command_of_latex():
    latin = {chr(number) for number in [*range(0x20, 0x7F), *range(0xA0, 0x180)]} - {*NO_FONT}
    for character in (latin | {*SPECIAL}) - {NO_BREAK}:
        tex = latex(character)
        assert control_sequences(tex) <= PRINTING and unescaped(tex) == "", tex
    tex = latex(TEXT)
    assert control_sequences(tex) <= PRINTING and unescaped(tex) == ""
    assert latex("[1, 2] [3]") == "{[}1, 2] [3]" and latex("*") == "{*}"  # no argument of a \\
    assert control_sequences(r"\input{x}") - PRINTING and unescaped(r"\_ 5 % $x$ {") == "%{"


@pytest.mark.parametrize("character", [*NO_FONT, "\a", "\x7f", "\x85", "漢", "😀", "ѣ", "\u0301", "\ufeff"])
def test_what_no_font_has_is_refused(character):
    with pytest.raises(RobustlensError, match="LaTeX cannot print"):
        latex(f"a {character}")


def test_accents_may_be_characters_of_their_own():
    assert latex("Cafe\u0301, \u2126") == latex("Caf\u00e9, \u03a9") == "Caf\u00e9, $\\Omega$"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs LaTeX")
def test_latex_prints_every_character_that_is_accepted(tmp_path):
    latin = {chr(number) for number in range(0xA0, 0x180)} - {*NO_FONT}
    texts = "\n\n".join(latex(f"x{character}y") for character in sorted(latin | {*SPECIAL}))
    packages = r"\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\usepackage{textcomp}\usepackage{lmodern}"
    document = rf"\documentclass{{article}}{packages}\begin{{document}}{texts}\end{{document}}"
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    log = (tmp_path / "all.log").read_text(errors="replace")
    assert run.returncode == 0 and "Missing character" not in log, log[-2000:]


@pytest.fixture
def document(tmp_path) -> Document:
    """A report in which every text that users bring is hostile."""
    table = Table(
        "table",
        TEXT,
        TEXT,
        (Column(TEXT, TEXT), Column(TEXT, TEXT)),
        (Row(TEXT, (Cell(text=TEXT), Cell(1.0, unit=TEXT, text=TEXT)), TEXT),),
        (TEXT,),
    )
    claims = ledger_of("mine", {TEXT: "open"}, TEXT, TEXT)
    for name, each in (("table", table), ("claims", claims)):
        each.write(**{kind: tmp_path / f"{name}.{kind}" for kind in ("tex", "csv", "html")})
    pd.read_csv(tmp_path / "claims.csv").assign(study="mine").to_csv(tmp_path / "collected.csv", index=False)
    save(Drawing(Figure((1, 1)), TEXT, TEXT), tmp_path / "figure.pdf", tmp_path / "figure.png")
    sheet = {"name": TEXT, "title": TEXT, "citation": TEXT, "classes": ["0"], "shape": [1, 8, 8]}
    return Document(
        title=TEXT,
        scale="tiny",
        caveat=TEXT,
        datasets=[sheet | {"sizes": {"train": 1, "validation": 1, "test": 1}}],
        chapters=[
            Chapter(
                study="mine",
                title=TEXT,
                paper=TEXT,
                tables=[tmp_path / "table.tex"],
                figures=[tmp_path / "figure.png"],
                animations=[],
                claims=tmp_path / "claims.csv",
            )
        ],
        claims=tmp_path / "collected.csv",
        provenance={TEXT: TEXT},
    )


def test_no_text_becomes_an_element_of_the_page(document):
    text = render_html(document, document.claims.parent)
    script = (TEMPLATES / "report.js").read_text()
    page = Elements(text.replace(script, ""))
    assert text.count("<script>") == 1 and text.count(script) == 1 and "textarea" not in page.elements
    assert {name for name in page.attributes if name.startswith("on")} == set()
    assert page.text.count(TEXT) >= 15 and "49" not in page.text.replace(TEXT, "")
    assert Elements("<p onclick=x><script>").elements == {"p", "script"}


@pytest.mark.skipif(
    not all(map(shutil.which, ("pdflatex", "pdftotext"))), reason="pdflatex or poppler-utils are not installed"
)
def test_latex_prints_every_text_and_runs_none_even_where_it_may_write(document, tmp_path):
    """pdfLaTeX with -shell-escape, which compile_pdf never gives it: a command that got through would run."""
    (tmp_path / "report.tex").write_text(render_tex(document, tmp_path))
    command = ["pdflatex", "-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert not list(tmp_path.rglob("pwned*"))
    text = subprocess.run(
        ["pdftotext", "report.pdf", "-"], cwd=tmp_path, capture_output=True, check=True, text=True
    ).stdout
    assert r"\write18{touch" in text and "<script>alert(1)</script>" in "".join(text.split())
    assert "root:" not in text
