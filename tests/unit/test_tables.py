import csv
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats
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
    energy_differences,
    energy_energies,
    energy_generation,
    energy_generation_grid,
    energy_phases,
    energy_robustness,
    energy_subsets,
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


def test_many_groups_of_columns_are_set_below_each_other_each_with_the_row_labels():
    columns = (Column("n"), *(Column(f"{group}{i}", group) for group in "abc" for i in range(3)))
    rows = [
        Row(label, tuple(Cell(value=float(start + i)) for i in range(10))) for label, start in (("x", 0), ("y", 10))
    ]
    latex = Table("many", "Caption.", "row", columns, tuple(rows)).to_latex()
    parts = [(0, 4), (4, 10)]  # n with a, then b with c: never more than six, never a group in two
    for start, end in parts:
        heads = " & ".join(["row", *(column.label for column in columns[start:end])])
        assert r"\midrule" in latex and rf"{heads} \\" in latex
        for label, first in (("x", 0), ("y", 10)):
            assert rf"{label} & {' & '.join(str(first + i) for i in range(start, end))} \\" in latex
    assert latex.count(r"\begin{tabular}") == 2 and latex.count(r"\caption") == latex.count(r"\begin{table}") == 1
    few = Table("few", "Caption.", "row", columns[:6], tuple(Row(r.label, r.cells[:6]) for r in rows)).to_latex()
    assert few.count(r"\begin{tabular}") == 1


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
    assert "& clean & published & PGD-20 & published & AutoAttack & published " in text
    assert "recipe & clean & PGD-20 & AutoAttack " in text
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
        "embedded",
        robustness=study.robustness,
        attack_energies=study.attack_energies,
        history=study.history,
        energies=study.energies,
        scores=study.scores,
    )
    row = cells(table)
    assert row["pgd-lowers-energy", "verdict"]["text"] == "supported"
    assert float(row["pgd-lowers-energy", "estimate"]["low"]) > 0
    assert row["weat-adv-beats-trades", "verdict"]["text"] == "open"
    assert "Not measured: recipe weat-adv" in row["weat-adv-beats-trades", "rule and measurement"]["text"]
    assert "no evidence about CIFAR-10" in table.caption
    assert '<td class="supported"' in table.to_html()


def test_claims_whose_files_are_absent_are_open_with_the_reason(study):
    only = cells(energy_claims.build("embedded", scores=study.scores))
    verdicts = {name: row["text"] for (name, column), row in only.items() if column == "verdict"}
    assert {name for name, verdict in verdicts.items() if verdict != "open"} == {"sat-generates-better"}
    reasons = {name: row["text"] for (name, column), row in only.items() if column == "rule and measurement"}
    assert all("Not measured: " in reasons[name] for name, verdict in verdicts.items() if verdict == "open")
    assert "Not measured: init pca" in reasons["pca-starts-generate-better"]
    assert energy_claims.build("embedded").rows == ()


def write(folder, dataset, recipe, seed, name, frame):
    path = folder / dataset / recipe / f"seed{seed}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False)
    return path


def evaluation_file(folder, recipe, seed, right, dataset="digits", name="brief.parquet"):
    """An evaluation file; right: (checkpoint, attack) -> {index: whether the image is right}."""
    rows = [
        {"checkpoint": c, "attack": a, "index": i, "label": 4, "prediction_adversarial": 4 if ok else 7}
        for (c, a), images in right.items()
        for i, ok in images.items()
    ]
    return write(folder, dataset, recipe, seed, name, pd.DataFrame(rows))


def t_interval(values):
    """Of the mean of independent values, by hand."""
    n = len(values)
    mean = sum(values) / n
    half = stats.t.ppf(0.975, n - 1) * math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    return mean - half, mean + half


