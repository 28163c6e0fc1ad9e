"""The report's page in a real browser: what a reader can do with it, on a screen, on a phone and on paper."""

import re
import shutil
import subprocess

import pandas as pd
import pytest
from browser import NAME, Browser
from matplotlib.figure import Figure
from PIL import Image

from robustlens.report.cells import Cell, Column, Row
from robustlens.report.chapter import Chapter
from robustlens.report.document import Document
from robustlens.report.figure import Drawing, save
from robustlens.report.ledger import LEDGER_HEADER
from robustlens.report.table import Table
from robustlens.report.webpage import render_html

pytestmark = pytest.mark.skipif(NAME is None, reason="no Chromium is installed")
needs_poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils are not installed")
REFERENCES = "@misc{robustlens,\n  note = {Software}\n}\n\n@article{light,\n  note = {arXiv:1; study light}\n}\n"
BY_NAME = {
    "digits": {"SAT": 54.5, "TRADES": 58.1, "MART": None, "Standard": -0.1},
    "other": {"SAT": 9.5, "TRADES": 100.0, "MART": 9.0, "Standard": 0.0},
}
WIDE = 24  # columns


def narrow() -> Table:
    rows = tuple(
        Row(name, (Cell(value, digits=1, std=0.5, unit="%"), Cell(text=f"{name.lower()} {group}")), group)
        for group, values in BY_NAME.items()
        for name, value in values.items()
    )
    return Table("light-robustness", "SAT is robust. More of it.", "recipe", (Column("PGD-20"), Column("said")), rows)


def wide() -> Table:
    columns = tuple(Column(f"column{i:02d}", f"group {i // 6}") for i in range(WIDE))
    cells = [tuple(Cell(1000 * row + i + 0.25, digits=2, std=0.12) for i in range(WIDE)) for row in range(40)]
    rows = tuple(Row(f"a recipe of a long name, number {row}", each) for row, each in enumerate(cells))
    return Table("light-wide", "All of it.", "recipe", columns, rows)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    """The address of a page with a table of two groups, a very wide one, and a figure that moves."""
    folder = tmp_path_factory.mktemp("page")
    for name, table in (("robustness", narrow()), ("wide", wide())):
        table.write(**{kind: folder / f"{name}.{kind}" for kind in ("tex", "csv", "html")})
    save(Drawing(Figure((6, 3)), "Phases", "The energy falls. In red."), folder / "p.pdf", folder / "p.png")
    frames = [Image.new("L", (600, 300), grey) for grey in (0, 255)]
    frames[0].save(folder / "p.gif", save_all=True, append_images=frames[1:], duration=100)
    pd.DataFrame(columns=["study", *LEDGER_HEADER]).to_csv(folder / "claims.csv", index=False)
    tables = [folder / "robustness.tex", folder / "wide.tex"]
    chapter = Chapter("light", "Light", "the light paper", tables, [folder / "p.png"], [folder / "p.gif"])
    document = Document("A report", "tiny", "Be careful.", [], [chapter], folder / "claims.csv", references=REFERENCES)
    (folder / "report.html").write_text(render_html(document, folder))
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


def shown(browser: Browser, table: str) -> list[str]:
    """The first cells of the rows that can be seen, from top to bottom, and the lines that open their groups."""
    rows = f"[...document.querySelectorAll('#light-{table} tbody tr')].filter(row => row.offsetHeight)"
    return browser.value(f"{rows}.map(row => row.cells[0].textContent)")


def test_a_column_is_sorted_within_its_groups_by_mouse_and_by_keyboard(browser, page):
    browser.open(page)
    header = "#light-robustness thead tr:last-child th:nth-child(2)"
    state = f"document.querySelector('{header}').getAttribute('aria-sort')"
    as_printed = ["digits", *BY_NAME["digits"], "other", *BY_NAME["other"]]
    assert shown(browser, "robustness") == as_printed and browser.value(state) == "none"
    browser.click(f"{header} button")
    downwards = ["digits", "TRADES", "SAT", "Standard", "MART", "other", "TRADES", "SAT", "MART", "Standard"]
    assert shown(browser, "robustness") == downwards and browser.value(state) == "descending"
    browser.press("Enter")  # the button has the focus
    upwards = ["digits", "Standard", "SAT", "TRADES", "MART", "other", "Standard", "MART", "SAT", "TRADES"]
    assert shown(browser, "robustness") == upwards and browser.value(state) == "ascending"
    browser.press(" ")
    assert shown(browser, "robustness") == as_printed and browser.value(state) == "none"
    browser.click("#light-robustness thead tr:last-child th:first-child button")
    assert shown(browser, "robustness")[:5] == ["digits", "TRADES", "Standard", "SAT", "MART"]
    assert browser.value(state) == "none"


