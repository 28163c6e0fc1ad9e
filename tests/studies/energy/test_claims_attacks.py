import math

import numpy as np
import pandas as pd
import pytest
from claim_data import evaluate, evaluated, holding
from scipy import stats


def test_smoothness_claim_is_minus_a_correlation_over_classifiers():
    random = np.random.default_rng(5)
    rows, points = [], {}
    checkpoints = {"sat": "best", "trades": "best", "mart": "best", "weat-adv": "best", "wu2020": "published"}
    for number, (recipe, checkpoint) in enumerate(checkpoints.items()):
        for seed in (0, 1) if recipe != "wu2020" else (0,):
            right, moved = random.random(40) < 0.3 + 0.1 * number, random.normal(0, 2 - 0.3 * number, 40)
            rows.append(evaluated(recipe, seed, "pgd20", checkpoint, right, moved))
            points.setdefault(recipe, []).append((sum(right) / 40, sum(abs(m) for m in moved) / 40))
    rows += [evaluated("standard", 0, "pgd20", "best", [0] * 40, 9.0), evaluated("sat", 0, "pgd20", "last", [0] * 40)]
    rows += [evaluated("sat-no-low", 0, "pgd20", "best", [1] * 40, 9.0), evaluated("sat", 0, "clean", "best", [1] * 40)]
    outcome = evaluate("robust-models-are-smoother", holding(robustness=pd.concat(rows)))
    means = [[sum(p[i] for p in runs) / len(runs) for runs in points.values()] for i in (0, 1)]
    pearson, spearman = stats.pearsonr(*means), stats.spearmanr(*means).statistic
    low, high = pearson.confidence_interval(0.975)
    bounded = max(-0.9, min(0.9, -spearman))  # of 5 ranks of which two neighbours are swapped: 1 - 12 / (5 (25 - 1))
    by_rank = np.arctanh(bounded) - stats.norm.ppf(1 - 0.05 / 4) * ((1 + spearman**2 / 2) / 2) ** 0.5
    assert "5 classifiers: Pearson's r " in outcome.detail
    if np.tanh(by_rank) < -high:
        assert (outcome.estimate, outcome.low) == pytest.approx((-spearman, np.tanh(by_rank)))
    else:
        assert (outcome.estimate, outcome.low, outcome.high) == pytest.approx((-pearson.statistic, -high, -low))


def attacked(attack, seed, rows):
    """rows: (right, E(x, y), E(x*, y), E(x) - E(x*)) of each image."""
    right, before, after, moved = map(np.array, zip(*rows, strict=True))
    frame = evaluated("standard", seed, attack, "last", right, moved)
    return frame.assign(joint_natural=before, joint_adversarial=after)


def test_kl_pgd_splits_the_images_and_fools_fewer_than_pgd():
    kl = [
        attacked("kl-pgd", 0, [(0, -9.0, 3.0, 1.0), (0, -9.0, 5.0, 1.0), (1, -9.0, -20.0, 1.0)]),
        attacked("kl-pgd", 1, [(0, -8.0, 2.0, 1.0), (1, -9.0, -17.0, 1.0), (1, -9.0, -21.0, 1.0)]),
    ]
    pgd = [attacked("pgd", seed, [(0, -9.0, 6.0, 2.0)] * 3) for seed in (0, 1)]
    data = holding(attack_energies=pd.concat([*kl, *pgd]))
    outcome = evaluate("kl-pgd-is-bimodal", data)
    rises, falls = [(12 + 14) / 2, 10], [11, (8 + 12) / 2]
    half = stats.t.ppf(0.9875, 1) * np.std(rises, ddof=1) / math.sqrt(2)
    assert (outcome.estimate, outcome.high - outcome.estimate) == pytest.approx((11.5, half))  # the wider decides
    assert f"rise of the fooled 11.50, fall of the others {np.mean(falls):.2f}" in outcome.detail
    assert evaluate("kl-pgd-fools-fewer", data).estimate == pytest.approx(100 * 3 / 6)
    everyone = holding(attack_energies=pd.concat(kl).assign(prediction_adversarial=5))
    assert "fools all" in evaluate("kl-pgd-is-bimodal", everyone).detail


