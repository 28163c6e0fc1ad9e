"""What the tables, figures and claims measure, against scipy and plain loops."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from attacked import right, rows
from safetensors.numpy import save_file
from scipy import stats

from robustlens.analysis.classwise import kendall, spearman
from robustlens.configuration import entry
from robustlens.data.source import Source, with_classes
from robustlens.errors import RobustlensError
from studies.classwise import class_names, consistency, drops, errors
from studies.classwise.halves import each_way, halves
from studies.classwise.history import late_epochs, robust_by_class
from studies.classwise.results import over_what, seeds_told, span
from studies.classwise.weights import norm_correlation, read_norms

# Names of classes -----------------------------------------------------------------------------------------------------


def test_superclasses_of_a_dataset_without_some_classes_are_renumbered(tmp_path):
    whole = {"things": [0, 3], "animals": [1, 2], "people": [4]}
    sheet = {"classes": ["dog", "car"], "classes_of_source": {"kept": [2, 3], "names": list("abcde")}}
    found = class_names.of_sheet(sheet, whole)
    assert found == {"names": ["dog", "car"], "superclasses": {"things": [1], "animals": [0]}}
    everything = class_names.of_sheet({"classes": list("abcde")}, whole)
    assert everything["superclasses"] == whole
    (tmp_path / "few.json").write_text(json.dumps(found))
    names = class_names.read_class_names([tmp_path / "few.json"])["few"]
    assert names.names == ("dog", "car") and names.superclasses == {"things": [1], "animals": [0]}


@pytest.mark.parametrize("reader", ["cifar10", "cifar100", "stl10", "imagenet"])
@pytest.mark.parametrize("removed", [[3], [0, 1], [0, 1, 8]])
def test_a_removed_class_is_in_no_superclass_and_the_others_keep_theirs(reader, removed):
    catalogue = entry(reader)
    names = [f"class {c}" for c in range(catalogue["classes"])]
    kept = [c for c in range(len(names)) if c not in removed]
    source = Source(np.zeros((len(names), 1, 1, 1), np.uint8), np.arange(len(names)), names)
    smaller, facts = with_classes(source, kept)
    found = class_names.of_sheet(facts | {"classes": smaller.classes}, catalogue["superclasses"])
    before = {names[c]: name for name, group in catalogue["superclasses"].items() for c in group if c in kept}
    after = {found["names"][c]: name for name, group in found["superclasses"].items() for c in group}
    assert after == before and sum(map(len, found["superclasses"].values())) == len(kept)


def test_a_single_superclass_that_is_left_is_none():
    sheet = {"classes": ["bird", "cat"], "classes_of_source": {"kept": [2, 3], "names": list("abcdefghij")}}
    assert class_names.of_sheet(sheet, entry("cifar10")["superclasses"])["superclasses"] == {}


def test_superclasses_of_other_classes_than_the_dataset_s_are_none():
    """A folder with some of ImageNet's classes numbers them anew."""
    sheet = {"classes": ["n01440764", "n01443537"]}
    assert class_names.of_sheet(sheet, entry("imagenet")["superclasses"])["superclasses"] == {}


# Consistency ----------------------------------------------------------------------------------------------------------

SAT, TRADES = ([0.1, 0.5, 0.3, 0.9], [0.3, 0.3, 0.5, 0.7]), ([0.2, 0.6, 0.1, 0.4], [0.4, 0.4, 0.1, 0.6])


def mean_rates(per_seed):
    return [sum(values) / len(values) for values in zip(*per_seed, strict=True)]


def parts_of(recipe, per_seed, attack="pgd20"):
    return pd.concat([right(recipe, seed, rates, attack=attack) for seed, rates in enumerate(per_seed)])