def test_a_cell_that_carries_its_number_is_sorted_by_that(browser, page):
    browser.open(page)
    cell = "document.querySelector('#light-robustness tbody tr:nth-child(2) td')"
    assert browser.value(f"{cell}.previousSibling.textContent") == "SAT"
    browser.value(f"{cell}.dataset.value = '1e3'")
    browser.click("#light-robustness thead tr:last-child th:nth-child(2) button")
    assert shown(browser, "robustness")[1] == "SAT"


def test_rows_are_filtered_by_all_words_of_their_own_and_of_their_group(browser, page):
    browser.open(page)
    field = "#light-robustness input[type=search]"
    told = "document.querySelector('#light-robustness output').textContent"
    browser.click(field)
    browser.type("Trades OTHER")
    assert shown(browser, "robustness") == ["other", "TRADES"] and browser.value(told) == "1 of 8 rows"
    browser.type(" nothing")
    assert shown(browser, "robustness") == [] and browser.value(told) == "0 of 8 rows"
    browser.value(f"(f => {{f.value = ''; f.dispatchEvent(new Event('input'))}})(document.querySelector('{field}'))")
    assert len(shown(browser, "robustness")) == 10 and browser.value(told) == ""


def files_of(page: str, name: str) -> dict[str, str]:
    folder = page.removeprefix("file://").rsplit("/", 1)[0]
    return {kind: open(f"{folder}/{name}.{kind}").read() for kind in ("tex", "csv")}


@pytest.mark.parametrize("allowed", [True, False])
def test_a_table_is_copied_as_latex_csv_and_bibtex(browser, page, allowed):
    """To the real clipboard; also where a page may not use it but for the copying of what is selected."""
    browser.open(page)
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    browser.ask("Browser.grantPermissions", permissions=permissions)
    browser.ask("Emulation.setFocusEmulationEnabled", enabled=True)
    if not allowed:
        browser.value("navigator.clipboard.writeText = () => Promise.reject(new Error('refused'))")
    said, copied = {}, {}
    for kind in ("LaTeX", "CSV", "BibTeX"):
        browser.click(f"#light-robustness button[aria-label='Copy Table 1 as {kind}']")
        copied[kind] = browser.value("navigator.clipboard.readText()")
        said[kind] = browser.value("[...document.querySelectorAll('#light-robustness output')].at(-1).textContent")
    assert said == {kind: f"{kind} copied" for kind in said}
    files = files_of(page, "robustness")
    assert copied["LaTeX"] == files["tex"] and r"\begin{table}" in copied["LaTeX"]
    header, first, *_ = copied["CSV"].splitlines()
    assert "files" not in header.split(",") and header.startswith("group,row,column,value,std")
    assert first.startswith("digits,SAT,PGD-20,54.5,0.5") and len(copied["CSV"].splitlines()) == 17
    assert copied["BibTeX"] == REFERENCES.rstrip("\n")


def test_a_figure_is_enlarged_and_escape_leads_back(browser, page):
    browser.open(page, width=400)
    browser.click("#light-p .picture > .enlarge")
    large = "(d => [d.open, d.ariaLabel, d.querySelector('img').alt, d.querySelector('img').offsetWidth])"
    opened = browser.value(f"{large}(document.querySelector('dialog'))")
    assert opened[:3] == [True, "Figure 1", "The energy falls."] and opened[3] > 600
    browser.press("Escape")
    assert browser.value("document.querySelector('dialog').open") is False
    assert browser.value("document.activeElement.ariaLabel") == "Enlarge Figure 1. The energy falls."


