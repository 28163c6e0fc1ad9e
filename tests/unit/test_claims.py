import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic import write_study

from robustlens.analysis.claims import Claim, NotMeasured, decide, decide_all, judge
from robustlens.analysis.claims_energy import CLAIMS, PAPER_DATASETS
from robustlens.analysis.energy_data import EnergyData
from robustlens.analysis.frames import read_runs, read_scores
from robustlens.analysis.statistics import Interval
from robustlens.report.tables import energy_claims


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


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    study = write_study(tmp_path_factory.mktemp("study"), epochs=24, images=120)
    frames = [read_runs(f) for f in (study.robustness, study.attack_energies, study.history, study.energies)]
    return EnergyData(*frames, read_scores(study.scores))


def evaluate(name, data):
    return judge(next(claim for claim in CLAIMS if claim.id == name), data)


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


def swapped(frame, first, second):
    return frame.assign(recipe=frame["recipe"].replace({first: second, second: first}))


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
    assert evaluate("energy-gap-tracks-overfitting", data).estimate == pytest.approx(np.corrcoef(gaps, overfits)[0, 1])


def test_every_claim_says_what_it_needs_and_how_it_is_decided():
    assert len(CLAIMS) >= 16
    for claim in CLAIMS:
        assert claim.statement.endswith(".") and claim.rule.endswith(".") and claim.source, claim.id
        assert "above" in claim.rule, claim.id


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


def evaluated(recipe, seed, attack, checkpoint, right, moved=0.0, index=None):
    """An evaluation, a row an image; moved: ΔE(x) of each."""
    n = len(right)
    columns = {"checkpoint": checkpoint, "attack": attack, "index": range(n) if index is None else index, "label": 3}
    columns |= {"prediction_adversarial": [3 if r else 5 for r in right], "prediction_natural": 3}
    columns |= {"marginal_natural": -8.0, "marginal_adversarial": -8.0 - np.broadcast_to(moved, n)}
    columns |= {"joint_natural": -7.0, "joint_adversarial": -7.0}
    place = {"dataset": "digits", "recipe": recipe, "seed": seed, "source": f"{recipe}/seed{seed}"}
    return pd.DataFrame(columns).assign(**place)


def holding(**frames):
    """The data with these frames; the others are empty."""
    names = [f.name for f in dataclasses.fields(EnergyData)]
    return EnergyData(**{name: frames.get(name, pd.DataFrame()) for name in names})


def trained(recipe, seed, **columns):
    """The last epoch of a history, training images."""
    place = {"dataset": "digits", "recipe": recipe, "seed": seed, "source": f"{recipe}/history"}
    return pd.DataFrame([{"epoch": 40, "split": "train", **columns, **place}])


def test_marginal_part_is_that_of_both_terms_at_the_last_epoch():
    early = trained("sat", 0, marginal_term=-9.0, conditional_term=1.0).assign(epoch=1)
    rows = [early]
    for seed, (a, b) in enumerate([(1.0, 0.2), (2.0, 0.1), (1.5, 0.3)]):
        rows += [trained("sat", seed, marginal_term=-a, conditional_term=a + 0.5)]
        rows += [trained("trades", seed, marginal_term=-b, conditional_term=b + 0.5)]
    outcome = evaluate("trades-shrinks-marginal-term", holding(history=pd.concat(rows)))
    parts = [100 * (a / (2 * a + 0.5) - b / (2 * b + 0.5)) for a, b in [(1.0, 0.2), (2.0, 0.1), (1.5, 0.3)]]
    assert outcome.estimate == pytest.approx(sum(parts) / 3)
    assert (outcome.low, outcome.high) == pytest.approx(stats.t.interval(0.95, 2, np.mean(parts), stats.sem(parts)))
    assert outcome.verdict == "supported" and "seeds only" in outcome.detail
    alone = evaluate("trades-shrinks-marginal-term", holding(history=early))
    assert (alone.verdict, alone.detail) == ("open", "Not measured: recipe trades, split train")


