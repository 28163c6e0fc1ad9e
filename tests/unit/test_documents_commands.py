"""The commands that the report's rules run: collect_claims.py and make_report.py."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from tabulated import ledger_of

from robustlens.data.prepared import checksum
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.figure import Drawing, save
from robustlens.report.ledger import LEDGER_HEADER
from robustlens.report.table import Table

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parents[2] / "scripts"
FORMATS = ("tex", "csv", "html")


def run(folder, script, *options):
    command = [sys.executable, SCRIPTS / f"{script}.py", *map(str, options)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def write_claims(folder, study, verdicts):
    place = folder / "results/tiny/studies" / study
    table = ledger_of(study, verdicts)
    table.write(**{kind: place / f"claims.{kind}" for kind in FORMATS})
    save(Drawing(Figure(figsize=(1, 1)), "Claims at a glance", "Seen."), place / "claims.pdf", place / "claims.png")


def collect(folder, *studies):
    options = ["--spec", "{}", "--log", "log", "--certificate", "results/tiny/provenance/claims.json"]
    for kind in FORMATS:
        files = [f"results/tiny/studies/{study}/claims.{kind}" for study in studies]
        options += [f"--studies_{kind}", *files, f"--{kind}", f"results/tiny/claims.{kind}"]
    done = run(folder, "collect_claims", *options)
    assert done.returncode == 0, done.stderr
    return {kind: (folder / f"results/tiny/claims.{kind}").read_text() for kind in FORMATS}


def test_claims_of_several_studies_are_collected_under_one_header_and_their_names(tmp_path):
    write_claims(tmp_path, "light-2", {"rises": "open"})
    write_claims(tmp_path, "dark", {"falls": "supported", "stays": "contradicted"})
    found = collect(tmp_path, "light-2", "dark")
    rows = list(csv.DictReader(found["csv"].splitlines()))
    assert [(row["study"], row["id"], row["verdict"]) for row in rows] == [
        ("light-2", "rises", "open"),
        ("dark", "falls", "supported"),
        ("dark", "stays", "contradicted"),
    ]
    assert found["csv"].startswith("study,dataset,id,") and found["csv"].count("study,") == 1
    for kind, heading in (("tex", r"\subsection*{{{}}}"), ("html", "<h2>{}</h2>")):
        parts = [
            part
            for study in ("light-2", "dark")
            for part in (heading.format(study), (tmp_path / f"results/tiny/studies/{study}/claims.{kind}").read_text())
        ]
        assert found[kind] == "{}\n{}{}\n{}".format(*parts)
    certificate = json.loads((tmp_path / "results/tiny/provenance/claims.json").read_text())
    assert len(certificate["inputs"]) == 6 and len(certificate["outputs"]) == 3


def test_the_claims_of_a_single_study_need_no_heading(tmp_path):
    write_claims(tmp_path, "light", {"rises": "open"})
    found = collect(tmp_path, "light")
    for kind in ("tex", "html"):
        assert found[kind] == (tmp_path / f"results/tiny/studies/light/claims.{kind}").read_text()


def test_without_claims_there_is_a_header_and_nothing_else(tmp_path):
    assert collect(tmp_path) == {"tex": "", "csv": ",".join(["study", *LEDGER_HEADER]) + "\n", "html": ""}


@pytest.fixture
def results(tmp_path):
    """A study with a table and claims, and one with a table alone."""
    write_claims(tmp_path, "light", {"rises": "supported"})
    for study in ("light", "dark"):
        table = Table("x", f"Numbers of {study}.", "recipe", (Column("value"),), (Row("SAT", (Cell(value=1.0),)),))
        table.write(**{kind: tmp_path / f"results/tiny/studies/{study}/tables/numbers.{kind}" for kind in FORMATS})
    collect(tmp_path, "light")
    return tmp_path


def make_report(folder, studies, *more):
    told = {"robustness": None, "setup": [["Paper", ["By hand."]]], "appendix": {"tables": ["later"], "figures": []}}
    facts = {study: {"title": f"Title of {study}", "paper": f"the {study} paper", **told} for study in studies}
    spec = {
        "title": "robustlens",
        "scale": "tiny",
        "configuration": "0123",
        "datasets": [],
        "studies": facts,
        "caveat": "",
        "seeds": [0],
        "arithmetic": "native",
    }
    options = ["--spec", json.dumps(spec), "--log", "log", "--collected", "results/tiny/claims.csv"]
    (folder / "references.bib").write_text("@misc{robustlens,\n  note = {Software}\n}\n")
    options += ["--references", "references.bib"]
    options += ["--html", "results/tiny/report.html", "--tex", "results/tiny/report.tex"]
    options += ["--provenance", "results/tiny/provenance", "--picture", "results/tiny/front.png"]
    return run(folder, "make_report", *options, "--certificate", "results/tiny/provenance/report.json", *more)


def test_files_go_to_the_chapter_of_their_study_in_the_order_of_the_specification(results):
    tables = [f"results/tiny/studies/{study}/tables/numbers.tex" for study in ("light", "dark")]
    claims = ["--claims", "results/tiny/studies/light/claims.csv"]
    done = make_report(
        results, ["dark", "light"], "--tables", *tables, *claims, "--figures", "--animations", "--sheets"
    )
    assert done.returncode == 0, done.stderr
    page, printed = ((results / f"results/tiny/report.{kind}").read_text() for kind in ("html", "tex"))
    expected = ["Title of dark", "No claims are judged", "Numbers of dark", "Title of light", "Of 1 claim of the light"]
    expected += ["Numbers of light", "Claims of light", "certificate of each file"]
    copied = re.compile("<pre>.*?</pre>", re.DOTALL)
    for text in (copied.sub("", page[page.index("<main>") :]), printed):
        places = [text.rindex(part) for part in expected]
        assert places == sorted(places)
    certified = json.loads((results / "results/tiny/provenance/report.json").read_text())["inputs"]
    beside = {str(Path(file).with_suffix(f".{kind}")) for file in (*tables, claims[1]) for kind in FORMATS}
    glance = "results/tiny/studies/light/claims.png"
    assert set(certified) == {*beside, glance, "results/tiny/claims.csv", "references.bib"}
    assert page.count("Claims at a glance") == 2 and "studies/light/claims.pdf" in printed  # in the contents, and above
    assert "note = {Software}" in page


def test_the_front_tells_of_the_jobs_behind_the_report_and_has_its_figure(results):
    """One training, one evaluation of it, the claims and their collection: as their certificates say; another
    evaluation is not behind them."""
    claims, evaluated = "results/tiny/studies/light/claims.csv", "results/tiny/evaluations/d/sat/seed0/near/brief.json"
    attacks = [{"name": "clean", "samples": None, "best_only": False}]
    suite = {"inputs": {"run": ""}, "parameters": {"attacks": attacks, "checkpoints": [["best", "best"]]}}
    made = {"parameters": {"builder": "studies.light.claims", "code": "0123"}}
    evaluations = "evaluations/d/sat/seed0/near"
    for place, more in (
        ("studies/light/claims", {"outputs": {claims: checksum(results / claims)}, "inputs": {evaluated: ""}, **made}),
        (f"{evaluations}/brief", {"outputs": {evaluated: ""}, **suite}),
        (f"{evaluations}/other", {"outputs": {"other": ""}, **suite}),
        ("runs/d/sat/seed0", {"outputs": {"run": ""}, "device": {"processor": "EPYC", "accelerator": None}}),
    ):
        file = results / f"results/tiny/provenance/{place}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"wall_seconds": 60, **more}))
    assert make_report(results, ["light"], "--claims", claims).returncode == 0
    page = (results / "results/tiny/report.html").read_text()
    assert (
        "1 classifier trained; 1 evaluation, " in page
        and "EPYC; no GPU" in page
        and "3 min, added up from 4 certificates" in page
    )
    assert (results / "results/tiny/front.png").exists() and (results / "results/tiny/front.pdf").exists()


def test_tables_of_the_appendix_follow_all_chapters(results):
    table = Table("x", "Later numbers.", "recipe", (Column("value"),), (Row("SAT", (Cell(value=1.0),)),))
    table.write(**{kind: results / f"results/tiny/studies/dark/tables/later.{kind}" for kind in FORMATS})
    names = [f"results/tiny/studies/dark/tables/{name}.tex" for name in ("later", "numbers")]
    assert make_report(results, ["dark", "light"], "--tables", *names).returncode == 0
    text = (results / "results/tiny/report.tex").read_text()
    places = [text.index(part) for part in ("Numbers of dark", "Title of light", r"\appendix", "Later numbers")]
    assert places == sorted(places)


def test_a_file_of_a_study_that_the_report_does_not_know_is_an_error(results):
    done = make_report(results, ["light"], "--tables", "results/tiny/studies/dark/tables/numbers.tex")
    assert done.returncode == 1
    assert "dark/tables/numbers.tex: of the study 'dark', which is not one of light" in done.stderr


def test_a_file_outside_the_folders_of_the_studies_is_an_error(results):
    for path in (results / "results/tiny/studies/dark/tables").iterdir():
        path.rename(results / "results" / path.name)
    done = make_report(results, ["light"], "--tables", "results/numbers.tex")
    assert done.returncode == 1
    assert "results/numbers.tex: not a study's result" in done.stderr


def test_a_table_that_was_altered_is_not_printed(results):
    table = results / "results/tiny/studies/light/claims.csv"
    table.write_text(table.read_text().replace("supported", "open"))
    certificate = results / "results/tiny/provenance/studies/light/claims.json"
    certificate.parent.mkdir(parents=True)
    certificate.write_text(json.dumps({"outputs": {"results/tiny/studies/light/claims.csv": "0" * 64}}))
    done = make_report(results, ["light"], "--claims", "results/tiny/studies/light/claims.csv")
    assert done.returncode == 1
    assert "light/claims.csv: not the file that was made" in done.stderr
