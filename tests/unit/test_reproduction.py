"""The rule by which a published number is called reproduced, against its terms worked out one by one."""

import math

import pytest
from scipy import stats
from synthetic import AS_PUBLISHED, RESNET18, context
from tabulated import cells, index_of

from robustlens.report.published import Published
from robustlens.report.reproduction import RULE, reproduction
from robustlens.report.tables import robustness


def paper(value, std=None):
    return Published(value, "Some paper, table 2", "its own page", std=std)


def half_width(accuracies, n, published, std=None):
    """sqrt(a^2 + b^2 + c^2) of RULE, in float64."""
    k = len(accuracies)
    mean = sum(accuracies) / k
    a = stats.t.ppf(0.975, k - 1) * math.sqrt(sum((x - mean) ** 2 for x in accuracies) / (k - 1) / k)
    b = 100 * stats.norm.ppf(0.975) * math.sqrt(mean / 100 * (1 - mean / 100) / n)
    p = published / 100
    c = stats.norm.ppf(0.975) * (100 * math.sqrt(p * (1 - p) / n) if std is None else std)
    return math.sqrt(a * a + b * b + c * c)


@pytest.mark.parametrize(
    ("accuracies", "n", "published", "std", "verdict"),
    [
        ([50.0, 50.2, 50.4], 10_000, 49.6, None, "reproduced"),
        ([50.0, 50.2, 50.4], 10_000, 52.0, None, "not reproduced"),
        ([50.0, 50.2, 50.4], 10_000, 48.0, None, "not reproduced"),
        ([50.0, 50.2, 50.4], 1_000, 49.6, None, "can't tell"),  # too few images
        ([48.0, 50.2, 52.4], 10_000, 49.6, None, "can't tell"),  # too far from seed to seed
        ([50.0, 50.2, 50.4], 10_000, 51.4, 0.1, "not reproduced"),  # which is within the binomial error of two
        ([50.0, 50.2, 50.4], 10_000, 51.4, None, "reproduced"),
        ([50.0, 50.2, 50.4], 10_000, 51.4, 3.0, "can't tell"),
    ],
)
def test_the_interval_and_the_verdict_are_those_of_the_rule(accuracies, n, published, std, verdict):
    found = reproduction(accuracies, n, paper(published, std))
    half = half_width(accuracies, n, published, std)
    difference = sum(accuracies) / 3 - published
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((difference - half, difference + half), abs=1e-12)
    assert found.verdict == verdict


def test_one_seed_gives_a_difference_and_no_interval():
    found = reproduction([50.0], 10_000, paper(20.0))
    assert (found.difference, found.verdict) == (30.0, "can't tell")
    assert math.isnan(found.low) and math.isnan(found.high)


@pytest.mark.parametrize("trust", ["third-party summary", "read off a picture"])
@pytest.mark.parametrize("published", [50.2, 20.0])
def test_a_number_that_was_not_read_in_a_table_of_its_paper_has_a_difference_and_no_verdict(published, trust):
    accuracies = [50.0, 50.2, 50.4]
    read = Published(published, "Some paper, table 2", trust)
    first_hand, second_hand = (reproduction(accuracies, 10_000, number) for number in (paper(published), read))
    assert first_hand.verdict in ("reproduced", "not reproduced") and second_hand.verdict == "can't tell"
    assert (second_hand.difference, second_hand.low) == (first_hand.difference, first_hand.low)


def results(folder, images, wrong):
    """Evaluations of SAT and TRADES on CIFAR-10; wrong: recipe -> of each seed how many images PGD-20 turns wrong."""
    return [
        index_of(folder, recipe, seed, {("best", "pgd20"): {i: i >= k for i in range(images)}}, "cifar10")
        for recipe, counts in wrong.items()
        for seed, k in enumerate(counts)
    ]


BLOCK = """
architectures: {resnet18: {family: resnet, blocks: [2, 2, 2, 2], width: 64, block: basic}}
blocks:
- {source: one, trust: its own page, dataset: cifar10, architecture: resnet18, metrics: [pgd], values: {sat: [49.0],
   trades: [53.0], mart: [50.0]}}
- {source: two, trust: unverified, dataset: cifar10, architecture: resnet18, metrics: [pgd], values: {gairat: [50.0]}}
"""


def test_a_table_of_robustness_has_published_numbers_and_verdicts_at_a_scale_without_a_caveat(tmp_path):
    wrong = {"sat": [2040, 2050, 2036], "trades": [2040, 2050, 2036], "mart": [2000], "gairat": [1, 2]}
    files = results(tmp_path, 4000, wrong)
    (tmp_path / "p.yaml").write_text(BLOCK)

    def build(**told):
        facts = context(architectures={"cifar10": RESNET18}, threats=AS_PUBLISHED, **told)
        return robustness.build(facts, evaluations=files, published=tmp_path / "p.yaml")

    table = build(caveat="")
    row = {label: cells(table)[label, "Best checkpoint: PGD-20"] for label in ("SAT", "TRADES", "MART", "GAIRAT")}
    assert [row[name]["reproduction"] for name in row] == ["can't tell", "not reproduced", "can't tell", ""]
    assert row["GAIRAT"]["published"] == ""  # what is not verified is not shown
    ours = [100 * (1 - k / 4000) for k in wrong["trades"]]
    half = half_width(ours, 4000, 53.0)
    got = [float(row["TRADES"][f"minus_published{end}"]) for end in ("", "_low", "_high")]
    mean = sum(ours) / 3 - 53.0
    assert got == pytest.approx([mean, mean - half, mean + half])
    assert RULE in table.notes and row["MART"]["minus_published_low"] == ""
    latex, html = table.to_latex(), table.to_html()
    assert (
        "& PGD-20 & published & " in latex
        and "& verdict" in latex
        and "not reproduced" in latex
        and "can\\textquotesingle{}t tell" in latex
    )
    assert 'data-label="verdict">not reproduced</td>' in html
    other = build()
    assert "ublished" not in other.to_latex() + other.to_html() and RULE not in other.notes
    assert all(cell["published"] == cell["reproduction"] == "" for cell in cells(other).values())
    # Everything else is the same at every scale.
    own = {key: cell["value"] for key, cell in cells(table).items()}
    assert own == {key: cell["value"] for key, cell in cells(other).items()}