def test_first_phase_of_sat_is_judged_by_its_slope_and_the_bend_after_it():
    epochs = np.arange(1, 31)
    rows = []
    for seed in range(3):
        delta = -0.05 * np.minimum(epochs, 8) - 0.2 * np.maximum(epochs - 22, 0) - 1e-3 * seed * epochs
        frame = pd.DataFrame({"epoch": epochs, "split": "train", "delta_marginal": delta})
        rows.append(frame.assign(dataset="digits", recipe="sat", seed=seed, source="s"))
    early, late = (evaluate(f"sat-drops-{when}", holding(history=pd.concat(rows))) for when in ("early", "late"))
    assert early.verdict == late.verdict == "supported"
    assert early.estimate == pytest.approx(0.05, abs=0.002)  # second minus first slope, in every seed
    assert late.estimate == pytest.approx(0.2, abs=0.002)


BEST, LAST = [1, 1, 1, 1, 0, 1, 1, 0], [1, 0, 1, 0, 0, 1, 0, 1]


def overfitted(recipe, seed, best=BEST, last=LAST):
    return [evaluated(recipe, seed, "pgd20", name, right) for name, right in (("best", best), ("last", last))]


def test_overfitting_of_sat_is_the_fall_from_the_best_to_the_last_checkpoint():
    clean = evaluated("sat", 0, "clean", "best", [0] * 8)
    outcome = evaluate("sat-overfits", holding(robustness=pd.concat([clean, *overfitted("sat", 0)])))
    falls = [0, 100, 0, 100, 0, 0, 100, -100]
    assert outcome.estimate == 25.0
    assert (outcome.low, outcome.high) == pytest.approx(stats.t.interval(0.95, 7, 25.0, stats.sem(falls)))
    assert outcome.verdict == "open" and "images only" in outcome.detail


@pytest.mark.parametrize(("seeds", "verdict"), [((0,), "open"), ((0, 1), "supported")])
def test_a_clear_effect_is_decided_by_two_seeds_and_not_by_one(seeds, verdict):
    rows = [r for s in seeds for r in overfitted("sat", s, np.arange(400) < 300, np.arange(400) < 200 + s)]
    outcome = evaluate("sat-overfits", holding(robustness=pd.concat(rows)))
    assert outcome.verdict == verdict and outcome.low > 0
    assert outcome.estimate == pytest.approx(25 - 0.125 * (len(seeds) - 1))


def test_overfitting_of_trades_is_compared_at_each_runs_last_epoch():
    def run(recipe, seed, train, validation):
        ends = [(10, "train", 0.9), (10, "validation", 0.1), (40, "train", train), (40, "validation", validation)]
        return [trained(recipe, seed, robust_accuracy=a).assign(epoch=e, split=split) for e, split, a in ends]

    sat, trades = [(0.80, 0.55), (0.82, 0.54), (0.78, 0.55)], [(0.60, 0.56), (0.62, 0.55)]
    rows = [
        r for name, ends in (("sat", sat), ("trades", trades)) for s, e in enumerate(ends) for r in run(name, s, *e)
    ]
    outcome = evaluate("trades-overfits-less", holding(history=pd.concat(rows)))
    differences = [25 - 4, 28 - 7]
    assert outcome.estimate == pytest.approx(np.mean(differences)) and outcome.verdict == "supported"
    assert "SAT 26.5 points, TRADES 5.5" in outcome.detail and "seeds only" in outcome.detail
    swap = evaluate("trades-overfits-less", holding(history=swapped(pd.concat(rows), "sat", "trades")))
    assert swap.verdict == "contradicted"
    alone = evaluate("trades-overfits-less", holding(history=pd.concat(rows[: 4 * len(sat)])))
    assert "Not measured: recipe trades" in alone.detail


def test_low_energy_claim_compares_the_seeds_that_both_recipes_have():
    rows = [*overfitted("sat", 0, BEST, BEST), *overfitted("sat", 1), *overfitted("sat-no-low", 1, LAST, LAST)]
    images = [trained("sat", 1, train_images=200), trained("sat-no-low", 1, train_images=160)]
    data = holding(robustness=pd.concat(rows), history=pd.concat(images))
    outcome = evaluate("low-energy-images-drive-overfitting", data)
    assert outcome.estimate == 25.0  # of seed 1; without low-energy images nothing falls
    assert "overfitting of 25.0 points with them, 0.0 without" in outcome.detail
    images[1]["train_images"] = 200
    empty = evaluate(
        "low-energy-images-drive-overfitting", holding(robustness=data.robustness, history=pd.concat(images))
    )
    assert empty.verdict == "open" and "sat-no-low left no training image out in seed 1" in empty.detail
    old = [frame.drop(columns="train_images") for frame in images]
    again = evaluate("low-energy-images-drive-overfitting", holding(robustness=data.robustness, history=pd.concat(old)))
    assert again.estimate == 25.0