def test_differences_are_paired_by_the_seeds_and_images_that_both_have(tmp_path):
    trades = {i: i % 3 > 0 for i in range(9)}
    own = {i: i % 2 > 0 for i in (8, 3, 4, 5, 6, 7, 20)}
    files = [
        evaluation_file(
            tmp_path, "trades", 0, {("best", "pgd20"): dict.fromkeys(range(9), True), ("best", "clean"): trades}
        ),
        evaluation_file(
            tmp_path, "trades", 1, {("best", "pgd20"): trades, ("last", "pgd20"): dict.fromkeys(range(9), False)}
        ),
        evaluation_file(tmp_path, "gairat", 1, {("best", "pgd20"): own, ("last", "pgd20"): own}),
        evaluation_file(tmp_path, "mail-at", 5, {("best", "pgd20"): own, ("best", "clean"): own}),
        evaluation_file(tmp_path, "wu2020", 0, {("published", "pgd20"): own}),
    ]
    table = energy_differences.build(files, "embedded", PUBLISHED, {})
    assert [row.label for row in table.rows] == ["GAIRAT", "MAIL-AT"]
    row = cells(table)["GAIRAT", "PGD-20"]
    values = [100 * (own[i] - trades[i]) for i in range(3, 9)]
    assert float(row["value"]) == pytest.approx(sum(values) / 6)
    assert (float(row["low"]), float(row["high"])) == pytest.approx(t_interval(values))
    assert (row["n_seeds"], row["n_images"], row["unit"]) == ("1", "6", "points")
    assert row["files"].split(";") == [files[2].as_posix(), files[1].as_posix()]
    missing = [cells(table)[key]["value"] for key in (("GAIRAT", "clean"), ("MAIL-AT", "PGD-20"), ("MAIL-AT", "clean"))]
    assert missing == ["", "", ""]
    assert "One seed is compared of GAIRAT." in table.notes


def test_differences_over_several_seeds_are_wider_than_over_their_images(study):
    table = energy_differences.build(study.robustness, "embedded", PUBLISHED, {"digits": "resnet18"})
    assert [row.label for row in table.rows] == ["Standard", "SAT"]
    sat = cells(table)["SAT", "PGD-20"]
    rates = [
        rate(a, "best", "pgd20") - rate(b, "best", "pgd20")
        for a, b in zip(study.robustness[3:6], study.robustness[6:], strict=True)
    ]
    assert float(sat["value"]) == pytest.approx(sum(rates) / 3)
    assert sat["n_seeds"] == "3" and float(sat["low"]) < min(rates) < max(rates) < float(sat["high"])
    assert not any("One seed" in note for note in table.notes)
    assert "Test images a seed: clean 40, PGD-20 40, AutoAttack 20." in table.notes


def test_variants_are_compared_with_what_they_change_on_the_same_seeds(tmp_path):
    def right(*images):
        return {("best", "clean"): {i: i in images for i in range(8)}}

    def runs(dataset):
        return [
            evaluation_file(tmp_path, recipe, seed, right(*images), dataset)
            for recipe, seed, images in [
                ("sat", 0, range(4)),
                ("trades", 0, range(2)),
                ("trades", 1, range(8)),
                ("weat-adv", 0, range(5)),
                ("weat-adv", 1, range(1)),
                ("mail-at", 0, range(3)),
                ("sat-awp", 0, range(7)),
                ("weat-adv-awp", 0, range(3)),
                ("trades-awp", 1, range(6)),
                ("weat-adv-awp-ce", 0, range(4)),
            ]
        ]

    table = energy_differences.build(runs("digits"), "embedded", PUBLISHED, {})
    found = [(row.group, row.label, row.cells[0].value, row.cells[0].n_seeds) for row in table.rows]
    assert found == [  # images of 8 that are right, by hand
        ("minus TRADES", "SAT", pytest.approx(25), 1),
        ("minus TRADES", "WEAT-adv", pytest.approx(100 * ((5 - 2) + (1 - 8)) / 16), 2),
        ("minus TRADES", "MAIL-AT", pytest.approx(12.5), 1),
        ("minus TRADES", "TRADES + AWP", pytest.approx(-25), 1),
        ("minus SAT", "SAT + AWP", pytest.approx(37.5), 1),
        ("minus WEAT-adv", "WEAT-adv + AWP", pytest.approx(-25), 1),
        ("minus WEAT-adv + AWP", "weat-adv-awp-ce", pytest.approx(12.5), 1),
    ]
    assert "for a recipe that changes another one, of that one" in table.caption
    assert any("is compared with that one on the seeds that both have" in note for note in table.notes)
    several = energy_differences.build([*runs("digits"), *runs("svhn")], "embedded", PUBLISHED, {})
    assert [row.group for row in several.rows[6:9]] == ["digits: minus WEAT-adv + AWP"] + ["svhn: minus TRADES"] * 2


