import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic import write_study

from robustlens.analysis.claims_energy import CLAIMS
from robustlens.errors import RobustlensError
from robustlens.report import latex
from robustlens.report.document import Document
from robustlens.report.figure import save
from robustlens.report.figures import energy_samples, energy_weight
from robustlens.report.latex import compile_pdf, render_tex
from robustlens.report.tables import energy_autoattack, energy_claims
from robustlens.report.webpage import render_html

needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
SHEET = {
    "name": "digits",
    "title": "digits",
    "citation": "scikit-learn & friends",
    "classes": list("0123456789"),
    "shape": [1, 8, 8],
    "sizes": {"train": 200, "validation": 150, "test": 1397},
}


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    study = write_study(folder, recipes=("sat", "weat-adv"), seeds=(0, 1), epochs=12, images=40)
    stages = energy_autoattack.build(study.robustness, "embedded")
    claims = energy_claims.build(
        "embedded",
        robustness=study.robustness,
        attack_energies=study.attack_energies,
        history=study.history,
        energies=study.energies,
        scores=study.scores,
    )
    tables = folder / "tables"
    for table in (stages, claims):
        table.write(**{kind: tables / f"{table.name}.{kind}" for kind in ("tex", "csv", "html")})
    drawings = {"samples": energy_samples.build(study.samples[:1], "embedded", "digits")}
    drawings["weight"] = energy_weight.build([p for p in study.energies if "weat" in str(p)], "embedded", "digits")
    for name, drawing in drawings.items():
        save(drawing, folder / "figures" / f"{name}.pdf", folder / "figures" / f"{name}.png")
    return Document(
        title="A report_with 100 % & <specials>",
        scale="embedded",
        datasets=[SHEET],
        tables=[tables / "energy_autoattack.tex"],
        figures=[folder / "figures" / f"{name}.png" for name in drawings],
        claims=tables / "energy_claims.tex",
        provenance={"configuration": "0123456789ab", "torch": "2.13.0+cpu", "path_like": "a_b"},
    )


def test_introduction_says_what_the_data_are_and_counts_the_verdicts(document):
    text = " ".join(document.introduction)
    assert "200 to train, 150 to validate and select checkpoints, 1397 to test" in text
    claims = document.claims.with_suffix(".html").read_text()
    counts = [len(re.findall(f'class="{verdict}"', claims)) for verdict in ("supported", "contradicted", "open")]
    assert sum(counts) == len(CLAIMS)
    assert "leave {} supported, {} contradicted, {} open".format(*counts) in text


@needs_latex
def test_report_compiles_twice_to_the_same_bytes(document, tmp_path):
    tex = tmp_path / "report.tex"
    tex.write_text(render_tex(document, tmp_path))
    for name in ("one.pdf", "two.pdf"):
        compile_pdf(tex, tmp_path / name)
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.pdf", "report.tex", "two.pdf"]


@needs_latex
def test_any_document_is_dated_to_the_epoch(tmp_path):
    tex = tmp_path / "plain.tex"
    tex.write_text("\\documentclass{article}\n\\begin{document}\n\\today\n\\end{document}\n")
    compile_pdf(tex, tmp_path / "plain.pdf")
    assert b"/CreationDate (D:19700101000000" in (tmp_path / "plain.pdf").read_bytes()


@needs_latex
def test_a_latex_error_is_quoted_with_the_log(tmp_path):
    tex = tmp_path / "bad.tex"
    tex.write_text("\\documentclass{article}\n\\begin{document}\n\\nosuchcommand\n\\end{document}\n")
    with pytest.raises(RobustlensError, match=r"Undefined control sequence.*\\nosuchcommand.*bad.log") as error:
        compile_pdf(tex, tmp_path / "bad.pdf")
    assert "no output PDF" in Path(str(error.value).rsplit(": ", 1)[1]).read_text()
    assert not (tmp_path / "bad.pdf").exists()


def test_without_any_latex_the_error_names_the_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(latex.shutil, "which", lambda name: None)
    with pytest.raises(RobustlensError, match="texlive-latex-extra"):
        compile_pdf(tmp_path / "report.tex", tmp_path / "report.pdf")


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"pdflatex", "tectonic"}, ["pdflatex", "pdflatex"]),
        ({"tectonic"}, ["tectonic"]),
        ({"latexmk", "pdflatex", "tectonic"}, ["latexmk"]),
    ],
)
def test_fallbacks(monkeypatch, tmp_path, installed, expected):
    monkeypatch.setattr(latex.shutil, "which", lambda name: name if name in installed else None)
    commands = []

    def run(command, **_):
        commands.append(command[0])
        folder = next(part.rsplit("=", 1)[-1] for part in command if os.path.isdir(part.rsplit("=", 1)[-1]))
        Path(folder, "report.pdf").write_bytes(b"%PDF")
        return subprocess.CompletedProcess(command, 0, stdout="")

    monkeypatch.setattr(latex.subprocess, "run", run)
    compile_pdf(tmp_path / "report.tex", tmp_path / "out.pdf")
    assert commands == expected
    assert (tmp_path / "out.pdf").read_bytes() == b"%PDF"


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.outside = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" else []
        self.outside += [v for k, v in attributes.items() if k in ("src", "href") and not v.startswith(("#", "data:"))]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_one_whole_file(document):
    text = render_html(document)
    page = Page()
    page.feed(text)
    assert page.open == [] and page.outside == [] and "script" not in page.tags
    assert len(set(page.ids)) == len(page.ids)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert page.tags.count("img") == 2
    assert "A report_with 100 % &amp; &lt;specials&gt;" in text
    assert "no evidence about CIFAR-10" in text and "prefers-color-scheme: dark" in text
    assert render_html(document) == text


def test_report_and_analysis_never_import_torch():
    modules = [
        ".".join(path.relative_to(source).with_suffix("").parts)
        for source in [Path(latex.__file__).parents[2]]
        for package in ("report", "analysis")
        for path in sorted((source / "robustlens" / package).rglob("*.py"))
    ]
    code = (
        f"import importlib, sys; [importlib.import_module(m) for m in {modules!r}]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
