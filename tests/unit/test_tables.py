import csv
import io
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from synthetic import write_study

from robustlens.errors import RobustlensError
from robustlens.report.cells import Cell, Column, Row, number
from robustlens.report.escape import latex
from robustlens.report.published import Published, PublishedNumbers
from robustlens.report.table import Table
from robustlens.report.tables import (
    energy_attack_energies,
    energy_autoattack,
    energy_claims,
    energy_energies,
    energy_generation,
    energy_robustness,
)

PUBLISHED = Path(__file__).parents[2] / "published" / "energy.yaml"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    recipes = ("standard", "sat", "trades")
    return write_study(tmp_path_factory.mktemp("study"), recipes=recipes, epochs=12, images=40)


def cells(table):
    """(row, column) -> the row of the CSV."""
    return {(row["row"], row["column"]): row for row in csv.DictReader(io.StringIO(table.to_csv()))}


def small_table():
    paper = Published(49.03, "Some paper, table 2", "third-party summary", "steps unknown")
    return Table(
        "small",
        "Accuracy_in % & more",
        "recipe",
        (Column("clean", "Best"), Column("AA", "Best"), Column("ΔE(x)")),
        (
            Row(
                "A_1",
                (
                    Cell(83.104, 1, std=0.42, sources=("a", "b"), unit="%"),
                    Cell(49.96, 1, published=paper),
                    Cell(-0.04, 1),
                ),
            ),
            Row("B", (Cell(None, 1), Cell(math.nan, 1), Cell(1.26, 1, low=1.1, high=1.4)), "group <2>"),
        ),
        ("Note: 5 < 6.",),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & 50 % #1 $x$ {y}", r"a\_b \& 50 \% \#1 \$x\$ \{y\}"),
        ("~ ^ \\", r"\textasciitilde{} \textasciicircum{} \textbackslash{}"),
        ("--config scale=x", r"-{}-config scale=x"),
        ("−3 ± 1 – 5 × 2", r"$-$3 $\pm$ 1 \textendash{} 5 $\times$ 2"),  # noqa: RUF001
        ("mean ΔE(x*, y) < 0", r"mean $\Delta E(x^*, y)$ \textless{} 0"),
        ("\\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("Fréchet", "Fréchet"),
    ],
)
def test_escape(text, expected):
    assert latex(text) == expected


@pytest.mark.parametrize("text", ["模型", "zero\u200bwidth", "bell\a", "“quoted”"])
def test_escape_refuses_what_latex_cannot_print(text):
    with pytest.raises(RobustlensError, match="LaTeX cannot print"):
        latex(text)


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(-1.25, 1, "\u22121.2"), (-0.04, 1, "0.0"), (2, 0, "2"), (math.inf, 1, "∞"), (12.3456, 3, "12.346")],
)
def test_number(value, digits, expected):
    assert number(value, digits) == expected


def test_latex_of_a_table():
    text = small_table().to_latex()
    assert r"\caption{Accuracy\_in \% \& more}\label{tab:small}" in text
    assert r"\begin{tabular}{lrrrr}" in text
    assert r" & \multicolumn{3}{c}{Best} & \multicolumn{1}{c}{} \\" in text
    assert r"\cmidrule(lr){2-4}" in text
    assert r"recipe & clean & AA & published & $\Delta E(x)$ \\" in text
    assert r"A\_1 & 83.1 $\pm$ 0.4 & 50.0 & 49.0 (a) & 0.0 \\" in text
    assert r"\multicolumn{5}{l}{\itshape group \textless{}2\textgreater{}} \\*" in text
    assert r"B & \textendash{} & \textendash{} & \textendash{} & 1.3 [1.1, 1.4] \\" in text
    assert "third-party summary; steps unknown" in text


def test_csv_of_a_table_has_a_row_a_cell_and_empty_fields_for_what_is_missing():
    rows = cells(small_table())
    assert len(rows) == 6
    first = rows["A_1", "Best: clean"]
    assert (first["value"], first["std"], first["unit"], first["files"]) == ("83.104", "0.42", "%", "a;b")
    assert (rows["A_1", "Best: AA"]["published"], first["published"]) == ("49.03", "")
    assert rows["A_1", "Best: AA"]["published_source"] == "Some paper, table 2 (third-party summary)"
    assert rows["B", "Best: clean"]["value"] == rows["B", "Best: AA"]["value"] == ""
    assert (rows["B", "ΔE(x)"]["low"], rows["B", "ΔE(x)"]["high"]) == ("1.1", "1.4")


def test_html_of_a_table():
    text = small_table().to_html()
    assert "<figcaption>Accuracy_in % &amp; more</figcaption>" in text
    assert ">83.1 ± 0.4</td>" in text and "group &lt;2&gt;" in text and "<li>Note: 5 &lt; 6.</li>" in text
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    assert [len(re.findall("<t[hd]", row)) for row in rows] == [5, 5, 5]