def test_variants_have_no_published_differences(tmp_path):
    right = {("best", "pgd20"): {0: True, 1: False}}
    files = [evaluation_file(tmp_path, r, 0, right, "cifar10") for r in ("trades", "weat-adv", "weat-adv-awp")]
    block = "{source: one, trust: t, dataset: cifar10, architecture: resnet18, metrics: [pgd], values: {%s}}"
    values = "trades: [50.0], weat-adv: [51.0], weat-adv-awp: [55.0]"
    (tmp_path / "p.yaml").write_text(f"blocks:\n- {block % values}\n")
    row = cells(energy_differences.build(files, "paper", tmp_path / "p.yaml", {"cifar10": "resnet18"}))
    found = [row[recipe, "PGD-20"]["published"] for recipe in ("WEAT-adv", "WEAT-adv + AWP")]
    assert found == ["1", ""]


def test_published_differences_are_of_two_numbers_of_one_source(tmp_path):
    right = {("best", attack): {i: i % 2 > 0 for i in range(4)} for attack in ("clean", "pgd20", "autoattack")}
    files = [evaluation_file(tmp_path, r, 0, right, "cifar10") for r in ("trades", "weat-adv", "weat-nat", "mart")]
    table = energy_differences.build(files, "paper", PUBLISHED, {"cifar10": "resnet18"})
    row = cells(table)
    assert (row["WEAT-adv", "PGD-20"]["published"], row["WEAT-adv", "AutoAttack"]["published"]) == ("0.7", "0.29")
    assert "third-party summary" in row["WEAT-adv", "PGD-20"]["published_source"]
    assert row["WEAT-nat", "PGD-20"]["published"] == "-0.22"
    assert row["WEAT-nat", "clean"]["published"] == row["MART", "AutoAttack"]["published"] == ""
    assert "difference of two of its numbers" in table.to_latex()
    block = (
        "{{source: {0}, trust: t, dataset: cifar10, architecture: resnet18, metrics: [pgd], values: {{{1}: [50.0]}}}}"
    )
    blocks = [block.format("one", "trades"), block.format("two", "mart"), block.format("one", "weat-adv")]
    (tmp_path / "p.yaml").write_text("blocks:\n" + "".join(f"- {b}\n" for b in blocks))
    row = cells(energy_differences.build(files, "paper", tmp_path / "p.yaml", {"cifar10": "resnet18"}))
    assert (row["WEAT-adv", "PGD-20"]["published"], row["MART", "PGD-20"]["published"]) == ("0", "")


def test_robustness_says_which_rows_have_one_seed(tmp_path, study):
    right = {(c, a): {i: i > 1 for i in range(8)} for c in ("best", "last") for a in ("clean", "pgd20")}
    files = [
        *study.robustness,
        evaluation_file(tmp_path, "gairat", 0, right),
        evaluation_file(tmp_path, "mail-at", 0, right),
    ]
    table = energy_robustness.build(files, "embedded", PUBLISHED, {})
    assert [str(cell) for cell in table.rows[3].cells] == ["75.0", "75.0", "\u2013"] * 2
    assert "±" in str(table.rows[1].cells[0])
    assert "± is the standard deviation over 3 seeds (n \u2212 1)." in table.notes
    assert "One seed, so that no spread can be given: GAIRAT, MAIL-AT." in table.notes


def history_of(bends, slopes, best_at, epochs=30):
    """A history whose ΔE(x) on training images bends there, and whose validation accuracy is 0.6 at one epoch."""
    t = pd.Series(range(1, epochs + 1), dtype=float)
    first, second, third = slopes
    a, b = bends
    delta = first * t.clip(upper=a) + second * (t.clip(a, b) - a) + third * (t - b).clip(lower=0)
    train = pd.DataFrame({"epoch": t.astype(int), "split": "train", "delta_marginal": delta, "robust_accuracy": 0.8})
    accuracy = [0.6 if epoch == best_at else 0.5 for epoch in t]
    other = train.assign(split="validation", delta_marginal=5.0, robust_accuracy=accuracy)
    return pd.concat([train, other])


