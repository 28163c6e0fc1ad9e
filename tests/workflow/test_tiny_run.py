"""What one complete run of the tiny scale leaves behind."""

import csv
import html
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote

import pyarrow.parquet
import pytest
from browser import NAME, Browser
from flow import ENERGY, RESULTS, THREAT, TINY, command_line, files, sha256
from processes import Child
from snakemake.scheduling.job_scheduler import JobScheduler

TABLES = (
    *("robustness", "differences", "autoattack", "phases", "energies", "attack-energies", "generation"),
    *("subsets", "generation-grid"),
)
FIGURES = (
    *("phases-digits", "plane-digits", "delta-digits", "correlation-digits"),
    *("violins-digits", "attacks-digits", "weight-digits", "subsets-digits"),
    *("samples-digits", "class-distances-digits", "grid-digits-trades"),
)
ANIMATIONS = ("plane-digits",)
NO_ARTEFACTS = ("provenance", "logs", "benchmarks", "state")
WARNING = "Scale tiny: not the protocol of the papers."
LATEX = any(map(shutil.which, ("latexmk", "pdflatex", "tectonic")))
needs_latex = pytest.mark.skipif(not LATEX, reason="no LaTeX engine is installed")
needs_poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils are not installed")


@pytest.fixture
def results(finished) -> Path:
    return finished / RESULTS


def rows(table: Path) -> list[dict[str, str]]:
    with open(table, newline="") as file:
        return list(csv.DictReader(file))


def pdf_text(pdf: Path) -> str:
    """With one space for every gap, so that line breaks don't count."""
    text = subprocess.run(["pdftotext", str(pdf), "-"], capture_output=True, check=True, text=True).stdout
    return " ".join(text.split())


def test_the_first_run_from_nothing_succeeds_and_says_where_the_report_is(first_run):
    _, (code, output) = first_run
    assert code == 0, output
    names = ("report.pdf", "report.html") if LATEX else ("report.html",)
    assert f"\nThe report: {' and '.join(f'{RESULTS}/{name}' for name in names)}\n" in output
    assert "Traceback" not in output


def test_every_promised_file_is_there(results):
    promised = [f"studies/energy/tables/{name}.{suffix}" for name in TABLES for suffix in ("tex", "csv", "html")]
    promised += [f"studies/energy/figures/{name}.{suffix}" for name in FIGURES for suffix in ("pdf", "png")]
    promised += [f"studies/energy/figures/{name}.gif" for name in ANIMATIONS]
    promised += [
        *(f"{place}claims.{suffix}" for place in ("", "studies/energy/") for suffix in ("csv", "tex", "html")),
        *(f"studies/energy/claims.{suffix}" for suffix in ("pdf", "png")),
        "report.html",
        "report.tex",
        *("front.pdf", "front.png"),
        "provenance/configuration.json",
    ]
    promised += ["report.pdf"] if LATEX else []
    missing = [name for name in promised if not (results / name).is_file() or not (results / name).stat().st_size]
    assert missing == []
    assert {path.suffix for path in (results / "studies/energy/tables").iterdir()} == {".tex", ".csv", ".html"}


def test_no_temporary_file_is_left(results):
    assert [name for name in files(results) if ".part" in name.name or name.name.startswith(".")] == []


def test_every_number_of_a_table_names_the_files_it_came_from(finished, results):
    for table in (results / "studies/energy").rglob("*.csv"):
        number = "estimate" if table.stem == "claims" else "value"
        numbers = [row for row in rows(table) if row[number]]
        assert numbers or table.stem == "claims"
        for row in numbers:
            named = row["files"].split(";")
            assert named != [""] and all((finished / name).is_file() for name in named), (table, row)


def test_the_robustness_table_is_what_a_loop_over_the_evaluations_gives(finished, results):
    recipes = {"SAT": "sat", "TRADES": "trades", "WEAT-adv": "weat-adv"}
    further = {"GAIRAT": "gairat", "TRADES + AWP": "trades-awp"}
    attacks = {"clean": "clean", "PGD-20": "pgd20", "AutoAttack": "autoattack"}
    checked = 0
    for row in rows(results / "studies/energy/tables/robustness.csv"):
        group, _, attack = row["column"].partition(": ")
        checkpoint = {"Best checkpoint": "best", "Last checkpoint": "last"}[group]
        if row["row"] in further and attack == "AutoAttack":
            assert row["value"] == row["files"] == ""
            continue
        folder, seeds = f"{RESULTS}/evaluations/digits", (0,) if row["row"] in further else (0, 1)
        recipe, images = (recipes | further)[row["row"]], 20 if attack == "AutoAttack" else 100
        place = f"{THREAT}/{checkpoint}/{attacks[attack]}.{images}.parquet"
        names = [f"{folder}/{recipe}/seed{seed}/{place}" for seed in seeds]
        rates = []
        for name in names:
            right = total = 0
            for image in pyarrow.parquet.read_table(finished / name).to_pylist():
                total += 1
                right += image["prediction_adversarial"] == image["label"]
            assert total == int(row["n_images"]) == images
            rates.append(100 * right / total)
        mean = sum(rates) / len(rates)
        assert float(row["value"]) == pytest.approx(mean, abs=1e-7)
        if len(rates) == 2:
            std = math.sqrt((rates[0] - mean) ** 2 + (rates[1] - mean) ** 2)
            assert float(row["std"]) == pytest.approx(std, abs=1e-7)
        else:
            assert row["std"] == ""
        assert (row["unit"], row["n_seeds"], row["files"]) == ("%", str(len(seeds)), ";".join(names))
        checked += 1
    assert checked == 3 * 2 * 3 + 2 * 2 * 2


