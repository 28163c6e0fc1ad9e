import csv
import io
import math
from dataclasses import dataclass

import pytest
from synthetic import context

from robustlens.analysis.claims import Claim, NotMeasured, Outcome
from robustlens.errors import RobustlensError
from robustlens.report.chapter import count
from robustlens.report.ledger import LEDGER_HEADER, one_line_each, read_ledger
from robustlens.report.tables import claims


@dataclass(frozen=True)
class Data:
    estimate: float
    notes: tuple[str, ...] = ()


def rule(data):
    if math.isnan(data.estimate):
        raise NotMeasured("the estimate")
    low, high = data.estimate - 0.5, data.estimate + 0.5
    verdict = "supported" if low > 0 else "contradicted" if high < 0 else "open"
    why = "underpowered" if verdict == "open" else ""
    return Outcome(data.estimate, low, high, "points", verdict, "by hand", ("a", "b"), why)


CLAIMS = [
    Claim("rises", "It rises.", "section 1", "Above 0.", rule),
    Claim("rises-there", "It rises there.", "section 2", "Above 0.", rule, datasets=("svhn",)),
]


def build(**data):
    told = context("claims", study="other", paper="another paper", datasets={"svhn": "SVHN"})
    return claims.build(told, CLAIMS, ("svhn", "cifar10"), data)


def test_a_verdict_follows_from_the_data_of_its_dataset():
    table = build(svhn=Data(1.0), digits=Data(-1.0), stl10=Data(0.25))
    found = [(row.group, row.label, str(row.cells[1])) for row in table.rows]
    assert found == [
        (group, name, verdict)
        for group, verdict in (("SVHN", "supported"), ("digits", "contradicted"), ("stl10", "open"))
        for name in ("rises", "rises-there")
    ]
    assert table.caption.startswith(
        "Claims of another paper and what the results on SVHN, digits and stl10 say of them."
    )
    assert table.name == "other-claims"


def test_a_claim_about_another_dataset_of_the_paper_is_left_out():
    assert [row.label for row in build(cifar10=Data(1.0)).rows] == ["rises"]
    assert [row.label for row in build(svhn=Data(1.0)).rows] == ["rises", "rises-there"]


def rows(table):
    return list(csv.DictReader(io.StringIO(table.to_csv())))


def test_what_was_not_measured_is_said_in_place_of_a_number():
    table = build(svhn=Data(math.nan))
    (row, _) = rows(table)
    assert str(table.rows[0].cells[3]) == "Above 0. Not measured: the estimate."
    assert (row["rule"], row["measurement"]) == ("Above 0.", "Not measured: the estimate.")
    assert (row["verdict"], row["why_open"], row["estimate"], row["times_n"]) == ("open", "not measured", "", "")


def test_the_csv_has_one_row_per_claim():
    assert rows(build(svhn=Data(1.0), cifar10=Data(-1.0)))[:2] == [
        {
            **{"dataset": "SVHN", "id": name, "statement": statement, "source": source, "about": "paper"},
            **{
                "verdict": "supported",
                "why_open": "",
                "estimate": "1",
                "low": "0.5",
                "high": "1.5",
                "bound": "0",
                "unit": "points",
                "times_n": "",
            },
            **{"rule": "Above 0.", "measurement": "Measured, in points: by hand.", "files": "a;b"},
        }
        for name, statement, source in (
            ("rises", "It rises.", "section 1"),
            ("rises-there", "It rises there.", "section 2"),
        )
    ]
    assert [row["dataset"] for row in rows(build(svhn=Data(1.0)))] == ["", ""]


def test_a_ledger_of_other_columns_is_refused(tmp_path):
    file = tmp_path / "claims.csv"
    file.write_text("group,row,column,text\n")
    with pytest.raises(RobustlensError, match=r"claims\.csv: not the columns of a ledger; delete it"):
        read_ledger(file)


def test_notes_of_the_data_are_printed_once():
    table = build(svhn=Data(1.0, ("Same.",)), digits=Data(1.0, ("Same.", "Other.")))
    assert table.notes[1:] == ("Same.", "Other.")


def test_print_has_a_paragraph_per_claim_below_the_name_of_its_dataset():
    latex = build(svhn=Data(1.0), digits=Data(math.nan)).to_latex()
    said = r"\textbf{rises}: It rises. (section 1): \textbf{supported}, 1.00 [0.50, 1.50] points. Above 0. Measured"
    assert said in latex and latex.index(r"\textit{SVHN}") < latex.index(said) < latex.index(r"\textit{digits}")
    assert r"\textbf{open}. Above 0. " in latex and latex.count(r"\textit{") == 2
    assert "A claim says that a number is above a bound" in latex


def test_one_line_per_claim_has_estimate_bound_verdict_and_why_it_is_open(tmp_path):
    build(svhn=Data(1.0), digits=Data(0.25)).write(*(tmp_path / f"claims.{kind}" for kind in ("tex", "csv", "html")))
    table = one_line_each(read_ledger(tmp_path / "claims.csv"), "each", "Each.")
    assert [(row.group, row.label, *map(str, row.cells)) for row in table.rows[::2]] == [
        ("SVHN", "rises", "It rises.", "1.00 [0.50, 1.50] points", "0", "supported"),
        ("digits", "rises", "It rises.", "0.25 [\u22120.25, 0.75] points", "0", "open (underpowered)"),
    ]
    assert table.rows[1].label == "rises there" and table.rows[2].cells[3].verdict == "open"


def test_a_claim_that_only_checks_the_code_says_so_in_its_line_and_does_not_count():
    rows = [
        dict.fromkeys(LEDGER_HEADER, "") | {"id": name, "verdict": "supported", "about": about, "bound": "0"}
        for name, about in (("rises", "paper"), ("proven", "code"), ("proven", "code"))
    ]
    table = one_line_each(rows, "each", "Each.")
    assert [str(row.cells[3]) for row in table.rows] == ["supported", *["supported (checks the code)"] * 2]
    assert count(rows, "the paper") == (
        "Of 1 claim of the paper, these results support 1, contradict 0 and leave 0 open. Not counted, because it is "
        "proven and only checks the code: proven (2 supported)."
    )


def test_in_html_they_have_columns_of_their_own():
    html = build(svhn=Data(-1.0)).to_html()
    assert '<td class="contradicted" data-label="verdict">contradicted</td>' in html
    assert '<td class="wide" data-label="statement">It rises. (section 1)</td>' in html