def test_phases_are_found_seed_by_seed_and_overfitting_is_best_minus_last(tmp_path):
    runs = [((6, 20), (-0.05, 0.0, -0.2), 12), ((10, 24), (-0.03, 0.01, -0.1), 30)]
    history = [write(tmp_path, "digits", "sat", k, "history.parquet", history_of(*run)) for k, run in enumerate(runs)]
    short = history_of((3, 5), (0.0, 0.0, 0.0), 2, epochs=6)
    history.append(write(tmp_path, "digits", "mail-at", 0, "history.parquet", short))
    best, last = {i: i < 6 for i in range(8)}, {i: i in (0, 1, 2, 7) for i in range(8)}
    files = [
        evaluation_file(tmp_path, "sat", 0, {("best", "pgd20"): best, ("last", "pgd20"): last, ("best", "clean"): last})
    ]
    table = energy_phases.build(history, files, "embedded")
    row = cells(table)
    first, second = row["SAT", "Bends, epoch: first"], row["SAT", "Bends, epoch: second"]
    assert [float(first[name]) for name in ("value", "low", "high")] == [8, 6, 10]
    assert [float(second[name]) for name in ("value", "low", "high")] == [22, 20, 24]
    slope = row["SAT", "Slope of ΔE(x), nat in 10 epochs: III"]
    assert float(slope["value"]) == pytest.approx(-1.5)
    assert float(slope["std"]) == pytest.approx(math.sqrt(2 * 0.5**2))
    validation = "Robust accuracy, validation, %: "
    values = [float(row["SAT", validation + label]["value"]) for label in ("best", "last", "best \u2212 last")]
    assert values == pytest.approx([60, 55, 5])
    assert float(row["SAT", f"{validation}train \u2212 val."]["value"]) == pytest.approx(25)
    fall = row["SAT", "Test, PGD-20: best \u2212 last"]
    values = [100 * (best[i] - last[i]) for i in range(8)]
    assert float(fall["value"]) == 25.0
    assert (float(fall["low"]), float(fall["high"])) == pytest.approx(t_interval(values))
    assert str(table.rows[1].cells[0]) == str(table.rows[1].cells[2]) == str(table.rows[1].cells[-1]) == "\u2013"
    assert float(row["MAIL-AT", validation + "best \u2212 last"]["value"]) == pytest.approx(10)
    assert "One seed, so that no spread can be given: MAIL-AT." in table.notes


def test_subsets_stand_beside_training_on_all_images(tmp_path):
    def run(recipe, seed, images, clean, best, last):
        pairs = {("best", "clean"): clean, ("best", "pgd20"): best, ("last", "pgd20"): last}
        files.append(
            evaluation_file(tmp_path, recipe, seed, {k: {i: i < n for i in range(10)} for k, n in pairs.items()})
        )
        frame = pd.DataFrame({"epoch": [1, 2], "split": "train", "train_images": images})
        frame = frame if images else frame.drop(columns="train_images")
        history.append(write(tmp_path, "digits", recipe, seed, "history.parquet", frame))

    files, history = [], []
    run("sat", 0, 200, clean=9, best=6, last=5)
    run("sat", 1, 200, clean=10, best=7, last=4)
    run("sat-no-high", 1, 160, clean=8, best=5, last=5)
    run("sat-no-low-paper", 1, 200, clean=10, best=7, last=4)
    run("sat-no-random", 1, None, clean=8, best=6, last=6)
    table = energy_subsets.build(files, history, "embedded")
    labels = [
        "SAT, all images",
        "without high-energy images",
        "without E(x) \u2264 \u221211.47",
        "without random images",
    ]
    assert [row.label for row in table.rows] == labels
    row = cells(table)
    assert [row[label, "images"]["value"] for label in labels] == ["200", "160", "200", ""]
    assert float(row[labels[0], "clean, best: %"]["value"]) == pytest.approx(95)
    assert row[labels[0], "clean, best: difference"]["value"] == ""
    differences = {"clean, best": -20, "PGD-20, best": -20, "PGD-20, last": 10, "PGD-20, best \u2212 last": -30}
    for name, expected in differences.items():
        assert float(row[labels[1], f"{name}: difference"]["value"]) == pytest.approx(expected), name
    fall = row[labels[1], "PGD-20, best \u2212 last: difference"]
    assert (float(fall["low"]), float(fall["high"])) == pytest.approx(t_interval([0] * 7 + [-100] * 3))
    assert float(row[labels[0], "PGD-20, best \u2212 last: points"]["value"]) == pytest.approx(20)
    assert float(row[labels[1], "PGD-20, best \u2212 last: points"]["value"]) == 0
    empty = [note for note in table.notes if "nothing was left out" in note]
    assert empty == [f"{labels[2]}: no training image is in this group, so that nothing was left out."]
    assert float(row[labels[2], "PGD-20, best: difference"]["value"]) == 0
    assert any(
        note.startswith("With one seed the intervals are over test images: they say nothing") for note in table.notes
    )
    assert "a fixed part of every class" in table.notes[0]


