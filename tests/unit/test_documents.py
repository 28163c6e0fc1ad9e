import dataclasses
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from compare_results import MEASURED
from matplotlib.figure import Figure
from PIL import Image
from tabulated import by_claim, ledger_of

from robustlens.errors import RobustlensError
from robustlens.report import latex
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.chapter import Chapter, Fact
from robustlens.report.context import Context
from robustlens.report.document import Document
from robustlens.report.escape import latex as latex_text
from robustlens.report.figure import Drawing, save
from robustlens.report.jobs import Jobs
from robustlens.report.latex import compile_pdf, render_tex
from robustlens.report.ledger import LEDGER_HEADER
from robustlens.report.table import Table
from robustlens.report.webpage import render_html

pytestmark = pytest.mark.slow

needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
HOSTILE = r"100 % of $x$ & <b>_all_</b> {^~} \input{x} #1, \"two\" ]"
SHEET = {
    "name": "digits",
    "title": "scikit-learn digits",
    "citation": "scikit-learn & friends",
    "classes": list("0123456789"),
    "shape": [1, 8, 8],
    "sizes": {"train": 200, "validation": 150, "test": 1397},
}


def accuracy(value, attack, images):
    return Cell(value=value, std=1.0, digits=1, unit="%", n_seeds=3, n_images=images, sources=(f"{attack}.parquet",))


def robustness(study):
    columns = tuple(Column(attack, "Best checkpoint") for attack in ("clean", "PGD-20"))
    values = {"A_1": (90.0, 40.0), "B & C": (80.0, 50.0)}
    rows = tuple(
        Row(label, (accuracy(clean, "clean", 1397), accuracy(attacked, "pgd20", 1397)))
        for label, (clean, attacked) in values.items()
    )
    return Table(f"{study}-robustness", "Accuracy on x < y. More of it.", "recipe", columns, rows)


def write(table, folder, name):
    table.write(**{kind: folder / f"{name}.{kind}" for kind in ("tex", "csv", "html")})
    return folder / f"{name}.tex"


def draw(folder, name, title):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    save(Drawing(figure, title, f"Of {title}."), folder / f"{name}.pdf", folder / f"{name}.png")
    return folder / f"{name}.png"


def collect(file, rows):
    pd.DataFrame(rows, columns=["study", *LEDGER_HEADER]).to_csv(file, index=False)


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """Two studies with a figure and a table of the same names, and one that makes nothing yet."""
    folder = tmp_path_factory.mktemp("report")
    ledgers = {
        "light": {"rises": "supported", "falls_late": "contradicted", "stays": "open", "more": "supported"},
        "dark": {"dims": "open"},
    }
    chapters, collected = [], []
    for study, verdicts in ledgers.items():
        results = folder / "studies" / study
        gif = results / "figures" / "phases-digits.gif"
        tables = [write(robustness(study), results / "tables", "robustness")]
        figures = [draw(results / "figures", "phases-digits", f"Phases, {study} {HOSTILE}")]
        Image.new("1", (2, 2)).save(gif)
        claims = write(ledger_of(study, verdicts), results, "claims")
        title = f"{study.capitalize()}: {HOSTILE}"
        told = Context("robustness", study, "embedded")
        chapters.append(Chapter(study, title, f"the {study} paper", tables, figures, [gif], claims, told))
        collected += [{"study": study, **row} for row in by_claim(ledger_of(study, verdicts)).values()]
    collect(folder / "claims.csv", collected)
    return Document(
        title="A report_with 100 % & <specials>",
        scale="embedded",
        caveat="Embedded scale: no evidence about CIFAR-10.",
        datasets=[SHEET],
        chapters=[*chapters, Chapter("free", "free", "free")],
        claims=folder / "claims.csv",
        provenance={"configuration": "0123456789ab", "torch": "2.13.0+cpu", "path_like": "a_b"},
    )


