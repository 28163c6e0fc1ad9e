"""What the page says of its tables and figures: numbers, texts for those who don't see them, what is behind them."""

import html
import json
import re

import pandas as pd
import pytest
from configured import REPOSITORY
from matplotlib.figure import Figure

from robustlens.report.cells import Cell, Column, Row
from robustlens.report.chapter import Chapter
from robustlens.report.citations import entries_for
from robustlens.report.document import Document
from robustlens.report.figure import Drawing, save
from robustlens.report.latex import render_tex
from robustlens.report.ledger import LEDGER_HEADER
from robustlens.report.origin import origin_of
from robustlens.report.table import Table
from robustlens.report.webpage import render_html

BIB = """@misc{robustlens,
  note = {Software}
}

@article{one,
  note = {arXiv:1; study light}
}

@article{two,
  note = {arXiv:2; study light-and-more}
}

@article{three,
  note = {arXiv:3; PGD}
}
"""


def table(folder, name, caption, columns=1):
    cells = tuple(Cell(float(i), sources=("a.parquet", "b.parquet")) for i in range(columns))
    made = Table(name, caption, "recipe", tuple(Column(f"c{i}") for i in range(columns)), (Row("SAT", cells),))
    folder.mkdir(parents=True, exist_ok=True)
    made.write(**{kind: folder / f"{name}.{kind}" for kind in ("tex", "csv", "html")})
    return folder / f"{name}.tex"


def figure(folder, name, caption):
    folder.mkdir(parents=True, exist_ok=True)
    save(Drawing(Figure((1, 1)), f"Title of {name}", caption), folder / f"{name}.pdf", folder / f"{name}.png")
    return folder / f"{name}.png"


def certify(results, place, builder, inputs):
    certificate = results / "provenance" / f"{place}.json"
    certificate.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "parameters": {"builder": builder, "code": "0123456789ab"},
        "inputs": dict.fromkeys(inputs, "f" * 64),
        "wall_seconds": 12.345,
        "device": {"processor": "a machine"},
    }
    certificate.write_text(json.dumps(facts))
    return certificate


@pytest.fixture
def results(tmp_path):
    """A folder of results with a space in its name."""
    folder = tmp_path / "a b"
    folder.mkdir()
    return folder


def report(results, chapters, references="") -> tuple[str, str]:
    """The page, and the same as LaTeX."""
    pd.DataFrame(columns=["study", *LEDGER_HEADER]).to_csv(results / "claims.csv", index=False)
    document = Document("A report", "tiny", "", [], chapters, results / "claims.csv", references=references)
    return render_html(document, results), render_tex(document, results)


def test_tables_and_figures_are_numbered_as_in_the_pdf_through_all_chapters(results):
    chapters = []
    for study in ("light", "dark"):
        folder = results / "studies" / study
        tables = [table(folder / "tables", name, f"Captioned {study} {name}.") for name in ("a", "b")]
        figures = [figure(folder / "figures", name, f"Captioned {study} {name}.") for name in ("c", "d")]
        forest, claims = figure(folder, "claims", f"Captioned {study} forest."), table(folder, "claims", "Captioned.")
        pd.DataFrame(columns=["study", *LEDGER_HEADER]).to_csv(claims.with_suffix(".csv"), index=False)
        chapters.append(Chapter(study, study, study, tables, figures, claims=claims, forest=forest))
    page, tex = report(results, chapters)
    for kind in ("Table", "Figure"):
        pattern = rf"\\begin{{{kind.lower()}}}.*?\\caption{{(Captioned[ \w]*)"
        # The lists of claims have no number.
        printed = [found for found in re.findall(pattern, tex, re.DOTALL) if found != "Captioned"]
        caption = r"(Captioned[ \w]*)" if kind == "Table" else r".*?<figcaption>(Captioned[ \w]*)"
        shown = re.findall(rf'<span class="number">{kind} (\d+)</span>: {caption}', page, re.DOTALL)
        assert shown == [(str(number), caption) for number, caption in enumerate(printed, 1)]
        assert len(printed) == {"Table": 4, "Figure": 6}[kind]
    contents = page.split("</nav>")[0]
    assert '<span class="number">Table 3</span> A</a>' in contents
    assert '<span class="number">Figure 6</span> Title of d</a>' in contents


def test_a_picture_s_text_is_the_first_sentence_of_its_caption(results):
    said = 'Energy falls by 0.5 nat, as in [1, 2] & "there"'
    chapter = Chapter("light", "Light", "light", figures=[figure(results, "f", f"{said}. And more. And 3.5 more.")])
    page, _ = report(results, [chapter])
    (text,) = re.findall(r'<img [^>]*alt="([^"]*)"', page)
    assert html.unescape(text) == f"{said}."


def test_what_is_behind_a_part_is_told_by_its_certificate_and_linked(results):
    runs = [f"{results}/runs/digits/{recipe}/seed0/history.parquet" for recipe in ("sat", "trades")]
    certificate = certify(
        results, "studies/light/tables/t", "studies.light.tables.t", [*runs, "studies/published.yaml"]
    )
    place = table(results / "studies/light/tables", "t", "All.")
    drawn = figure(results / "studies/light/figures", "f", "Drawn.")
    page, _ = report(results, [Chapter("light", "Light", "light", [place], [drawn])])
    of_table = page[page.index('<figure class="table"') : page.index("</figure>")]
    told = re.sub("<[^>]+>", "", html.unescape(of_table))
    assert "studies/light/tables/t.py (digest of the code: 0123456789ab)" in told
    assert "2 \u00d7 runs/…/history.parquet; studies/published.yaml" in told
    links = re.findall('href="([^"#]+)"', page)
    assert "provenance/studies/light/tables/t.json" in links and "studies/light/tables/t.csv" in links
    assert "studies/light/figures/f.pdf" in links and str(results) not in "".join(links)
    assert certificate.exists() and "12.345" not in page and "a machine" not in page  # what differs from run to run
    assert "studies/light/figures/f.json" not in page  # it has none here