def test_subsets_say_where_hardly_an_image_was_left_out(tmp_path):
    right = {
        (c, a): {i: (i * 7 + k) % 3 > 0 for i in range(10)}
        for k, (c, a) in enumerate([("best", "clean"), ("best", "pgd20"), ("last", "pgd20")])
    }
    trained = {  # images of seeds 0 and 1
        "sat": (300, 200),
        "sat-no-high": (298, 199),
        "sat-no-low": (298, 160),
        "sat-no-middle": (297, 198),
        "sat-no-misclassified": (299, 200),
        "sat-no-random": (None, 160),
    }
    files, history = [], []
    for recipe, counts in trained.items():
        for seed, images in enumerate(counts):
            files.append(evaluation_file(tmp_path, recipe, seed, right))
            frame = pd.DataFrame({"epoch": [1], "split": "train", "train_images": [images]}, dtype=object)
            frame = frame.astype({"train_images": float})
            history.append(write(tmp_path, "digits", recipe, seed, "history.parquet", frame))
    table = energy_subsets.build(files, history, "embedded")
    assert [note for note in table.notes if note.startswith("without ")] == [
        "without high-energy images, of seed 1: only 1 of 200 training images left out, for the group has no more.",
        "without high-energy images, of seed 0: only 2 of 300 training images left out, for the group has no more.",
        "without low-energy images, of seed 0: only 2 of 300 training images left out, for the group has no more.",
        "without misclassified images, of seed 1: no training image is in this group, so that nothing was left out.",
        "without misclassified images, of seed 0: only 1 of 300 training images left out, for the group has no more.",
    ]
    assert not any("With one seed" in note for note in table.notes)


def grid_file(folder, recipe, seed, rows):
    """rows: (init, kept, sigma, momentum, steps, distance, halves) of each setting."""
    names = ["init", "retained_variance", "sigma", "momentum", "steps", "frechet", "frechet_two_half_spread"]
    frame = pd.DataFrame(rows, columns=names).assign(step_size=0.025, noise=0.001, score_mean=8.0, kid_mean=0.1)
    frame = frame.assign(nearest_training_distance_median=2.0, n_generated=400, features="inception", seconds=1.0)
    frame.insert(0, "setting", range(len(frame)))
    return write(folder, "cifar10", recipe, seed, "grid.parquet", frame.assign(frechet_name="FID"))