def test_kl_pgd_is_judged_on_images_that_are_right_without_it():
    rows = [(0, -9.0, 3.0, 1.0), (1, -9.0, -20.0, 1.0), (0, -9.0, -99.0, 1.0)]
    kl = pd.concat([attacked("kl-pgd", seed, rows) for seed in (0, 1)])
    wrong = kl.assign(prediction_natural=np.where(kl["index"] == 2, 5, 3))  # the fooled image that sinks to -99
    outcome = evaluate("kl-pgd-is-bimodal", holding(attack_energies=wrong))
    assert "50.0 % of 4 fooled; rise of the fooled 12.00, fall of the others 11.00" in outcome.detail
    assert outcome.verdict == "supported"
    assert evaluate("kl-pgd-is-bimodal", holding(attack_energies=kl)).verdict == "contradicted"
    never = evaluate("kl-pgd-is-bimodal", holding(attack_energies=kl.assign(prediction_natural=5)))
    assert "no image is classified correctly" in never.detail


def test_targeted_attacks_must_raise_the_energy():
    def judged(moved):
        falls = [[-moved + 0.01 * (i + s) for i in range(9)] for s in (0, 1)]
        rows = [attacked("pgd-targeted", s, [(0, -9.0, 3.0, fall) for fall in falls[s]]) for s in (0, 1)]
        pgd = attacked("pgd", 0, [(0, -9.0, 3.0, 50.0)] * 9)  # another attack does not count
        data = holding(attack_energies=pd.concat([pgd, *rows]))
        return evaluate("targeted-attacks-raise-energy", data), -np.mean(falls)

    (up, rise), (down, fall) = judged(2.0), judged(-2.0)
    assert up.verdict == "supported" and up.estimate == pytest.approx(rise)
    assert down.verdict == "contradicted" and down.estimate == pytest.approx(fall)


def test_kl_and_apgd_must_both_lower_the_energy():
    def judged(fall):
        rows = [attacked("kl-pgd", s, [(0, -9.0, 3.0, 2.0 + 0.01 * i) for i in range(9)]) for s in (0, 1)]
        rows += [attacked("apgd-ce", s, [(0, -9.0, 3.0, fall + 0.01 * i) for i in range(9)]) for s in (0, 1)]
        return evaluate("kl-and-apgd-lower-energy", holding(attack_energies=pd.concat(rows)))

    assert judged(1.0).verdict == "supported" and judged(1.0).estimate == pytest.approx(1.04)
    assert judged(-1.0).verdict == "contradicted"


def test_weat_adv_must_beat_every_baseline():
    right = {"weat-adv": 90, "sat": 60, "trades": 70, "mail-trades": 80, "weat-nat": 75}
    rows = {
        r: pd.concat([evaluated(r, s, "autoattack", "best", np.arange(100) < k) for s in (0, 1)])
        for r, k in right.items()
    }
    data = holding(robustness=pd.concat(rows.values()))
    outcome = evaluate("weat-adv-beats-baselines", data)
    # the two seeds are equal, so that images alone vary
    half = stats.t.ppf(1 - 0.05 / 6, 99) * math.sqrt(100**2 * 0.1 * 0.9 / 99)
    assert (outcome.verdict, outcome.estimate) == ("supported", pytest.approx(10.0))
    assert outcome.low == pytest.approx(10 - half)
    assert evaluate("weat-adv-beats-weat-nat", data).estimate == pytest.approx(15.0)
    assert evaluate("weat-adv-matches-trades", data).verdict == "supported"
    fewer = holding(robustness=pd.concat([rows["weat-adv"], rows["sat"], rows["trades"]]))
    assert evaluate("weat-adv-beats-baselines", fewer).detail.startswith("Not measured: recipe mail-trades")
