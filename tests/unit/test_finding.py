"""Numbers and lists in the sentences of captions."""

import math

import pytest

from robustlens.analysis.statistics import Interval
from robustlens.report.finding import counted, digits, excludes_zero, extremes, printed, short
from robustlens.report.lists import listed


def interval(estimate, low, high):
    return Interval(estimate, low, high, "seeds")


def test_an_estimate_has_as_many_digits_as_its_interval_allows():
    assert printed(interval(2.134, 1.82, 2.44), "nat") == "2.13 [1.82, 2.44] nat"
    assert printed(interval(-47.3, -51.6, -43.0), "points") == "\u221247.3 [\u221251.6, \u221243.0] points"
    assert printed(interval(312.0, 250.0, 374.0)) == "312 [250, 374]"
    assert printed(interval(0.5, 0.5, 0.5)) == "0.50 [0.50, 0.50]"


def test_an_interval_that_excludes_zero_is_not_printed_as_if_it_touched_it():
    assert printed(interval(0.71, 0.0021, 0.94)) == "0.710 [0.002, 0.940]"
    assert printed(interval(0.71, -0.0021, 0.94)) == "0.71 [0.00, 0.94]"


def test_the_number_of_one_seed_says_so():
    assert printed(interval(1.2345, -math.inf, math.inf), "nat") == "1.2 nat, one seed"


def test_an_interval_shows_a_sign_if_it_lies_on_one_side_of_zero():
    assert excludes_zero(interval(1, 0.1, 2)) and excludes_zero(interval(-1, -2, -0.1))
    assert not excludes_zero(interval(1, -0.1, 2)) and not excludes_zero(interval(1, 0.0, 2))


@pytest.mark.parametrize(
    ("size", "places"), [(123.0, 0), (12.0, 0), (1.2, 1), (0.12, 2), (1e-9, 4), (0.0, 2), (math.inf, 2)]
)
def test_digits(size, places):
    assert digits(size) == places


def test_short_numbers_lists_and_counts():
    assert [short(value) for value in (0.123, 12.3, -1.26)] == ["0.12", "12", "\u22121.3"]
    assert [listed(parts) for parts in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert listed(["PGD", "PGD, margin", "CW"]) == "PGD; PGD, margin; and CW"
    assert listed(["PGD, margin", "CW"]) == "PGD, margin; and CW"
    assert listed(["1 [0, 2] nat", "3 (a, b)"]) == "1 [0, 2] nat and 3 (a, b)"
    assert [counted(n, "seed") for n in ([1], [3, 3], [1, 3])] == ["1 seed", "3 seeds", "1 to 3 seeds"]


def test_extremes_are_the_lowest_and_the_highest_with_their_intervals():
    values = {"A": 3.4, "B": 1.2, "C": 2.0}
    assert extremes(values, "%") == "between 1.2 % (B) and 3.4 % (A)"
    assert extremes({"A": interval(2.0, 1.0, 3.0), "B": interval(-1.0, -2.0, 0.5)}) == (
        "between \u22121.0 [\u22122.0, 0.5] (B) and 2.0 [1.0, 3.0] (A)"
    )
    assert extremes({"A": 3.4}) == "3.4 (A)"


def test_extremes_say_where_intervals_do_not_tell_them_apart():
    overlapping = extremes({"A": interval(2.0, 1.0, 3.0), "B": interval(1.0, 0.5, 1.5)})
    assert (
        overlapping
        == "between 1.00 [0.50, 1.50] (B) and 2.0 [1.0, 3.0] (A), whose intervals overlap: they show no order"
    )
    once = interval(1.0, -math.inf, math.inf)
    assert extremes({"A": interval(2.0, 1.0, 3.0), "B": once}).endswith(
        "(B) and 2.0 [1.0, 3.0] (A): one seed shows no order"
    )