def test_grid_marks_the_fastest_of_the_settings_that_are_as_good_as_the_best(tmp_path):
    rows = [
        ("noise", 0.99, 0.354, 0.0, 100, 50.0, 9.0),
        ("pca", 0.90, 0.354, 0.8, 500, 10.0, 2.0),
        ("pca", 0.99, 0.707, 0.8, 100, 12.0, 7.0),  # just within the spread of the best one
        ("pca", 0.99, 0.354, 0.0, 50, 12.5, 7.0),  # faster, but not within it
        ("gaussian", 0.99, 0.354, 0.8, 100, 11.5, 1.0),  # as few steps as the third, and nearer
    ]
    table = energy_generation_grid.build([grid_file(tmp_path, "sat", 0, rows)], "paper")
    assert [row.label for row in table.rows] == ["PCA 1", "Gaussian 4", "PCA 2", "PCA 3", "noise 0"]
    row = cells(table)
    quality = [row[r.label, "quality"]["text"] for r in table.rows]
    assert quality == ["equal", "equal, fastest", "equal", "worse", "worse"]
    assert [c.label for c in table.columns[:4]] == ["kept", "sigma", "momentum", "steps"]
    assert (row["PCA 2", "kept"]["value"], row["PCA 2", "sigma"]["value"]) == ("0.99", "0.707")
    for label in ("noise 0", "Gaussian 4"):
        assert row[label, "kept"]["value"] == row[label, "sigma"]["value"] == ""
        assert row[label, "steps"]["value"] == "100"
    assert any("step size 0.025" in note and "noise 0.001" in note for note in table.notes)
    biased = [note for note in table.notes if "biased upwards" in note]
    assert len(biased) == 1 and "only at equal numbers of images" in biased[0]
    assert not any("0 steps" in note for note in table.notes)
    assert "FID of 400 images" in table.notes[0] and "One seed" in table.notes[-1]
    assert "xltabular" in table.to_latex() and "seconds" not in [c.label for c in table.columns]


def test_grid_says_that_settings_of_no_steps_are_starting_points(tmp_path):
    rows = [
        ("pca", 0.9, 0.5, 0.8, 0, 3.0, 0.5),
        ("pca", 0.9, 0.5, 0.8, 20, 2.0, 0.5),
        ("pca", 0.9, 0.5, 0.0, 20, 4.0, 0.5),
    ]
    path = grid_file(tmp_path, "sat", 0, rows)
    pd.read_parquet(path).assign(features="classifier").to_parquet(path)
    table = energy_generation_grid.build([path], "embedded")
    row = cells(table)
    assert (row["PCA 0", "steps"]["value"], row["PCA 1", "steps"]["value"]) == ("0", "20")
    assert (row["PCA 0", "momentum"]["value"], row["PCA 1", "momentum"]["value"]) == ("", "0.8")
    assert any(note.startswith("Settings of 0 steps are starting points") for note in table.notes)
    assert not any("biased upwards" in note for note in table.notes)


def test_grid_judges_each_classifier_alone_and_averages_over_seeds(tmp_path):
    def settings(*distances):
        return [("pca", 0.9, 1.0, 0.0, 10 * (i + 1), d, 0.5) for i, d in enumerate(distances)]

    files = [grid_file(tmp_path, "sat", 0, settings(5.0, 3.0)), grid_file(tmp_path, "sat", 1, settings(1.0, 4.0))]
    files += [grid_file(tmp_path, "trades", 0, settings(9.0, 8.6))]
    table = energy_generation_grid.build(files, "paper")
    assert [(row.group, row.label) for row in table.rows] == [
        ("SAT", "PCA 0"),
        ("SAT", "PCA 1"),
        ("TRADES", "PCA 1"),
        ("TRADES", "PCA 0"),
    ]
    assert [c.label for c in table.columns[:2]] == ["steps", "distance"]
    distance, quality = table.rows[0].cells[1], [row.cells[-1].text for row in table.rows]
    assert (distance.value, distance.std) == (3.0, pytest.approx(math.sqrt(8)))
    assert quality == ["equal, fastest", "equal", "equal", "equal, fastest"]
    other = pd.read_parquet(files[2]).assign(frechet_name="Fréchet classifier distance")
    other.to_parquet(files[2])
    with pytest.raises(RobustlensError, match="different scores"):
        energy_generation_grid.build(files, "paper")


def test_generation_names_the_easiest_and_the_hardest_class(tmp_path, study):
    files = []
    for k, distances in enumerate([{"0": 2.0, "1": 5.0, "2": 1.0}, {"0": 1.0, "1": 9.0, "2": 3.0}]):
        path = tmp_path / "digits" / "sat" / f"seed{k}" / "scores.json"
        path.parent.mkdir(parents=True)
        scores = json.loads(study.scores[0].read_text())
        path.write_text(json.dumps(scores | {"frechet_per_class": distances}))
        files.append(path)
    files.append(study.scores[3])  # of TRADES: too few images of each class for a distance
    row = cells(energy_generation.build(files, "embedded", PUBLISHED, {"digits": study.anchor}))
    assert (row["SAT", "easiest class"]["text"], row["SAT", "hardest class"]["text"]) == ("0 (1.50)", "1 (7.00)")
    assert row["TRADES", "easiest class"]["text"] == row["real validation images", "hardest class"]["text"] == ""
    assert row["SAT", "easiest class"]["files"].split(";") == [path.as_posix() for path in files[:2]]


