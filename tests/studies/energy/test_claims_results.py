import dataclasses

import numpy as np
import pandas as pd
import pytest
from claim_data import evaluate, results, swapped
from scipy import stats

from robustlens.analysis.claims import judge
from studies.energy.claims import CLAIMS, PAPER_DATASETS
from studies.energy.claims.data import EnergyData


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return results(tmp_path_factory.mktemp("study"))


def test_claims_on_results_made_to_support_them(data):
    expected = {
        "pgd-lowers-energy": 14.0,
        "minimal-attacks-raise-energy": 4.0,
        "pgd-lowers-energy-most": 18.0,
        "trades-aligns-energies": 0.65,
        "sat-generates-better": 10.0,
    }
    for name, value in expected.items():
        outcome = evaluate(name, data)
        assert outcome.verdict == "supported", name
        assert outcome.estimate == pytest.approx(value, rel=0.15), name
    assert evaluate("sat-drops-late", data).verdict == "supported"
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)


def test_energy_gap_of_weat_is_the_difference_of_two_absolute_means(data):
    last = data.energies[(data.energies["epoch"] == 24) & (data.energies["split"] == "train")]
    means = {}
    for recipe in ("trades", "weat-adv"):
        rows = last[last["recipe"] == recipe]
        means[recipe] = abs(float((rows["marginal_natural"] - rows["marginal_adversarial"]).mean()))
    outcome = evaluate("weat-adv-aligns-energies", data)
    assert outcome.estimate == pytest.approx(means["trades"] - means["weat-adv"])
    assert outcome.low < outcome.estimate < outcome.high


def test_claims_are_contradicted_when_the_recipes_are_swapped(data):
    swap = EnergyData(
        data.robustness,
        data.attack_energies.assign(marginal_natural=2 * data.attack_energies["marginal_adversarial"]),
        data.history,
        swapped(data.energies, "sat", "trades"),
        swapped(data.scores, "sat", "trades"),
    )
    names = ("pgd-lowers-energy", "minimal-attacks-raise-energy", "trades-aligns-energies", "sat-generates-better")
    verdicts = {name: evaluate(name, swap).verdict for name in names}
    assert verdicts["trades-aligns-energies"] == verdicts["sat-generates-better"] == "contradicted"
    assert verdicts["pgd-lowers-energy"] == "contradicted"
    assert verdicts["minimal-attacks-raise-energy"] == "supported"


def test_robustness_claim_is_the_paired_difference_by_hand(data):
    rows = data.robustness[(data.robustness["attack"] == "autoattack") & (data.robustness["checkpoint"] == "best")]
    matrix = []
    for seed in (0, 1, 2):
        right = {}
        for recipe in ("weat-adv", "trades"):
            run = rows[(rows["recipe"] == recipe) & (rows["seed"] == seed)].sort_values("index")
            right[recipe] = [100.0 * (p == y) for p, y in zip(run["prediction_adversarial"], run["label"], strict=True)]
        matrix.append([a - b for a, b in zip(right["weat-adv"], right["trades"], strict=True)])
    outcome = evaluate("weat-adv-beats-trades", data)
    assert outcome.estimate == pytest.approx(np.mean(matrix))
    assert outcome.unit == "points"


def test_equal_recipes_match_but_neither_beats_the_other(data):
    trades = data.robustness[data.robustness["recipe"] == "trades"]
    same = EnergyData(
        pd.concat([trades, trades.assign(recipe="weat-adv"), trades.assign(recipe="weat-nat")]),
        *(data.attack_energies, data.history, data.energies, data.scores),
    )
    assert evaluate("weat-nat-matches-trades", same).verdict == "supported"
    assert evaluate("weat-adv-beats-trades", same).verdict == "open"


def test_claims_without_their_results_are_open(data):
    nothing = EnergyData(*[pd.DataFrame()] * 5)
    assert {judge(claim, nothing).verdict for claim in CLAIMS} == {"open"}
    few = EnergyData(
        data.robustness, data.attack_energies, data.history[data.history["recipe"] == "sat"], data.energies, data.scores
    )
    assert "at least 4" in evaluate("energy-gap-tracks-overfitting", few).detail


def test_energy_gap_claim_is_a_correlation_over_recipes(data):
    gaps, overfits = [], []
    for recipe in ("sat", "trades", "mart", "mail-trades", "weat-nat", "weat-adv"):
        last = data.history[(data.history["recipe"] == recipe) & (data.history["epoch"] == 24)]
        gap, overfit = [], []
        for seed in (0, 1, 2):
            run = last[last["seed"] == seed].set_index("split")
            gap.append(abs(run.loc["train", "delta_marginal"]))
            overfit.append(run.loc["train", "robust_accuracy"] - run.loc["validation", "robust_accuracy"])
        gaps.append(sum(gap) / 3)
        overfits.append(sum(overfit) / 3)
    outcome = evaluate("energy-gap-tracks-overfitting", data)
    pearson, spearman = stats.pearsonr(gaps, overfits).statistic, stats.spearmanr(gaps, overfits).statistic
    assert f"6 recipes: Pearson's r {pearson:.2f}, Spearman's rank correlation {spearman:.2f}" in outcome.detail
    rank = outcome.detail.endswith("Spearman's rank correlation decides; interval over pairs")
    r, variance = (spearman, (1 + spearman**2 / 2) / 3) if rank else (pearson, 1 / 3)
    half = stats.norm.ppf(1 - 0.05 / 4) * variance**0.5
    ends = np.tanh([np.arctanh(r), np.arctanh(r) - half, np.arctanh(r) + half])
    assert (outcome.estimate, outcome.low, outcome.high) == pytest.approx(tuple(ends))


def test_every_claim_says_what_it_needs_and_how_it_is_decided():
    assert len(CLAIMS) >= 16
    for claim in CLAIMS:
        assert claim.statement.endswith(".") and claim.rule.endswith(".") and claim.source, claim.id
        assert "above" in claim.rule, claim.id


def test_variants_are_no_recipes_of_the_correlation_with_overfitting(data):
    copies = [data.history[data.history["recipe"] == "sat"].assign(recipe=f"sat-no-{i}") for i in range(20)]
    changes = {**data.changes, **{f"sat-no-{i}": "sat" for i in range(20)}}
    more = dataclasses.replace(data, history=pd.concat([data.history, *copies]), changes=changes)
    name = "energy-gap-tracks-overfitting"
    assert evaluate(name, more).estimate == pytest.approx(evaluate(name, data).estimate)
    assert evaluate(name, more).low == pytest.approx(evaluate(name, data).low)


def test_claims_name_datasets_of_the_paper():
    assert all(set(claim.datasets) <= set(PAPER_DATASETS) for claim in CLAIMS)