@pytest.mark.parametrize("scripts", [True, False])
def test_an_animation_moves_only_when_it_is_asked_to(browser, page, scripts):
    browser.open(page, scripts=scripts)
    seen = (
        "[...document.querySelectorAll('#light-p img')].filter(i => i.checkVisibility({contentVisibilityAuto: true}))"
    )
    kinds = f"{seen}.filter(i => i.getBoundingClientRect().width > 0).map(i => i.src.slice(5, 14))"
    assert browser.value(kinds) == ["image/png"]
    browser.click("#light-p .animation summary")
    assert browser.value(kinds) == ["image/gif"]
    browser.press("Enter")
    assert browser.value(kinds) == ["image/png"]


def test_without_scripts_all_can_be_read_and_there_is_nothing_that_does_not_work(browser, page):
    browser.open(page, scripts=False)
    assert browser.value("document.querySelectorAll('button, input, dialog').length") == 0
    assert shown(browser, "robustness") == ["digits", *BY_NAME["digits"], "other", *BY_NAME["other"]]
    browser.click("#light-robustness .behind > summary")
    browser.click("#light-robustness [data-copy=LaTeX] summary")
    assert (
        browser.value("document.querySelector('#light-robustness pre').innerText")
        == files_of(page, "robustness")["tex"]
    )


def test_a_page_of_a_phone_moves_only_up_and_down(browser, page):
    browser.open(page, width=400)
    assert browser.value("document.documentElement.scrollWidth") <= 400
    free = "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, pre'))"
    assert browser.value(f"{free}.filter(e => e.getBoundingClientRect().right > 401).map(e => e.outerHTML)") == []
    inner = "document.querySelector('#light-wide .scroll')"
    assert browser.value(f"{inner}.scrollWidth > {inner}.clientWidth")


@pytest.mark.parametrize("width", [400, 1280])
def test_labels_of_rows_and_columns_stay_in_sight(browser, page, width):
    browser.open(page, width=width)
    browser.value("document.querySelector('#light-wide').scrollIntoView()")
    browser.value("document.querySelector('#light-wide .scroll').scrollTo(900, 500)")
    at = "(s => (r => [r.left, r.top])(document.querySelector(s).getBoundingClientRect()))"
    left, top = browser.value(f"{at}('#light-wide .scroll')")
    assert abs(browser.value(f"{at}('#light-wide tbody tr:nth-child(20) th')")[0] - left) < 2
    assert abs(browser.value(f"{at}('#light-wide thead')")[1] - top) < 4
    corner_left, corner_top = browser.value(f"{at}('#light-wide thead tr:last-child th')")
    assert abs(corner_left - left) < 2 and corner_top - top < 80


def test_the_page_is_dark_where_the_reader_s_screen_is_and_white_on_paper(browser, page):
    colour = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    browser.open(page, dark=True)
    assert max(browser.value(colour)) < 60
    browser.open(page)
    assert min(browser.value(colour)) > 250


@needs_poppler
def test_print_has_every_column_and_every_row_and_no_controls(browser, page, tmp_path):
    """Also the rows that are filtered away on the screen. No character lies outside of the page."""
    browser.open(page)
    browser.click("#light-robustness input[type=search]")
    browser.type("nothing of this")
    browser.print(tmp_path / "page.pdf")
    command = ["pdftotext", "-bbox", tmp_path / "page.pdf", "-"]
    boxes = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    words = []
    for size, of_page in re.findall(r'<page width="([\d.]+)"[^>]*>(.*?)</page>', boxes, re.DOTALL):
        for right, word in re.findall(r'xMax="([\d.]+)"[^>]*>(.*?)</word>', of_page):
            assert float(right) < float(size) - 20, word
            words.append(word)
    text = "".join(words)
    assert {f"column{i:02d}" for i in range(WIDE)} <= set(words)
    assert {f"{1000 * row + WIDE - 1 + 0.25:.2f}" for row in range(40)} <= set(words)  # of the last column
    assert text.count("TRADES") >= 2 and "SATisrobust." in text and "Madeby" not in text
    assert "Filter" not in text and "Copy" not in text and "begin{table}" not in text and "Playthe" not in text
    sizes = {tuple(sorted(found)) for found in re.findall(r'<page width="([\d.]+)" height="([\d.]+)"', boxes)}
    assert len(sizes) == 1  # all of A4, the wide ones on their side
    assert len(set(re.findall(r'<page width="([\d.]+)"', boxes))) == 2