def certificates(results: Path) -> dict[Path, dict]:
    paths = [path for path in (results / "provenance").rglob("*.json") if path.name != "configuration.json"]
    return {path: json.loads(path.read_text()) for path in paths}


def test_every_artefact_has_one_certificate_with_its_true_checksum(finished, results):
    certified = [Path(name) for record in certificates(results).values() for name in record["outputs"]]
    artefacts = [RESULTS / name for name in files(results) if name.parts[0] not in NO_ARTEFACTS]
    assert sorted(certified) == sorted(artefacts)
    for path, record in certificates(results).items():
        for name, digest in {**record["inputs"], **record["outputs"]}.items():
            assert sha256(finished / name) == digest, f"{path}: {name}"


def test_every_certificate_has_parameters_code_versions_device_and_time(results):
    for path, record in certificates(results).items():
        assert re.fullmatch("[0-9a-f]{12}", record["parameters"]["code"]), path
        assert record["versions"]["torch"] == version("torch")
        assert record["versions"]["snakemake"] == version("snakemake")
        assert record["device"]["machine"] and record["device"]["processor"]
        assert 0 < record["wall_seconds"] < 600
        assert bool(record["inputs"]) == (path != results / "provenance/data/digits.json"), path
    run = certificates(results)[results / "provenance/runs/digits/trades/seed1.json"]
    assert run["parameters"]["seed"] == 1
    assert run["parameters"]["method"] == {"name": "trades", "parameters": {"beta": 6.0, "natural_again": False}}
    assert run["device"]["threads"] == 1
    for computed in (
        run,
        certificates(results)[results / f"provenance/evaluations/digits/sat/seed0/{THREAT}/best/clean.100.json"],
    ):
        assert computed["devices"] == [{key: fact for key, fact in computed["device"].items() if key != "visible"}]


def test_the_collected_claims_are_those_of_the_only_study(results):
    for suffix in ("html", "tex"):
        assert (results / f"claims.{suffix}").read_bytes() == (results / f"studies/energy/claims.{suffix}").read_bytes()
    own = rows(results / "studies/energy/claims.csv")
    assert rows(results / "claims.csv") == [{"study": "energy", **row} for row in own]


def test_the_saved_configuration_is_complete_and_of_this_scale_alone(results):
    saved = json.loads((results / "provenance/configuration.json").read_text())
    assert saved["scale"] == "tiny" and "scales" not in saved
    assert saved["datasets"]["digits"]["training"]["momentum"] == 0.9  # a default, in neither of the files
    assert saved["studies"]["energy"]["cohorts"]["main"]["recipes"] == ["sat", "trades", "weat-adv"]


@needs_latex
@needs_poppler
def test_the_pdf_has_pages_with_the_warning_every_table_and_every_figure(results):
    pages = subprocess.run(["pdfinfo", results / "report.pdf"], capture_output=True, check=True, text=True).stdout
    assert int(re.search(r"Pages: +(\d+)", pages)[1]) >= 4
    text = pdf_text(results / "report.pdf")
    assert WARNING in text and "100 to train, 50 to validate" in text
    for number in range(1, len(TABLES) + 1):
        assert f"Table {number}: " in text
    for number in range(1, len(FIGURES) + 3):  # two more: of the front, and the claims at a glance
        assert f"Figure {number}: " in text
    assert "??" not in text


class Page(HTMLParser):
    """The addresses that a page asks for."""

    def __init__(self, text: str):
        super().__init__()
        self.asked: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.asked += [value for key, value in attributes if key in ("src", "href", "srcset", "data", "action")]


def test_the_html_is_one_file_that_asks_for_no_other(results):
    text = (results / "report.html").read_text()
    asked = Page(text).asked
    pictures = ("data:image/png;base64,", "data:image/gif;base64,")
    assert sum(address.startswith(pictures[0]) for address in asked) == len(FIGURES) + 2  # front, claims at a glance
    assert sum(address.startswith(pictures[1]) for address in asked) == len(ANIMATIONS)
    # What is behind each part is linked, and nothing of it is asked for before it is followed.
    linked = {address for address in asked if not address.startswith((*pictures, "#"))}
    assert linked == set(re.findall('<a href="([^"#]+)"', text))
    assert all((results / unquote(address)).is_file() for address in linked)
    for part in (*(f"tables/{table}" for table in TABLES), *(f"figures/{figure}" for figure in FIGURES), "claims"):
        assert f"provenance/studies/energy/{part}.json" in linked
    assert "../../studies/energy/tables/phases.py" in linked
    assert "@import" not in text and "url(" not in text


