import math
import re

import pytest
from tabulated import cells

from robustlens.errors import RobustlensError
from robustlens.report.cells import Cell, Column, Row, number
from robustlens.report.escape import latex, tied
from robustlens.report.published import Published
from robustlens.report.table import Table


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
        ("a_b & 50 % #1 $x$ {y}", r"a\_b \& 50~\% \#1 \$x\$ \{y\}"),
        ("~ ^ \\", r"\textasciitilde{} \textasciicircum{} \textbackslash{}"),
        ("--config scale=x", r"-{}-config scale=x"),
        ("−3 ± 1 – 5 × 2", r"$-$3~$\pm$~1 \textendash{} 5 $\times$ 2"),  # noqa: RUF001
        ("mean ΔE(x*, y) < 0", r"mean $\Delta E(x^*, y)$ \textless{} 0"),
        ("\\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("Fréchet", "Fréchet"),
    ],
)
def test_escape(text, expected):
    assert latex(text) == expected


def test_no_line_ends_before_a_percent_sign_or_within_a_number_with_its_deviation():
    assert tied("3.1 ± 0.4 % of 12 %, in %") == "3.1\u00a0±\u00a00.4\u00a0% of 12\u00a0%, in %"
    assert latex("12 % and 3") == r"12~\% and 3"


@pytest.mark.parametrize("text", ["模型", "zero\u200bwidth", "bell\a", "Ŧ"])
def test_escape_refuses_what_latex_cannot_print(text):
    with pytest.raises(RobustlensError, match="LaTeX cannot print"):
        latex(text)


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(-1.25, 1, "\u22121.2"), (-0.04, 1, "0.0"), (2, 0, "2"), (math.inf, 1, "∞"), (12.3456, 3, "12.346")],
)
def test_number(value, digits, expected):
    assert number(value, digits) == expected


def of_many_columns(digits, rows=("x", "y")):
    """Ten columns, nine of them in three groups, of numbers with so many digits."""
    columns = (Column("n"), *(Column(f"{group}{i}", group) for group in "abc" for i in range(3)))
    numbers = [tuple(Cell(text=f"{10 * k + i}".zfill(digits)) for i in range(10)) for k in range(len(rows))]
    return columns, tuple(Row(label, cells) for label, cells in zip(rows, numbers, strict=True))


def test_columns_that_are_too_wide_are_set_below_each_other_each_with_the_row_labels():
    columns, rows = of_many_columns(16)
    latex = Table("many", "Caption.", "row", columns, rows).to_latex()
    parts = [(0, 4), (4, 10)]  # n with a, then b with c: never a group in two
    for start, end in parts:
        heads = " & ".join(["row", *(column.label for column in columns[start:end])])
        assert r"\midrule" in latex and rf"{heads} \\" in latex
        for row in rows:
            assert rf"{row.label} & {' & '.join(cell.text for cell in row.cells[start:end])} \\" in latex
    assert latex.count(r"\begin{tabular}") == 2 and latex.count(r"\caption") == latex.count(r"\begin{table}") == 1
    narrow = Table("few", "Caption.", "row", *of_many_columns(4)).to_latex()
    assert narrow.count(r"\begin{tabular}") == 1


