"""Digits, units, and rows of one seed, as a reader sees them."""

import math
import re

import pytest
from tabulated import cells

from robustlens.report.cells import Cell, Column, Row
from robustlens.report.layout import ONE_SEED
from robustlens.report.table import Table


@pytest.mark.parametrize(
    ("cell", "printed"),
    [
        (Cell(-10.53, 3, std=0.8), "\u221210.5 ± 0.8"),
        (Cell(47.2, 2, std=4.2), "47 ± 4"),
        (Cell(54.504, 2, std=1.36), "54.5 ± 1.4"),  # two digits of what begins with 1 or 2
        (Cell(54.504, 2, std=2.96), "55 ± 3"),
        (Cell(94.123, 2, std=0.96), "94.1 ± 1.0"),
        (Cell(94.123, 2, std=0.04), "94.12 ± 0.04"),
        (Cell(94.123, 2, std=0.004), "94.12 ± 0.00"),  # never more than are declared
        (Cell(1234.5, 1, std=120.0), "1234 ± 120"),
        (Cell(0.0, 2, std=0.0), "0.00 ± 0.00"),
        (Cell(94.123, 2), "94.12"),
        (Cell(94.123, 2, std=math.nan), "94.12"),
        (Cell(4.831, 2, low=0.312, high=9.35), "4.8 [0.3, 9.3]"),  # an end near 0 is seen to be above it
        (Cell(-58.2, 2, low=-71.3, high=-45.1), "\u221258 [\u221271, \u221245]"),
        (Cell(0.9321, 4, low=0.91, high=0.95), "0.932 [0.910, 0.950]"),
    ],
)
def test_a_number_is_printed_to_the_digit_that_its_spread_allows(cell, printed):
    assert str(cell) == printed


ONE = (Column("a"),)


def table(rows, columns=ONE):
    return Table("t", "c", "recipe", columns, tuple(rows))


def seeds(label, n, group="", value=50.123):
    return Row(label, (Cell(value, 2, std=0.8 if n > 1 else math.nan, n_seeds=n, unit="%"),), group)


def shown(text):
    return re.findall(r'<th scope="row">(.*?)</th>', text)


def test_rows_of_one_seed_stand_last_in_their_group_with_a_mark_that_the_csv_does_not_have():
    rows = [seeds("A", 1, "x"), seeds("B", 3, "x"), seeds("C", 1, "x"), seeds("D", 3, "y"), seeds("E", 1, "y")]
    made = table(rows)
    assert shown(made.to_html()) == ["B", "A †", "C †", "D", "E †"]
    assert made.to_html().count('<tr class="apart">') == 2 and ONE_SEED in made.to_html()
    assert "\\addlinespace\nA \\textdagger{} & 50.1" in made.to_latex()  # no finer than what has a spread
    assert [label for label, _ in cells(made)] == ["A", "B", "C", "D", "E"] and "†" not in made.to_csv()
    assert float(cells(made)["A", "a"]["value"]) == 50.123


def test_without_a_row_of_several_seeds_none_is_marked():
    made = table([seeds("A", 1), seeds("B", 1)])
    assert shown(made.to_html()) == ["A", "B"] and ONE_SEED not in made.to_html()
    assert ">50.12</td>" in made.to_html()


def test_what_no_training_is_behind_is_not_marked():
    real = Row("real images", (Cell(1.0, 1, n_seeds=1),), of_seeds=False)
    made = table([real, seeds("A", 3), Row("published", (Cell(2.0, 1),))])
    assert shown(made.to_html()) == ["real images", "A", "published"]


def test_rows_that_are_only_in_the_csv():
    made = table([seeds("A", 3), Row("B", (Cell(1.0, 1),), printed=False)])
    assert shown(made.to_html()) == ["A"] and "B &" not in made.to_latex() and ("B", "a") in cells(made)


def heads(columns, units):
    row = Row("x", tuple(Cell(1.0, 1, unit=unit) for unit in units))
    made = table([row], columns)
    assert [name for _, name in cells(made)] == [
        f"{column.group}: {column.label}" if column.group else column.label for column in columns
    ]
    html = made.to_html()
    groups = re.findall(r'scope="colgroup">(.*?)</th>', html)
    return groups, re.findall(r'scope="col">(.*?)</th>', html)[1:]


def test_units_stand_in_the_header_once():
    plain = (Column("E(x)"), Column("success, %"), Column("images"))
    assert heads(plain, ["nat", "%", "images"]) == ([], ["E(x), nat", "success, %", "images"])
    assert heads((Column("a"), Column("b")), ["%", "%"]) == (["%"], ["a", "b"])
    grouped = (Column("a", "Best"), Column("b", "Best"), Column("c", "Last"), Column("d", "Last"))
    assert heads(grouped, ["%", "%", "%", "points"]) == (["Best, %", "Last"], ["a", "b", "c, %", "d, points"])
    told = (Column("%", "clean"), Column("difference", "clean"), Column("points", "fall"), Column("more", "fall"))
    units = ["%", "points", "points", "points"]
    assert heads(told, units) == (["clean", "fall"], ["%", "difference, points", "points", "more, points"])
    assert heads((Column("cosine"),), [""]) == ([], ["cosine"])


def test_columns_of_several_units_name_none():
    rows = [Row("x", (Cell(1.0, 1, unit="%"),)), Row("y", (Cell(1.0, 1, unit="points"),))]
    assert 'scope="col">a</th>' in table(rows).to_html()