def test_correlations_are_of_accuracies_that_are_averaged_over_the_seeds():
    parts = {"sat": parts_of("sat", SAT), "trades": parts_of("trades", TRADES)}
    expected = stats.kendalltau(mean_rates(SAT), mean_rates(TRADES)).statistic
    found = consistency.matrix(parts, kendall)
    assert found == pytest.approx(np.array([[1, expected], [expected, 1]]), rel=1e-12)
    assert consistency.between_recipes(parts, kendall).estimate == pytest.approx(expected, rel=1e-12)


def test_between_recipes_is_the_mean_over_pairs_and_over_those_of_one():
    rates = {"sat": SAT, "trades": TRADES, "mart": (SAT[1], TRADES[1])}
    parts = {recipe: parts_of(recipe, per_seed) for recipe, per_seed in rates.items()}
    of = {recipe: mean_rates(per_seed) for recipe, per_seed in rates.items()}
    pairs = [("sat", "trades"), ("sat", "mart"), ("trades", "mart")]
    values = {pair: stats.spearmanr(of[pair[0]], of[pair[1]]).statistic for pair in pairs}
    everything = consistency.between_recipes(parts, spearman)
    assert everything.estimate == pytest.approx(sum(values.values()) / 3, rel=1e-12)
    own = consistency.between_recipes(parts, spearman, "trades")
    assert own.estimate == pytest.approx((values["sat", "trades"] + values["trades", "mart"]) / 2, rel=1e-12)


def test_between_attacks_is_the_mean_over_the_recipes_that_have_both():
    first = {"sat": parts_of("sat", SAT), "trades": parts_of("trades", TRADES), "mart": parts_of("mart", SAT)}
    weaker = {"sat": [SAT[1], SAT[0][::-1]], "trades": [TRADES[0], TRADES[0]]}
    second = {recipe: parts_of(recipe, per_seed, "autoattack") for recipe, per_seed in weaker.items()}
    pairs = [(mean_rates(SAT), mean_rates(weaker["sat"])), (mean_rates(TRADES), mean_rates(weaker["trades"]))]
    expected = sum(stats.spearmanr(*pair).statistic for pair in pairs) / 2
    assert consistency.between_attacks(first, second, spearman).estimate == pytest.approx(expected, rel=1e-12)
    assert list(consistency.attack_pairs({"a": first, "b": second, "c": {}})) == [("a", "b")]


def test_recipes_without_a_common_seed_have_no_correlation():
    parts = {"sat": right("sat", 0, SAT[0]), "trades": right("trades", 1, SAT[0])}
    assert consistency.matrix(parts, spearman) is None
    assert consistency.between_recipes(parts, spearman) is None
    assert consistency.between_recipes({"sat": parts["sat"]}, spearman) is None


def test_what_is_not_defined_does_not_count():
    values = np.array([[1.0, np.nan], [0.5, np.nan]])
    assert np.nan_to_num(consistency.mean_defined(values, axis=0), nan=-9.0).tolist() == [0.75, -9.0]
    assert consistency.mean_defined(values, axis=1).tolist() == [1.0, 0.5]


# Stronger attacks -----------------------------------------------------------------------------------------------------


def test_images_of_a_class_fall_into_two_halves():
    assert halves(np.array([0, 1, 0, 1, 0, 1])).tolist() == [0, 2, 1, 3, 0, 2]
    (even, odd), (again, first) = each_way(np.array([1.0, 2.0, 3.0, 4.0]))
    assert even.tolist() == first.tolist() == [1.0, 3.0] and odd.tolist() == again.tolist() == [2.0, 4.0]


def test_the_slope_is_that_of_the_least_squares_line():
    x, y = np.array([0.1, 0.4, 0.5, 0.9]), np.array([0.3, 0.1, 0.2, 0.0])
    assert drops.slope(x, y) == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-12)
    assert np.isnan(drops.slope(np.full(4, 0.5), y))