def test_a_group_that_is_too_wide_alone_is_cut_but_not_before_a_published_number():
    paper = Published(49.03, "Some paper, table 2", "its own page")
    columns = tuple(Column(f"attack {i}", "Best checkpoint") for i in range(5))
    cells = tuple(Cell(text="w" * 12, published=paper) for _ in columns)
    latex = Table("t", "c", "recipe", columns, (Row("x", cells),)).to_latex()
    heads = re.findall(r"^recipe & (.*) \\\\$", latex, re.M)
    assert len(heads) > 1 and all(
        head.split(" & ")[1::2] == ["published"] * (head.count("&") // 2 + 1) for head in heads
    )
    assert latex.count("Best checkpoint") == len(heads)


def test_a_table_that_is_higher_than_a_page_breaks_over_pages():
    labels = [f"row {i}" for i in range(80)]
    latex = Table("long", "Caption.", "row", *of_many_columns(4, labels), ("A note.",)).to_latex()
    assert r"\begin{longtable}" in latex and r"\begin{table}" not in latex and r"\endhead" in latex
    assert latex.count(r"\caption") == 1 and "A note." in latex and r"row 79 & 0790" in latex


def test_latex_of_a_table():
    text = small_table().to_latex()
    assert r"\caption{Accuracy\_in \% \& more}\label{tab:small}" in text
    assert r"\begin{tabular}{lrrrr}" in text
    assert r" & \multicolumn{3}{c}{Best} & \multicolumn{1}{c}{} \\" in text
    assert r"\cmidrule(lr){2-4}" in text
    assert r"recipe & clean, \% & AA & published & $\Delta E(x)$ \\" in text
    assert r"A\_1 & 83.1~$\pm$~0.4 & 50.0 & 49.0 (a) & 0.0 \\" in text
    assert r"\multicolumn{5}{l}{\itshape group \textless{}2\textgreater{}} \\*" in text
    assert r"B & \textendash{} & \textendash{} & \textendash{} & 1.3 [1.1, 1.4] \\" in text
    assert "third-party summary; steps unknown" in text


def test_csv_of_a_table_has_one_row_per_cell_and_empty_fields_for_what_is_missing():
    rows = cells(small_table())
    assert len(rows) == 6
    first = rows["A_1", "Best: clean"]
    assert (first["value"], first["std"], first["unit"], first["files"]) == ("83.104", "0.42", "%", "a;b")
    assert (rows["A_1", "Best: AA"]["published"], first["published"]) == ("49.03", "")
    assert rows["A_1", "Best: AA"]["published_source"] == "Some paper, table 2 (third-party summary)"
    assert rows["B", "Best: clean"]["value"] == rows["B", "Best: AA"]["value"] == ""
    assert (rows["B", "ΔE(x)"]["low"], rows["B", "ΔE(x)"]["high"]) == ("1.1", "1.4")


def test_a_published_deviation_stands_behind_its_number():
    paper = Published(49.03, "Some paper, table 2", "its own page", std=0.46)
    row = Row("A", (Cell(50.0, 2, published=paper), Cell(1.0, 1)))
    table = Table("t", "c", "recipe", (Column("AA"), Column("other")), (row,))
    assert r"A & 50.00 & 49.03~$\pm$~0.46 (a) & 1.0 \\" in table.to_latex()
    assert "49.03 ± 0.46 (a)" in table.to_html()
    found = cells(table)
    assert (found["A", "AA"]["published"], found["A", "AA"]["published_std"]) == ("49.03", "0.46")
    assert found["A", "other"]["published_std"] == cells(small_table())["A_1", "Best: AA"]["published_std"] == ""


def test_html_of_a_table():
    text = small_table().to_html()
    assert "<figcaption>Accuracy_in % &amp; more</figcaption>" in text
    assert ">83.1 ± 0.4</td>" in text and "group &lt;2&gt;" in text and "<li>Note: 5 &lt; 6.</li>" in text
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    assert [len(re.findall("<t[hd]", row)) for row in rows] == [5, 5, 5]


def test_a_number_s_cell_in_html_carries_all_of_it_to_be_sorted_by():
    text = small_table().to_html()
    assert re.findall(r'data-value="(.*?)"', text) == ["83.104", "49.96", "49.03", "-0.04", "1.26"]
    assert '<td data-value="49.03" data-label="published">' in text and "<td data-label=" in text


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


def test_a_long_heading_is_set_in_lines_but_an_energy_never_is():
    columns = (Column("Fréchet classifier distance"), Column("mean of ΔE(x*, y)"), Column("easiest class"))
    text = Table("t", "c", "r", columns, (Row("x", (Cell(1.0),) * 3),)).to_latex()
    assert r"\begin{tabular}[b]{@{}r@{}}Fréchet \\ classifier \\ distance\end{tabular}" in text
    assert r"mean of \\ $\Delta E(x^*, y)$\end{tabular} & easiest class \\" in text


def test_a_heading_of_sentences_stays_in_one_line():
    columns = (Column("n"), Column("rule and measurement", wide=1.0))
    text = Table("t", "c", "r", columns, (Row("x", (Cell(1.0), Cell(text="Some words."))),)).to_latex()
    assert r"r & n & rule and measurement \\" in text


def test_a_table_without_rows_is_printed():
    table = Table("t", "c", "r", (), (), ("Nothing.",))
    assert r"\begin{tabular}{l}" in table.to_latex() and "Nothing." in table.to_html() and "group" in table.to_csv()


def breakable(columns):
    numbers = (Cell(12.346, 3, std=0.124), Cell(1.5, 3, low=1.25, high=2.0))
    cells = (*(numbers[i % 2] for i in range(columns)), Cell(text="Some words."))
    labels = (*(Column(f"number {i}") for i in range(columns)), Column("words", wide=1.0))
    return Table("t", "c", "r", labels, (Row("x", cells),)).to_latex()


def test_numbers_that_would_be_wider_than_the_page_stand_above_their_uncertainty():
    wide, narrow = breakable(8), breakable(3)
    assert r"\begin{tabular}[t]{@{}l@{}}12.35 \\ $\pm$~0.12\end{tabular}" in wide
    assert r"\begin{tabular}[t]{@{}l@{}}1.50 \\ {[}1.25, 2.00]\end{tabular}" in wide
    assert r"\tabcolsep" in wide and r"\tabcolsep" not in narrow
    assert r"x & 12.35~$\pm$~0.12 & 1.50 [1.25, 2.00] & 12.35~$\pm$~0.12 & Some words. \\" in narrow