def test_the_front_says_what_was_run_and_leaves_out_what_is_not_known(document):
    facts = {fact.label: fact.lines for fact in document.facts}
    assert list(facts) == ["Scale", "Data", "Studies"]
    assert facts["Studies"] == [
        "light: main table: 2 recipes with 3 seeds",
        "dark: main table: 2 recipes with 3 seeds",
    ]
    assert "200 to train, 150 to validate and select checkpoints, 1397 to test" in facts["Data"][0]
    jobs = Jobs(1200, 98, 1014, 2722.0, ("EPYC",), ())
    full = dataclasses.replace(document, seeds=(0, 1), arithmetic="portable", jobs=jobs, commit="0123")
    assert [(fact.label, *fact.lines) for fact in full.facts[3:] if not fact.measured] == [
        ("Seeds", "0, 1"),
        ("Runs", "98 classifiers trained; 1,014 evaluations, each of one checkpoint by one attack"),
        ("Arithmetic", "portable"),
    ]
    assert [(fact.label, *fact.lines) for fact in full.facts if fact.measured] == [
        ("Hardware", "EPYC; no GPU"),
        ("Time", "45 min, added up from 1,200 certificates"),
        ("Code", "commit 0123"),
    ]
    told = dataclasses.replace(full, of_studies={"light": jobs, "dark": dataclasses.replace(jobs, seconds=60.0)})
    (time,) = [fact for fact in told.facts if fact.label == "Time"]
    assert time.lines[1] == "by study, shared jobs counted for each: light 45 min, dark 1 min"


def test_the_front_has_a_line_for_each_study_with_its_network_and_threat(document):
    setup = [Fact("Network", ["resnet, width 8"]), Fact("Threat", ["a: near", "b: far", "c: farther"])]
    one, *others = document.chapters
    told = dataclasses.replace(document, chapters=[dataclasses.replace(one, setup=setup), *others])
    (studies,) = [fact for fact in told.facts if fact.label == "Studies"]
    assert studies.lines[0] == "light: resnet, width 8; 3 threats (see its chapter); main table: 2 recipes with 3 seeds"


def test_what_was_measured_of_a_run_stands_in_lines_of_its_own(document, tmp_path):
    """So that two runs can be compared without them."""
    told = dataclasses.replace(document, jobs=Jobs(1, 1, 1, 60.0, ("EPYC",), ()), commit="0123")
    other = dataclasses.replace(document, jobs=Jobs(1, 1, 1, 99.0, ("Xeon",), ("H200",)), commit="4567")
    pages = [html(each) for each in (told, other)]
    prints = [render_tex(each, tmp_path) for each in (told, other)]
    for one, two in (pages, prints):
        assert one != two
        kept = [[line for line in text.splitlines() if not MEASURED.search(line)] for text in (one, two)]
        assert kept[0] == kept[1] and len(kept[0]) == len(one.splitlines()) - 3


def test_the_front_counts_the_verdicts_of_all_studies(document):
    assert document.findings[0] == (
        "Of 5 claims of 2 papers, these results support 2, contradict 1 and leave 2 open (2 of one seed)."
    )


def test_the_claims_of_a_single_study_are_those_of_its_paper(document, tmp_path):
    claims = tmp_path / "claims.csv"
    collect(claims, [{"study": "dark", "id": "dims", "verdict": "open", "why_open": "not measured"}])
    one = dataclasses.replace(document, claims=claims)
    assert one.findings[0] == (
        "Of 1 claim of the dark paper, these results support 0, contradict 0 and leave 1 open (1 not measured)."
    )
    collect(claims, [])
    assert "claims of" not in one.findings[0]


def test_a_chapter_counts_its_own_verdicts_and_names_what_is_contradicted(document):
    light, dark, free = document.chapters
    assert light.verdicts == [
        "Of 4 claims of the light paper, these results support 2, contradict 1 and leave 1 open (1 of one seed).",
        "Contradicted by these results: falls_late.",
    ]
    assert dark.verdicts == [
        "Of 1 claim of the dark paper, these results support 0, contradict 0 and leave 1 open (1 of one seed)."
    ]
    assert free.verdicts == ["No claims are judged in this study."]


def test_claims_judged_on_several_datasets_are_counted_and_named_on_each(tmp_path):
    rows = [{"dataset": name, "id": "falls", "verdict": "contradicted"} for name in ("digits", "CIFAR-10")]
    pd.DataFrame(rows, columns=LEDGER_HEADER).to_csv(tmp_path / "claims.csv", index=False)
    verdicts = Chapter("light", "Light", "the light paper", claims=tmp_path / "claims.csv").verdicts
    assert "Of 2 claims of the light paper, counted once for every dataset" in verdicts[0]
    assert verdicts[1] == "Contradicted by these results: falls (digits), falls (CIFAR-10)."


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
def test_three_runs_of_pdflatex_give_what_latexmk_gives(document, tmp_path, monkeypatch):
    """The pages in the contents are right without latexmk, too, where the contents push all chapters to later pages."""
    tex = tmp_path / "report.tex"
    many = [Chapter(f"study-{number}", f"Title {number}", "free") for number in range(30)]
    tex.write_text(render_tex(dataclasses.replace(document, chapters=[*document.chapters, *many]), tmp_path))
    which, made = shutil.which, []
    for hidden in ((), ("latexmk",)):
        monkeypatch.setattr(latex.shutil, "which", lambda name, hidden=hidden: None if name in hidden else which(name))
        compile_pdf(tex, tmp_path / "report.pdf")
        made.append((tmp_path / "report.pdf").read_bytes())
    assert made[0] == made[1]