def test_the_script_is_linked_from_a_page_in_a_checkout(tmp_path):
    results = tmp_path / "results/tiny"
    certify(results, "studies/light/tables/t", "robustlens.report.tables.t", [])
    chapter = Chapter("light", "Light", "light", [table(results / "studies/light/tables", "t", "All.")])
    assert "src/robustlens/report/tables/t.py (digest" in report(results, [chapter])[0]
    script = tmp_path / "src/robustlens/report/tables/t.py"
    script.parent.mkdir(parents=True)
    script.touch()
    assert 'href="../../src/robustlens/report/tables/t.py"' in report(results, [chapter])[0]


def test_one_file_of_a_kind_is_named_in_full_and_a_file_without_a_certificate_has_no_origin(results):
    certify(
        results, "studies/light/claims", "studies.light.claims", [f"{results}/runs/digits/sat/seed0/history.parquet"]
    )
    origin = origin_of(results / "studies/light/claims.png")
    assert origin.read == ["runs/digits/sat/seed0/history.parquet"] and origin.script == "studies/light/claims.py"
    assert origin_of(results / "studies/light/other.png") is None


def test_a_page_elsewhere_links_to_the_files_where_they_are(results, tmp_path):
    chapter = Chapter("light", "Light", "light", [table(results / "tables", "t", "All.")])
    pd.DataFrame(columns=["study", *LEDGER_HEADER]).to_csv(results / "claims.csv", index=False)
    document = Document("A report", "tiny", "", [], [chapter], results / "claims.csv")
    assert 'href="../a%20b/tables/t.csv"' in render_html(document, tmp_path / "elsewhere")


def test_what_is_copied_as_csv_has_all_columns_but_the_files(results):
    chapter = Chapter("light", "Light", "light", [table(results, "t", "All.", columns=2)])
    page, _ = report(results, [chapter])
    copied = html.unescape(re.search(r'data-copy="CSV">.*?<pre>(.*?)</pre>', page, re.DOTALL)[1])
    assert "a.parquet" not in copied and "a.parquet;b.parquet" in (results / "t.csv").read_text()
    header, *rows = (line.split(",") for line in copied.splitlines())
    assert [row[header.index("value")] for row in rows] == ["0", "1"] and "files" not in header
    assert set(header) == {*(results / "t.csv").read_text().splitlines()[0].split(",")} - {"files"}


def test_a_study_is_cited_by_its_own_paper_and_this_software(results):
    assert re.findall(r"{(\w+),", entries_for(BIB, "light")) == ["robustlens", "one"]
    assert re.findall(r"{(\w+),", entries_for(BIB, "light-and-more")) == ["robustlens", "two"]
    assert re.findall(r"{(\w+),", entries_for(BIB, "mine")) == ["robustlens"]
    chapter = Chapter("light", "Light", "light", [table(results, "t", "All.")])
    page, _ = report(results, [chapter], BIB)
    assert page.count("arXiv:1; study light") == 1 and 'data-bibtex="light-bibtex"' in page
    assert "data-bibtex" not in report(results, [chapter])[0]


@pytest.mark.parametrize("study", sorted(path.parent.name for path in REPOSITORY.glob("studies/*/study.py")))
def test_every_study_here_has_a_paper_to_cite(study):
    found = entries_for((REPOSITORY / "docs/references.bib").read_text(), study)
    assert found.count("\n@") == 1 and f"study {study}" in found


@pytest.mark.parametrize(("columns", "across", "tied"), [(4, False, True), (9, True, True), (16, True, False)])
def test_wide_tables_are_printed_on_their_side_and_numbers_are_kept_together_where_they_fit(
    results, columns, across, tied
):
    cell = Cell(1.0, digits=2, std=0.25, low=-0.5, high=2.5)  # at least "[-0.50, 2.50]" and the space between: 15
    made = Table("t", "All.", "recipe", tuple(Column("c") for _ in range(columns)), (Row("SAT", (cell,) * columns),))
    made.write(**{kind: results / f"t.{kind}" for kind in ("tex", "csv", "html")})
    page, _ = report(results, [Chapter("light", "Light", "light", [results / "t.tex"])])
    assert ('class="table across"' in page) == across
    text = "1.00 ±\u00a00.25 [\u22120.50,\u00a02.50]</td>"
    assert page.count(text if tied else text.replace("\u00a0", " ")) == columns


def test_tables_of_sentences_are_printed_upright(results):
    columns = (*(Column(f"c{i}") for i in range(9)), Column("said", wide=1.0))
    cells = (*(Cell(text="a-long-word-of-its-own"),) * 9, Cell(text="A sentence."))
    Table("t", "All.", "recipe", columns, (Row("SAT", cells),)).write(
        **{kind: results / f"t.{kind}" for kind in ("tex", "csv", "html")}
    )
    assert 'class="table across"' not in report(results, [Chapter("light", "Light", "light", [results / "t.tex"])])[0]