def test_a_row_of_another_length_is_an_error():
    with pytest.raises(ValueError, match="1 cells, 2 columns"):
        Table("t", "", "", (Column("a"), Column("b")), (Row("r", (Cell(1.0, 1),)),))


def test_write_gives_the_same_bytes_and_leaves_no_other_file(tmp_path):
    for folder in ("one", "two"):
        place = tmp_path / folder
        small_table().write(tex=place / "t.tex", csv=place / "t.csv", html=place / "t.html")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["t.csv", "t.html", "t.tex"]
    for name in ("t.csv", "t.html", "t.tex"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_published_numbers_are_those_of_the_sheet():
    numbers = PublishedNumbers(PUBLISHED)
    assert numbers.find("cifar10", "resnet18", "weat-adv", "autoattack").value == 49.75
    assert numbers.find("cifar100", "resnet18", "sat", "pgd").value == 23.89
    assert numbers.find("tiny-imagenet-200", "resnet18", "mart", "autoattack").value == 17.79
    assert numbers.find("cifar10", "any", "sada-jem", "fid").value == 9.41
    assert numbers.find("cifar10", "resnet18", "sat", "clean") is None  # known to nobody we could read
    assert numbers.find("digits", "resnet18", "sat", "autoattack") is None
    assert all(published.trust and published.source for published in numbers.numbers.values())


def test_a_published_number_given_twice_is_an_error(tmp_path):
    block = "{source: s, trust: t, dataset: d, architecture: a, metrics: [m], values: {r: [1.0]}}"
    (tmp_path / "p.yaml").write_text(f"blocks:\n- {block}\n- {block}\n")
    with pytest.raises(RobustlensError, match="twice"):
        PublishedNumbers(tmp_path / "p.yaml")


def rate(path, checkpoint, attack):
    frame = pd.read_parquet(path)
    rows = [r for r in frame.itertuples() if r.checkpoint == checkpoint and r.attack == attack]
    return 100 * sum(r.prediction_adversarial == r.label for r in rows) / len(rows)


def test_robustness_is_the_mean_over_seeds_of_each_file(study):
    table = energy_robustness.build(study.robustness, "embedded", PUBLISHED, {"digits": "resnet18"})
    assert [row.label for row in table.rows] == ["Standard", "SAT", "TRADES"]
    sat = study.robustness[3:6]
    rates = [rate(path, "last", "autoattack") for path in sat]
    mean = sum(rates) / 3
    cell = cells(table)["SAT", "Last checkpoint: AutoAttack"]
    assert float(cell["value"]) == pytest.approx(mean)
    assert float(cell["std"]) == pytest.approx(math.sqrt(sum((r - mean) ** 2 for r in rates) / 2))
    assert (cell["n_seeds"], cell["n_images"], cell["unit"]) == ("3", "20", "%")
    assert cell["files"].split(";") == [path.as_posix() for path in sat]
    assert "published" not in table.to_latex().lower()
    assert "20 test images" in table.to_latex() and "no evidence about CIFAR-10" in table.caption


def test_published_columns_appear_for_a_dataset_with_published_numbers(tmp_path):
    study = write_study(tmp_path, "cifar10", ("standard", "sat", "weat-nat"), (0,), epochs=12, images=40)
    table = energy_robustness.build(study.robustness, "paper", PUBLISHED, {"cifar10": "resnet18"})
    text = table.to_latex()
    assert "& clean & published & PGD-20 & published & AutoAttack & published & clean & PGD-20 & AutoAttack" in text
    assert "45.4 (b)" in text or "45.4 (a)" in text
    assert "third-party summary" in text
    assert cells(table)["WEAT-nat", "Best checkpoint: clean"]["published"] == "83.36"
    assert cells(table)["SAT", "Last checkpoint: AutoAttack"]["published"] == ""
    other = energy_robustness.build(study.robustness, "paper", PUBLISHED, {"cifar10": "wide-resnet"})
    assert "published" not in other.to_latex()


def test_several_datasets_become_groups(tmp_path, study):
    other = write_study(tmp_path, "svhn", ("sat",), (0, 1), epochs=12, images=40)
    table = energy_robustness.build([*study.robustness, *other.robustness], "paper", PUBLISHED, {"svhn": "resnet18"})
    assert [(row.group, row.label) for row in table.rows][2:] == [("digits", "TRADES"), ("svhn", "SAT")]
    assert table.rows[3].cells[2].published.value == 44.87
    assert table.rows[1].cells[2].published is None


def test_autoattack_stages_end_at_the_autoattack_accuracy(study):
    stages, robust = energy_autoattack.build(study.robustness, "embedded"), study.robustness
    row = cells(stages)
    for label, files in (("SAT", robust[3:6]), ("TRADES", robust[6:9])):
        values = [float(row[label, c]["value"]) for c in energy_autoattack.LABELS]
        assert values == sorted(values, reverse=True)
        assert values[-1] == pytest.approx(sum(rate(path, "best", "autoattack") for path in files) / 3)
    frame = pd.read_parquet(robust[3])
    broken = frame[(frame["checkpoint"] == "best") & (frame["attack"] == "autoattack")]["broken_by"].tolist()
    left = [100 * (1 - sum(b in ("misclassified", "apgd-ce") for b in broken) / len(broken))]
    one = energy_autoattack.build(robust[3:4], "embedded")
    assert float(cells(one)["SAT", "after APGD-CE"]["value"]) == pytest.approx(left[0])
    assert "One seed" in one.notes[0]


def test_energies_come_from_the_last_epoch_and_the_last_checkpoint(study):
    table = energy_energies.build(study.history, study.robustness, "embedded")
    text = table.to_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    history = [pd.read_parquet(path) for path in study.history[3:6]]
    values = [h[(h["epoch"] == 12) & (h["split"] == "validation")]["delta_marginal"].item() for h in history]
    validation = next(r for r in rows if r["row"] == "SAT" and r["column"] == "ΔE(x)" and "validation" in r["group"])
    assert float(validation["value"]) == pytest.approx(sum(values) / 3)
    tests = []
    for path in study.robustness[3:6]:
        frame = pd.read_parquet(path)
        frame = frame[(frame["checkpoint"] == "last") & (frame["attack"] == "pgd20")]
        tests.append(sum(frame["joint_natural"] - frame["joint_adversarial"]) / len(frame))
    test = next(r for r in rows if r["row"] == "SAT" and r["column"] == "ΔE(x, y)" and "test" in r["group"])
    assert float(test["value"]) == pytest.approx(sum(tests) / 3)
    assert (test["n_images"], validation["n_images"]) == ("40", "")


def test_attack_energies_success_counts_only_images_that_were_right(study):
    table = energy_attack_energies.build(study.attack_energies, "embedded")
    groups = {row.group for row in table.rows}
    assert groups == {"Standard, last checkpoint", "SAT, last checkpoint"}
    assert [row.label for row in table.rows[:8]][-1] == "CW (unbounded)"
    shares = []
    for path in study.attack_energies[:3]:
        rows = [r for r in pd.read_parquet(path).itertuples() if r.attack == "fab" and r.prediction_natural == r.label]
        shares.append(100 * sum(r.prediction_adversarial != r.label for r in rows) / len(rows))
    fab = table.rows[5]
    assert fab.label == "FAB" and fab.cells[6].value == pytest.approx(sum(shares) / 3)
    before, after, shift = fab.cells[:3]
    assert before.value - after.value == pytest.approx(shift.value)
    assert shift.low < shift.value < shift.high < 0
    assert "3 seeds" in table.notes[0]


def test_generation_names_its_scores_after_the_features(study, tmp_path):
    table = energy_generation.build(study.scores, "embedded", PUBLISHED, {"digits": study.anchor})
    text = table.to_latex()
    assert "Fréchet classifier distance" in text and "neither Inception Score nor FID" in text
    assert "FID" not in text.replace("nor FID", "") and "published" not in text
    assert [row.label for row in table.rows] == ["SAT", "TRADES", "real validation images"]
    assert cells(table)["real validation images", "Fréchet classifier distance"]["files"] == study.anchor.as_posix()
    inception = write_study(tmp_path, "cifar10", ("sat",), (0,), epochs=12, images=40, features="inception")
    table = energy_generation.build(inception.scores, "paper", PUBLISHED)
    assert [column.label for column in table.columns][:2] == ["IS", "FID"]
    jem = next(row for row in table.rows if row.label.startswith("JEM (")).cells
    assert (jem[1].value, jem[1].published.value) == (None, 38.40)
    with pytest.raises(RobustlensError, match="different feature networks"):
        energy_generation.build([*study.scores, *inception.scores], "paper", PUBLISHED)


def test_claims_table_states_rule_verdict_and_what_is_missing(study):
    table = energy_claims.build(
        study.robustness, study.attack_energies, study.history, study.energies, study.scores, "embedded"
    )
    row = cells(table)
    assert row["pgd-lowers-energy", "verdict"]["text"] == "supported"
    assert float(row["pgd-lowers-energy", "estimate"]["low"]) > 0
    assert row["weat-adv-beats-trades", "verdict"]["text"] == "open"
    assert "Not measured: recipe weat-adv" in row["weat-adv-beats-trades", "rule and measurement"]["text"]
    assert "no evidence about CIFAR-10" in table.caption
    assert '<td class="supported"' in table.to_html()
    empty = energy_claims.build(study.robustness, [], [], [], [], "embedded")
    assert {r["text"] for (_, column), r in cells(empty).items() if column == "verdict"} == {"open"}
