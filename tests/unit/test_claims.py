import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from robustlens.analysis.claims import Claim, NotMeasured, decide, decide_all, decide_intervals, judge
from robustlens.analysis.statistics import Interval


@pytest.mark.parametrize(
    ("low", "high", "bound", "verdict"),
    [
        (0.1, 0.5, 0.0, "supported"),
        (-0.5, -0.1, 0.0, "contradicted"),
        (-0.1, 0.2, 0.0, "open"),
        (0.0, 0.0, 0.0, "open"),
        (-0.5, 0.4, -1.0, "supported"),
        (-math.inf, math.inf, 0.0, "open"),
    ],
)
def test_decide(low, high, bound, verdict):
    outcome = decide(Interval(0.0, low, high, "images"), "nat", "what", ["a", "a", "b"], bound)
    assert outcome.verdict == verdict
    assert outcome.sources == ("a", "b")


@pytest.mark.parametrize("ends", [(0.1, 0.5), (-0.5, -0.1), (-0.1, 0.2)])
def test_one_seed_decides_nothing(ends):
    outcome = decide(Interval(0.3, *ends, "images only (one seed)"), "nat", "what")
    assert (outcome.verdict, outcome.estimate, outcome.low, outcome.high) == ("open", 0.3, *ends)
    assert outcome.detail == "what; interval over images only (one seed); one seed, so open whatever it says"
    both = decide(Interval(0.3, *ends, "seeds and images"), "nat", "what")
    assert both.detail == "what; interval over seeds and images"


def test_judge_leaves_a_claim_open_when_nothing_was_measured():
    def missing(_):
        raise NotMeasured("recipe weat-adv")

    outcome = judge(Claim("name", "statement", "source", "rule", missing), None)
    assert (outcome.verdict, outcome.detail) == ("open", "Not measured: recipe weat-adv")


def test_decide_all_is_decided_by_the_part_that_is_furthest_below_its_bound():
    random = np.random.default_rng(4)
    parts = {name: random.normal(mean, 1.0, (50, 1)) for name, mean in (("a", 3.0), ("b", 2.0), ("c", 1.5))}
    ends = {
        name: stats.t.interval(1 - 0.05 / 3, 49, values.mean(), stats.sem(values[:, 0]))
        for name, values in parts.items()
    }
    outcome = decide_all(parts, "means:", ["f"], "points")
    assert (outcome.verdict, outcome.low) == ("supported", pytest.approx(ends["c"][0]))
    assert "c decides" in outcome.detail and outcome.detail.endswith("interval over seeds only")
    high = decide_all(parts, "means:", ["f"], "points", bounds={"a": 2.9})
    assert (high.verdict, high.low) == ("open", pytest.approx(ends["a"][0]))
    over = decide_all(parts, "", ["f"], bounds={"b": 4.0}, over="pairs of settings")
    assert over.verdict == "contradicted" and over.detail.endswith("interval over pairs of settings")


def test_a_part_of_one_seed_leaves_a_claim_open_unless_another_part_contradicts():
    random = np.random.default_rng(6)
    single, many, against = (random.normal(mean, 0.1, (n, 50)) for mean, n in ((1, 1), (2, 3), (-1, 3)))
    outcome = decide_all({"many": many, "single": single}, "", [])
    assert outcome.verdict == "open" and "single decides" in outcome.detail and "one seed, so open" in outcome.detail
    refuted = decide_all({"against": against, "single": single}, "", [])
    assert refuted.verdict == "contradicted" and "against decides" in refuted.detail
    assert decide_all({"single": -single, "many": many}, "", []).verdict == "open"


SEVERAL, SINGLE = "seeds and images", "images only (one seed)"


@pytest.mark.parametrize(
    ("ends", "verdict", "deciding"),
    [
        ({"a": (0.2, 0.9), "b": (0.1, 0.3)}, "supported", "b"),
        ({"a": (0.2, 0.9), "b": (-0.1, 0.3)}, "open", "b"),
        # The one whose interval reaches furthest down is open; the other one contradicts.
        ({"a": (-0.9, 0.4), "b": (-0.3, -0.1)}, "contradicted", "b"),
        ({"a": (0.2, 0.9), "b": (math.nan, math.nan)}, "open", "b"),
    ],
)
def test_of_several_intervals_all_must_lie_above_and_one_below_contradicts(ends, verdict, deciding):
    intervals = {name: Interval(0.5, *of, SEVERAL) for name, of in ends.items()}
    outcome = decide_intervals(intervals, "slopes:", ["f"], "point")
    assert (outcome.verdict, outcome.unit) == (verdict, "point")
    assert outcome.detail == f"slopes: a 0.50, b 0.50; {deciding} decides; interval over {SEVERAL}"


def test_an_interval_of_one_seed_leaves_the_claim_open_unless_another_one_contradicts():
    single = Interval(0.5, 0.4, 0.6, SINGLE)
    for other, verdict in ((Interval(0.2, 0.1, 0.3, SEVERAL), "open"), (Interval(-2, -3, -1, SEVERAL), "contradicted")):
        assert decide_intervals({"single": single, "other": other}, "", []).verdict == verdict


@pytest.mark.parametrize(
    ("estimate", "low", "high", "bound"), [(1.0, -2.0, 4.0, 0.0), (-1.0, -4.0, 2.0, 0.0), (3, 0, 6, 2)]
)
def test_an_underpowered_claim_says_how_many_times_as_many_it_would_take(estimate, low, high, bound):
    outcome = decide(Interval(estimate, low, high, "seeds and images"), "nat", "so", bound=bound)
    assert (outcome.verdict, outcome.why_open) == ("open", "underpowered")
    assert outcome.times_n == pytest.approx(9.0)  # three times too wide: nine times as many
    narrower = 3.0 / outcome.times_n**0.5
    assert narrower == pytest.approx(abs(estimate - bound))


def test_one_seed_is_the_reason_whatever_the_interval_and_a_decided_claim_has_none():
    single = decide(Interval(1.0, 0.5, 1.5, "images only (one seed)"), "nat", "so")
    assert (single.verdict, single.why_open) == ("open", "one seed") and math.isnan(single.times_n)
    decided = decide(Interval(1.0, 0.5, 1.5, "seeds and images"), "nat", "so")
    assert (decided.verdict, decided.why_open) == ("supported", "") and math.isnan(decided.times_n)
    opened = decided.opened("underpowered", "chosen on few images")
    assert (opened.verdict, opened.why_open, opened.detail) == ("open", "underpowered", "chosen on few images")
    assert opened.estimate == decided.estimate and math.isnan(opened.times_n)
    with pytest.raises(ValueError, match="an open claim has one"):
        dataclasses.replace(decided, verdict="open")