def test_print_has_contents_and_a_chapter_per_study_with_its_parts_in_order(document, tmp_path):
    text = render_tex(document, tmp_path)
    parts = [line for line in text.splitlines() if line.startswith((r"\section", r"\subsection", r"\appendix"))]
    light, dark = (rf"\section{{{latex.latex(chapter.heading)}}}" for chapter in document.chapters[:2])
    claims = r"\subsection{Claims, one by one}"
    assert parts == [
        *(light, claims, dark, claims, r"\section{free}", r"\appendix"),
        *(r"\section{Appendix to light}", r"\section{Appendix to dark}", r"\section{Provenance}"),
    ]
    assert text.index(r"\@starttoc{toc}") < text.index(light)
    labels = re.findall(r"\\label\{([^}]*)\}", text)
    assert len(labels) == 2 * (1 + 1 + 1) == len(set(labels))
    assert {"fig:light-phases-digits", "fig:dark-phases-digits", "tab:light-headlines"} <= set(labels)


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
        ({"pdflatex", "tectonic"}, ["pdflatex"] * 3),
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


def html(document):
    return render_html(document, document.claims.parent)


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


def page_of(text):
    page = Page()
    page.feed(text)
    return page


def test_page_is_one_whole_file(document):
    text = html(document)
    page = page_of(text)
    assert page.open == [] and page.tags.count("script") == 1 and page.tags.count("style") == 1
    assert len(set(page.ids)) == len(page.ids)
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= set(page.ids)
    assert page.outside and all((document.claims.parent / unquote(link)).is_file() for link in page.outside)
    assert page.tags.count("img") == 4  # two figures and two animations
    assert "A report_with 100 % &amp; &lt;specials&gt;" in text and "<b>" not in text
    assert "no evidence about CIFAR-10" in text and "prefers-color-scheme: dark" in text
    assert html(document) == text


def test_the_contents_of_the_page_lead_to_the_chapters_and_to_all_that_is_in_them(document):
    links = page_of(html(document).split("</nav>")[0]).links
    parts = ("headlines", "claims", "robustness", "phases-digits")
    chapters = [[study, *(f"{study}-{part}" for part in parts)] for study in ("light", "dark")]
    appendices = [[f"{study}-appendix", f"{study}-ledger"] for study in ("light", "dark")]
    wanted = ["about", *chapters[0], *chapters[1], "free", *appendices[0], *appendices[1], "provenance"]
    assert links == [f"#{anchor}" for anchor in wanted]


def test_the_page_tells_of_each_study_what_came_out_and_at_the_end_how_it_was_judged(document):
    text = html(document)
    text = text[text.index("<main>") :]
    places = [
        text.index(part)
        for study in ("light", "dark")
        for part in (
            f'<section id="{study}">',
            f"of the {study} paper, these results",
            f'id="{study}-headlines"',
            f'<section id="{study}-claims">',
            f'<section id="{study}-tables">',
            f'<section id="{study}-figures">',
        )
    ]
    for study in ("light", "dark"):
        places += [text.index(f'<section id="{study}-appendix">'), text.index(f'id="{study}-ledger"')]
    assert places == sorted(places)
    assert text.index('<section id="provenance">') > places[-1]


@pytest.mark.parametrize("study", ["about", "provenance"])
def test_ids_stay_unique_where_a_study_or_a_table_is_called_as_a_part_of_the_page(document, tmp_path, study):
    tables = [write(robustness(study), tmp_path, name) for name in ("tables", "claims", "same")]
    figures = [draw(tmp_path, "same", "Same")]
    chapters = [Chapter(study, "One", "the one", tables, figures)]
    page = page_of(html(dataclasses.replace(document, chapters=chapters)))
    assert len(set(page.ids)) == len(page.ids)
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= set(page.ids)
    assert {study, f"{study}-2", f"{study}-tables-2", f"{study}-same-2"} <= set(page.ids)