def test_a_drop_is_measured_on_other_images_than_robustness():
    """Two seeds, one recipe; the expected slopes are those of polyfit on the rates of each half."""
    random = np.random.default_rng(0)
    labels = [c for c in range(4) for _ in range(10)]
    frames, rates = {"pgd20": [], "autoattack": []}, {"pgd20": np.zeros((2, 4)), "autoattack": np.zeros((2, 4))}
    for seed in range(2):
        for attack, of_attack in frames.items():
            ok = random.random(40) < 0.6
            of_attack.append(rows(labels, [c if good else 9 for c, good in zip(labels, ok, strict=True)], seed=seed))
            for i, (c, good) in enumerate(zip(labels, ok, strict=True)):
                rates[attack][i % 2, c] += good / 10  # five images of two seeds
    weak, strong = rates["pgd20"], rates["autoattack"]
    slopes = [np.polyfit(weak[h], weak[1 - h] - strong[1 - h], 1)[0] for h in (0, 1)]
    found = drops.drop_slope_interval([pd.concat(part) for part in frames.values()])
    assert found.estimate == pytest.approx(sum(slopes) / 2, rel=1e-9)
    assert math.isfinite(found.low) and found.low < found.high


# Confusion ------------------------------------------------------------------------------------------------------------

LABELS = [0, 0, 1, 1, 2, 2]


def test_the_matrix_of_a_recipe_is_averaged_over_the_seeds():
    part = pd.concat([rows(LABELS, [0, 1, 1, 1, 0, 2]), rows(LABELS, [0, 0, 2, 1, 0, 0], seed=1)])
    expected = [[0.75, 0.25, 0.0], [0.0, 0.75, 0.25], [0.75, 0.0, 0.25]]
    assert errors.mean_rates(part, 3) == pytest.approx(np.array(expected), rel=1e-12)
    gone = errors.mean_rates(part[part["label"] != 1], 3)
    assert np.isnan(gone[1]).all() and gone[[0, 2]] == pytest.approx(np.array(expected)[[0, 2]])


def test_a_measure_of_the_matrix_is_averaged_over_seeds_and_recipes():
    part = pd.concat([rows(LABELS, [0, 1, 1, 1, 0, 2]), rows(LABELS, [0, 0, 2, 1, 0, 0], seed=1)])
    other = pd.concat([rows(LABELS, [1, 1, 1, 1, 2, 2]), rows(LABELS, LABELS, seed=1)])

    def right_down_left(matrices, columns):
        assert columns.tolist() == [[0, 1, 2]] * 3
        return matrices[..., 2, 0]  # class 2 taken for class 0

    found = errors.matrix_interval([part, other], 3, right_down_left, (0, 1))
    assert found.estimate == pytest.approx((0.5 + 1.0 + 0.0 + 0.0) / 4, rel=1e-12)
    assert errors.matrix_interval([part], 4, right_down_left, (0, 1)) is None
    halved = errors.halved_interval([part], 3, lambda one, other, columns: one[..., 2, 0] - other[..., 0, 1], (-1, 1))
    # Even images: 1 and 1 of class 2 go to 0, odd: 0 and 1; of class 0, even: none, odd: 1 and 0 go to 1.
    assert halved.estimate == pytest.approx(((1.0 + 0.5) / 2) - (0.0 + 0.5) / 2, rel=1e-12)


def test_groups_are_superclasses_or_clusters():
    confused = pd.concat([rows([0, 1, 2, 3] * 2, [1, 0, 3, 2, 0, 1, 2, 3])])
    names = class_names.ClassNames(("a", "b", "c", "d"), {})
    titles, groups = errors.groups_of(names, {"sat": confused})
    assert [0, 1] in groups and [2, 3] in groups and titles[groups.index([2, 3])] == "c, d"
    given = class_names.ClassNames(("a", "b", "c", "d"), {"one": [0, 2], "two": [1, 3]})
    assert errors.groups_of(given, {"sat": confused}) == (["one", "two"], [[0, 2], [1, 3]])