def test_high_energy_claim_needs_a_loss_and_allows_a_point_beside_the_misclassified():
    def judged(correct, wrong, n=400):
        right = {"sat": 300, "sat-no-high-correct": correct, "sat-no-misclassified": wrong}
        rows = [evaluated(r, s, "pgd20", "best", np.arange(n) < k) for r, k in right.items() for s in (0, 1)]
        return evaluate("high-energy-images-matter", holding(robustness=pd.concat(rows)))

    supported = judged(correct=260, wrong=270)
    assert supported.verdict == "supported"
    assert "loss 10.00, lead of misclassified 2.50" in supported.detail
    equal = judged(correct=260, wrong=260)  # an equal loss is as much: no interval, above -1
    assert (equal.verdict, equal.estimate) == ("supported", 0.0)
    assert judged(correct=300, wrong=300).verdict == "open"  # nothing hurts
    assert judged(correct=290, wrong=200).verdict == "contradicted"


def test_groups_of_different_sizes_are_not_compared():
    def judged(wrong):
        sizes = {"sat": (200, 200), "sat-no-high-correct": (160, 160), "sat-no-misclassified": (160, wrong)}
        history = [trained(r, seed, train_images=n) for r, of_seeds in sizes.items() for seed, n in enumerate(of_seeds)]
        rows = [evaluated(r, s, "pgd20", "best", np.arange(400) < 300) for r in sizes for s in (0, 1)]
        return evaluate("high-energy-images-matter", holding(robustness=pd.concat(rows), history=pd.concat(history)))

    assert judged(168).estimate == 0.0  # 160 is 4.8 % fewer than 168
    unequal = judged(169)
    assert unequal.verdict == "open" and math.isnan(unequal.estimate)
    assert "in seed 1, sat-no-high-correct trained on 160 images and sat-no-misclassified on 169" in unequal.detail
    assert "seed 1: its group is empty" in judged(200).detail


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
    expected = stats.pearsonr(*means)
    low, high = expected.confidence_interval()
    assert (outcome.estimate, outcome.low, outcome.high) == pytest.approx((-expected.statistic, -high, -low))
    assert "over 5 classifiers" in outcome.detail


def test_subsets_are_no_recipes_of_the_correlation_with_overfitting(data):
    copies = [data.history[data.history["recipe"] == "sat"].assign(recipe=f"sat-no-{i}") for i in range(20)]
    more = dataclasses.replace(data, history=pd.concat([data.history, *copies]))
    name = "energy-gap-tracks-overfitting"
    assert evaluate(name, more).estimate == pytest.approx(evaluate(name, data).estimate)
    assert evaluate(name, more).low == pytest.approx(evaluate(name, data).low)


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


def settings_of_sampler(distance, seeds=(("sat", 0), ("sat", 1), ("trades", 0), ("trades", 1))):
    """A grid with the distance of each setting as `distance(init, kept, sigma, momentum, steps, recipe)`."""
    rows = []
    for recipe, seed in seeds:
        for init in ("noise", "gaussian", "pca"):
            for kept, sigma in [(0.8, 0.5), (0.8, 1.0), (0.95, 1.0)] if init == "pca" else [(0.95, 1.0)]:
                for momentum in (0.0, 0.8):
                    for steps in (20, 40):
                        setting = {"init": init, "retained_variance": kept, "sigma": sigma, "momentum": momentum}
                        setting |= {"steps": steps, "step_size": 0.1, "noise": 0.001, "recipe": recipe, "seed": seed}
                        frechet = distance(init, kept, sigma, momentum, steps, recipe)
                        rows.append(setting | {"frechet": frechet, "frechet_name": "FID", "source": recipe})
    return pd.DataFrame(rows).assign(dataset="digits").sample(frac=1.0, random_state=0)