def test_report_analysis_and_the_studies_builders_never_import_torch():
    repository = Path(__file__).parents[2]
    packages = [repository / "src/robustlens/report", repository / "src/robustlens/analysis"]
    packages += [path for kind in ("tables", "figures", "claims") for path in repository.glob(f"studies/*/{kind}")]
    modules = [
        ".".join(path.relative_to(repository).with_suffix("").parts).removeprefix("src.")
        for package in packages
        for path in sorted(package.rglob("*.py"))
    ]
    assert "robustlens.report.chapter" in modules and any(name.startswith("studies.") for name in modules)
    code = (
        f"import importlib, sys; [importlib.import_module(m) for m in {modules!r}]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository)


def test_tables_and_certificates_import_nothing_that_takes_longer_than_they_do():
    """But for the table whose bound is that of linear classifiers, which it fits."""
    root = Path(__file__).parents[2]
    files = [root / "src/robustlens/certification/bounds.py", *root.glob("src/robustlens/report/tables/*.py")]
    files += [file for file in root.glob("studies/*/tables/*.py") if file.stem != "transfer"]
    modules = [".".join(file.relative_to(root).with_suffix("").parts).removeprefix("src.") for file in files]
    assert len(modules) > 30
    imported = f"import importlib, sys; [importlib.import_module(module) for module in {modules}]"
    code = f"{imported}; print(sorted({{'scipy.stats', 'scipy.optimize', 'sklearn'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == "[]\n"


def test_what_to_know_of_the_scale_is_said_on_every_page_and_not_in_every_caption(tmp_path):
    caveat = 'Small scale: "no" evidence & 100 % of nothing.'
    told = Context("t", "light", caveat)
    table = Table("t", told.caption("A table."), "recipe", (Column("clean"),), (Row("SAT", (Cell(1.0, digits=1),)),))
    figure = draw_with(tmp_path, told.caption("A figure."))
    (tmp_path / "claims.csv").write_text(",".join(["study", *LEDGER_HEADER]) + "\n")
    chapter = Chapter("light", "Light", "the light paper", [write(table, tmp_path, "t")], [figure], forest=figure)
    document = Document("A report", "small", caveat, [], [chapter], tmp_path / "claims.csv")
    printed, page = render_tex(document, tmp_path), re.sub("<pre>.*?</pre>", "", html(document), flags=re.DOTALL)
    page_of_table = table.to_html().replace("&quot;", '"').replace("&amp;", "&").replace("\u00a0", " ")
    assert caveat in page_of_table  # it travels alone
    # In a head line, at the beginning and, in print, in the metadata; what is copied from the page travels alone.
    assert printed.count(latex_text(caveat)) == 3 and page.count("Small scale") == 2
    assert "A table." in printed and "A figure." in printed and "A table." in page and "A figure." in page


def test_a_chapter_begins_with_how_its_results_were_made_and_leaves_the_rest_to_the_appendix(document, tmp_path):
    folder = document.chapters[0].tables[0].parent
    table, figure = write(robustness("more"), tmp_path, "more"), draw(tmp_path, "further", "Further")
    setup = [Fact("Paper", ["A & B. arXiv:1."]), Fact("Attacks", ["one: PGD", "two: FGSM"])]
    chapter = dataclasses.replace(
        document.chapters[0], setup=setup, further_tables=[table], further_figures=[figure], animations=[]
    )
    told = dataclasses.replace(document, chapters=[chapter])
    page, printed = html(told), render_tex(told, folder)
    assert '<th scope="row">Paper</th><td class="wide">A &amp; B. arXiv:1.</td>' in page
    assert "one: PGD<br>two: FGSM" in page and r"one: PGD \newline two: FGSM" in printed
    assert r"Paper & A \& B. arXiv:1." in printed
    for text, parts in (
        (page[page.index("<main>") :], ("arXiv:1.", 'id="light-robustness"', 'id="light-appendix"', 'id="light-more"')),
        (page[page.index("<main>") :], ('id="light-appendix"', 'id="light-further"', 'id="provenance"')),
        (printed, ("arXiv:1.", "tab:light-robustness", r"\appendix", "tab:more-robustness", "fig:light-further")),
    ):
        places = [text.index(part) for part in parts]
        assert places == sorted(places), parts


@needs_latex
@pytest.mark.skipif(shutil.which("pdfinfo") is None, reason="poppler-utils are not installed")
def test_the_pdf_is_called_as_the_report(document, tmp_path):
    (tmp_path / "report.tex").write_text(render_tex(dataclasses.replace(document, title="Two & more"), tmp_path))
    compile_pdf(tmp_path / "report.tex", tmp_path / "report.pdf")
    told = subprocess.run(["pdfinfo", tmp_path / "report.pdf"], capture_output=True, check=True, text=True).stdout
    assert re.search("^Title: +Two & more$", told, re.MULTILINE)


def draw_with(folder: Path, caption: str) -> Path:
    save(Drawing(Figure(figsize=(1, 1)), "A figure", caption), folder / "f.pdf", folder / "f.png")
    return folder / "f.png"