def test_a_cluster_of_many_classes_is_called_by_its_first():
    pairs = [c + 1 - 2 * (c % 2) for c in range(24)]  # each class is taken for its neighbour
    names = class_names.ClassNames(tuple(f"n{c}" for c in range(24)), {})
    titles, groups = errors.groups_of(names, {"sat": rows(list(range(24)) * 2, [*range(24), *pairs])})
    assert len(groups) <= errors.CLUSTERS and sorted(c for group in groups for c in group) == list(range(24))
    (large,) = [n for n, group in enumerate(groups) if len(group) > errors.NAMED]
    assert titles[large] == f"{', '.join(f'n{c}' for c in groups[large][:3])} and {len(groups[large]) - 3} more"


# Weights --------------------------------------------------------------------------------------------------------------


def write_weights(folder, recipe, seed, weights):
    path = folder / "digits" / recipe / f"seed{seed}" / "best.safetensors"
    path.parent.mkdir(parents=True)
    save_file(weights, path)
    return path


def test_norms_are_those_of_the_rows_of_the_last_layer(tmp_path):
    last = np.array([[3.0, 4.0], [0.0, 2.0], [1.0, 1.0]], dtype=np.float32)
    plain = write_weights(tmp_path, "sat", 2, {"linear.weight": last, "other.weight": last})
    inside = write_weights(tmp_path, "trades", 0, {"network.linear.weight": 2 * last})
    found = read_norms([plain, inside])
    assert found[["dataset", "recipe", "seed"]].to_numpy().tolist() == [["digits", "sat", 2], ["digits", "trades", 0]]
    assert found["norms"][0] == pytest.approx([5.0, 2.0, math.sqrt(2)], rel=1e-12)
    assert found["norms"][1] == pytest.approx([10.0, 4.0, 2 * math.sqrt(2)], rel=1e-12)
    with pytest.raises(RobustlensError, match="0 layers are called"):
        read_norms([write_weights(tmp_path, "mart", 0, {"bilinear.weight": last})])
    assert read_norms([]).empty


def test_norms_are_correlated_run_by_run():
    norms = pd.DataFrame(
        {"seed": [1, 0, 7], "norms": [np.array(v) for v in ([1.0, 2, 4, 3], [2.0, 1, 1, 3], [0.0] * 4)]}
    )
    part = parts_of("sat", SAT)
    expected = [stats.pearsonr(SAT[0], [2, 1, 1, 3]).statistic, stats.pearsonr(SAT[1], [1, 2, 4, 3]).statistic]
    assert norm_correlation(part, norms).estimate == pytest.approx(sum(expected) / 2, rel=1e-9)
    assert norm_correlation(part, norms[norms["seed"] == 7]) is None


# History --------------------------------------------------------------------------------------------------------------


def test_late_epochs_are_the_last_quarter_and_at_least_two():
    assert late_epochs(pd.DataFrame({"epoch": range(1, 41)}))["epoch"].tolist() == list(range(31, 41))
    assert late_epochs(pd.DataFrame({"epoch": [3, 1, 2]}))["epoch"].tolist() == [3, 2]


def test_rates_of_classes_follow_the_epochs():
    run = pd.DataFrame({"epoch": [2, 1], "class_total": [[4, 5], [4, 5]], "class_robust": [[3, 1], [2, 0]]})
    assert robust_by_class(run).tolist() == [[0.5, 0.0], [0.75, 0.2]]


def test_a_span_is_one_number_or_two():
    assert span([3, 3]) == "3" and span([5, 2, 3]) == "2 to 5"


def test_seeds_are_told_once_where_all_attacks_have_as_many():
    assert seeds_told({"clean": [3, 3], "PGD-20": [3]}) == ["Seeds of each recipe: 3."]
    assert seeds_told({"clean": [3, 3], "PGD-20": [2, 3], "none": []}) == [
        "Seeds of each recipe: clean: 3; PGD-20: 2 to 3."
    ]
    assert seeds_told({}) == seeds_told({"none": []}) == []


def test_an_interval_of_one_seed_is_not_over_seeds():
    assert over_what([1, 1]) == "images (one seed of each recipe)"
    assert over_what([1, 3]) == "images and seeds (1 to 3 of each recipe)"