def test_generation_ranks_classes_by_kernel_distance_unless_every_run_has_frechet_distances(tmp_path, study):
    def build(frechet_of_trades):
        files = []
        of_recipe = {
            "sat": ({"0": 2.0, "1": 5.0}, {"0": 0.0204, "1": 0.01}),
            "trades": (frechet_of_trades, {"0": -0.002, "1": 0.004}),
        }
        for recipe, (frechet, kernel) in of_recipe.items():
            path = tmp_path / "digits" / recipe / "seed0" / "scores.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            scores = json.loads(study.scores[0].read_text())
            path.write_text(json.dumps(scores | {"frechet_per_class": frechet, "kid_per_class": kernel}))
            files.append(path)
        return energy_generation.build(files, "embedded", PUBLISHED, {"digits": study.anchor})

    kernel, row = build(None), cells(build(None))
    found = [row[recipe, f"{which} class"]["text"] for recipe in ("SAT", "TRADES") for which in ("easiest", "hardest")]
    assert found == ["1 (0.010)", "0 (0.020)", "0 (-0.002)", "1 (0.004)"]
    assert row["real validation images", "easiest class"]["text"] == ""
    assert any("smallest and the largest KCD" in note for note in kernel.notes)
    frechet, row = build({"0": 9.0, "1": 8.0}), cells(build({"0": 9.0, "1": 8.0}))
    found = [row[recipe, f"{which} class"]["text"] for recipe in ("SAT", "TRADES") for which in ("easiest", "hardest")]
    assert found == ["0 (2.00)", "1 (5.00)", "1 (8.00)", "0 (9.00)"]
    assert any("smallest and the largest Fréchet classifier distance" in note for note in frechet.notes)


def test_attack_energies_say_what_success_of_a_targeted_attack_counts(study):
    notes = energy_attack_energies.build(study.attack_energies, "embedded").notes
    assert any("Targeted PGD" in note and "counts any wrong class" in note for note in notes)


def test_the_readme_lists_the_recipes_with_the_most_seeds_and_names_where_the_others_are(tmp_path):
    header = "row,column,value,std,n_seeds,n_images\n"
    rows = [
        "SAT,Best checkpoint: clean,95.75,0.25,3,1397",
        "SAT,Best checkpoint: AutoAttack,54.4,10.2,3,30",
        "TRADES,Best checkpoint: clean,94.5,0.3,3,1397",
        "TRADES,Best checkpoint: AutoAttack,,,,",
        "SAT + AWP,Best checkpoint: clean,96.0,,1,1397",
        "SAT + AWP,Best checkpoint: AutoAttack,,,,",
    ]
    (tmp_path / "robustness.csv").write_text(header + "\n".join(rows) + "\n")
    (tmp_path / "claims.csv").write_text("row,column,text\na,verdict,supported\nb,verdict,open\n")
    begin, end = "<!-- numbers: begin -->", "<!-- numbers: end -->"
    (tmp_path / "README.md").write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    script = Path(__file__).parents[2] / "scripts" / "update_readme.py"
    options = ["--table", "robustness.csv", "--claims", "claims.csv", "--readme", "README.md"]
    subprocess.run([sys.executable, script, *options], cwd=tmp_path, check=True)
    text = (tmp_path / "README.md").read_text()
    assert "| SAT | 95.8 ± 0.2 | 54.4 ± 10.2 |\n| TRADES | 94.5 ± 0.3 | \u2013 |\n\n1 further" in text
    assert "SAT + AWP" not in text and "old" not in text
    assert "with one seed are in `robustness.csv`" in text and "in `energy-differences.csv`" in text
    assert text.startswith(f"before\n{begin}") and text.endswith(f"{end}\nafter\n")