def test_pca_starts_are_compared_with_their_mean_at_equal_settings():
    def distance(init, kept, sigma, momentum, steps, recipe):
        return {"noise": 30.0, "gaussian": 20.0, "pca": 10 * kept + sigma}[init] - momentum * steps / 10 + len(recipe)

    outcome = evaluate("pca-starts-generate-better", holding(grid=settings_of_sampler(distance)))
    pca = (8 + 0.5 + 8 + 1 + 9.5 + 1) / 3
    assert outcome.estimate == pytest.approx(20 - pca) and outcome.verdict == "supported"
    assert f"16 pairs of settings: noise {30 - pca:.2f}, gaussian {20 - pca:.2f}" in outcome.detail
    assert outcome.detail.endswith("interval over pairs of settings, which are not independent of each other")
    best_only = evaluate(
        "pca-starts-generate-better",
        holding(grid=settings_of_sampler(lambda init, *rest: 5.0 if init == "gaussian" else 10 * rest[0] - rest[1])),
    )
    assert best_only.verdict == "contradicted"


def test_settings_of_no_step_are_no_descents():
    grid = settings_of_sampler(lambda init, *_: 10.0 if init == "pca" else 20.0)
    at_once = grid[grid["steps"] == 20].assign(steps=0, frechet=lambda rows: 500.0 * (rows["init"] != "pca"))
    outcome = evaluate("pca-starts-generate-better", holding(grid=pd.concat([grid, at_once])))
    assert outcome.estimate == 10.0 and "16 pairs" in outcome.detail


@pytest.mark.parametrize("name", ["pca-starts-generate-better", "momentum-generates-better"])
def test_a_grid_of_one_seed_of_a_classifier_decides_nothing(name):
    def distance(init, kept, sigma, momentum, steps, recipe):
        return 40.0 - 20 * (init == "pca") - 5 * momentum + 0.01 * steps

    two = [("sat", 0), ("sat", 1)]
    for seeds, verdict in [(two, "supported"), (two[:1], "open"), ([*two, ("trades", 0)], "open")]:
        outcome = evaluate(name, holding(grid=settings_of_sampler(distance, seeds)))
        assert outcome.verdict == verdict and outcome.low > 0
        assert outcome.detail.endswith("one seed, so open whatever it says") == (verdict == "open")
    one_of_each = settings_of_sampler(distance, [("sat", 0), ("trades", 1)])
    assert evaluate(name, holding(grid=one_of_each)).verdict == "open"


def test_momentum_is_compared_with_none_at_otherwise_equal_settings():
    def distance(init, kept, sigma, momentum, steps, recipe):
        return 20 * kept + sigma + len(init) - (0.5 if steps == 20 else 1.5) * (momentum > 0)

    grid = settings_of_sampler(distance)
    outcome = evaluate("momentum-generates-better", holding(grid=grid))
    leads = [0.5, 1.5] * 20
    assert outcome.estimate == pytest.approx(1.0)
    assert (outcome.low, outcome.high) == pytest.approx(stats.t.interval(0.95, 39, 1.0, stats.sem(leads)))
    none = evaluate("momentum-generates-better", holding(grid=grid[grid["momentum"] == 0]))
    assert none.verdict == "open" and "with and without momentum" in none.detail


@pytest.mark.parametrize(
    ("dataset", "absent"),
    [
        ("cifar10", {"weat-adv-beats-trades"}),
        ("svhn", {"weat-adv-beats-trades"}),
        ("cifar100", {"weat-adv-matches-trades", "weat-nat-matches-trades"}),
        ("tiny-imagenet-200", {"weat-adv-matches-trades", "weat-nat-matches-trades"}),
        ("digits", set()),
        ("cifar10-jpeg", set()),
    ],
)
def test_statements_about_some_datasets_are_not_judged_on_the_papers_others(tmp_path, dataset, absent):
    study = write_study(tmp_path, dataset, ("sat",), (0,), epochs=1, images=4)
    table = energy_claims.build("embedded", scores=study.scores)
    assert [row.label for row in table.rows] == [claim.id for claim in CLAIMS if claim.id not in absent]


def test_a_table_of_two_datasets_leaves_a_claim_out_of_one_of_them(tmp_path):
    first, second = (write_study(tmp_path, d, ("sat",), (0,), epochs=1, images=4) for d in ("cifar10", "digits"))
    table = energy_claims.build("embedded", scores=[*first.scores, *second.scores])
    assert [row.group for row in table.rows if row.label == "weat-adv-beats-trades"] == ["digits"]
    assert "One seed cannot show" in " ".join(table.notes)


def test_claims_name_datasets_of_the_paper():
    assert all(set(claim.datasets) <= set(PAPER_DATASETS) for claim in CLAIMS)
