import math
from dataclasses import dataclass

from synthetic import context
from tabulated import cells

from robustlens.analysis.claims import Claim, NotMeasured, Outcome
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
    return Outcome(data.estimate, low, high, "points", verdict, "by hand", ("a", "b"))


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
    assert table.caption.startswith("Claims of another paper and what the results on SVHN, digits, stl10 say of them.")
    assert table.name == "other-claims"


def test_a_claim_about_another_dataset_of_the_paper_is_left_out():
    assert [row.label for row in build(cifar10=Data(1.0)).rows] == ["rises"]
    assert [row.label for row in build(svhn=Data(1.0)).rows] == ["rises", "rises-there"]


def test_what_was_not_measured_is_said_in_place_of_a_number():
    row = cells(build(svhn=Data(math.nan)))
    assert row["rises", "rule and measurement"]["text"] == "Above 0. Not measured: the estimate."
    assert (row["rises", "estimate"]["value"], row["rises", "verdict"]["text"]) == ("", "open")
    measured = cells(build(svhn=Data(1.0)))["rises", "rule and measurement"]
    assert measured["text"] == "Above 0. Measured, in points: by hand."
    assert cells(build(svhn=Data(1.0)))["rises", "estimate"]["files"] == "a;b"


def test_notes_of_the_data_are_printed_once():
    table = build(svhn=Data(1.0, ("Same.",)), digits=Data(1.0, ("Same.", "Other.")))
    assert table.notes[1:] == ("Same.", "Other.")


def test_verdict_and_estimate_stand_below_the_claim_in_print():
    latex = build(svhn=Data(1.0)).to_latex()
    assert r"claim, verdict, estimate & statement & rule and measurement \\" in latex
    assert r"rises \newline \textbf{supported} \newline 1.00 [0.50, 1.50] & It rises. (section 1) & Above 0." in latex
    spec = latex.split(r"\begin{xltabular}{\linewidth}{")[1].split("\n")[0]
    assert spec.count("X") == 2 and "l" not in spec.replace("linewidth", "").split("X")[-1]


def test_in_html_they_have_columns_of_their_own():
    html = build(svhn=Data(-1.0)).to_html()
    assert '<td class="contradicted" data-label="verdict">contradicted</td>' in html
    assert '<td class="wide" data-label="statement">It rises. (section 1)</td>' in html