class Cells(HTMLParser):
    """The texts of the cells of a table, row by row."""

    def __init__(self, text: str):
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.rows += [[]] if tag == "tr" else []
        self.inside = tag in ("th", "td")
        if self.inside:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("th", "td")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def pieces(text: str) -> list[str]:
    """What no line break parts."""
    return [piece for piece in re.split(r"[\s\u00ad\u2010-]+", text) if piece]


@pytest.mark.skipif(NAME is None, reason="no Chromium is installed")
@needs_poppler
def test_a_real_browser_prints_every_table_whole_and_every_figure_of_the_html(results, tmp_path):
    """Every cell is there, and no word lies beyond the edge of the paper."""
    printed = tmp_path / "page.pdf"
    with Browser(tmp_path / "profile") as browser:
        browser.open((results / "report.html").as_uri())
        browser.print(printed)
    assert WARNING in pdf_text(printed)
    boxes = subprocess.run(["pdftotext", "-bbox", printed, "-"], capture_output=True, check=True, text=True).stdout
    words = []
    for width, page in re.findall(r'<page width="([\d.]+)"[^>]*>(.*?)</page>', boxes, re.DOTALL):
        for right, word in re.findall(r'xMax="([\d.]+)"[^>]*>(.*?)</word>', page):
            assert float(right) < float(width) - 20, word
            words.append(html.unescape(word))
    seen = {piece for word in words for piece in pieces(word)}
    for table in (*TABLES, "claims"):
        text = (results / f"studies/energy/{'claims' if table == 'claims' else f'tables/{table}'}.html").read_text()
        caption = html.unescape(re.search("<figcaption>(.+?)</figcaption>", text)[1])
        for told in (caption, *(cell for row in Cells(text).rows for cell in row)):
            assert {*pieces(told.removesuffix(WARNING))} <= seen, (table, told)
    images = subprocess.run(["pdfimages", "-list", printed], capture_output=True, check=True, text=True).stdout
    # An animation is not printed; its still is.
    assert len(re.findall(r"^ +\d+ +\d+ image ", images, re.MULTILINE)) == len(FIGURES) + 2


@needs_latex
@needs_poppler
def test_tables_and_figures_have_the_same_numbers_in_both_reports(results):
    page = (results / "report.html").read_text()
    text = pdf_text(results / "report.pdf")
    captions = re.findall(r'<figcaption><span class="number">(Table \d+)</span>: (.*?)</figcaption>', page)
    drawn = r'<span class="number">(Figure \d+)</span>: .*?<figcaption>(.*?)</figcaption>'
    figures = re.findall(drawn, page, re.DOTALL)
    assert len(captions) == len(TABLES) + 1 and len(figures) == len(FIGURES) + 2
    for number, caption in (*captions, *figures):
        beginning = re.match("[A-Za-z0-9 -]*", " ".join(html.unescape(caption).split()[:3]))[0].strip()
        assert f"{number}: {beginning}" in text


@pytest.mark.skipif(NAME is None, reason="no Chromium is installed")
def test_the_report_fits_on_a_phone_and_its_tables_can_be_sorted(results, tmp_path):
    with Browser(tmp_path / "profile") as browser:
        browser.open((results / "report.html").as_uri(), width=400)
        assert browser.value("document.documentElement.scrollWidth") <= 400
        assert browser.value("document.querySelectorAll('#energy-robustness [aria-sort] button').length") > 3


def _run_and_say_when_the_scheduler_is_to_be_woken(folder: Path, *arguments: str) -> None:
    JobScheduler._schedule_reevalutation = lambda *_: print("to be woken again")
    command_line(folder, [*TINY, *arguments])


def test_finished_jobs_leave_no_timers_that_wake_the_scheduler(tree, tmp_path):
    """Snakemake 9.27 has one for each of them until it ends, unless the limit of jobs per second is lifted. That is not
    done to one that was asked for."""
    table = ENERGY / "tables/robustness.tex"
    for limit in ([], ["--max-jobs-per-timespan", "50/1s"]):
        (tree / table).unlink()
        arguments = (tree, "-c2", *limit, f"{table}")
        child = Child(tmp_path / f"{len(limit)}", _run_and_say_when_the_scheduler_is_to_be_woken, *arguments)
        code, output = child.wait()
        assert code == 0 and "Finished jobid" in output and (tree / table).exists(), output
        assert ("to be woken again" in output) == bool(limit)
