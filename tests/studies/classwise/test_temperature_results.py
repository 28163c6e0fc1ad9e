"""Tables, figure and claims of Temperature-PGD from made-up evaluations, against loops over their images."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from made_up_temperature import EVALUATED, LABELS, RECIPES, SEEDS, evaluations
from matplotlib.colors import to_hex
from scipy import stats
from synthetic import CAVEAT, OTHER_THREAT, THREAT, THREATS, write_evaluations

from robustlens.analysis.claims import OPEN, judge
from robustlens.report.context import Context, Recipe
from robustlens.study.declaration import USES
from studies.classwise.claims.data import ClasswiseData, read
from studies.classwise.claims.temperature import CLAIMS
from studies.classwise.class_names import ClassNames
from studies.classwise.figures import temperature as figure
from studies.classwise.figures import temperature_classes as by_class
from studies.classwise.tables import temperature, temperature_gain, temperature_signs, temperature_spread
from studies.classwise.temperature import FIXED, inverse_temperature

CLASSES, IMAGES = 3, 24
SWEPT = [attack for attack in LABELS if inverse_temperature(attack)]


def answers(recipe: str, threat: str) -> pd.DataFrame:
    """Every attack, for each seed: the images in random order, so that classes differ and no two attacks are alike."""
    random, frames = np.random.default_rng([len(recipe), len(threat)]), []
    label = np.arange(IMAGES) % CLASSES
    for seed in SEEDS:
        for attack in LABELS:
            right = random.random(IMAGES) < 0.9 - 0.2 * label
            columns = {"checkpoint": "best", "attack": attack, "index": np.arange(IMAGES), "label": label}
            columns |= {"prediction_adversarial": np.where(right, label, (label + 1) % CLASSES)}
            joint = random.normal(-5, 1, IMAGES)
            columns |= {"joint_natural": joint, "marginal_natural": joint - random.random(IMAGES)}
            frames.append(pd.DataFrame(columns).assign(seed=seed, recipe=recipe, threat=threat))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All rows, the indexes of their suites, and a context."""
    folder = tmp_path_factory.mktemp("results")
    rows = pd.concat([answers("he", THREAT), answers("mail-at", THREAT), answers("he", OTHER_THREAT)])
    paths = []
    for (threat, recipe, seed), part in rows.groupby(["threat", "recipe", "seed"], sort=False):
        own = part.drop(columns=["threat", "recipe", "seed"])
        paths.append(write_evaluations(folder, own, recipe, int(seed), suite="temperature", threat=threat))
    looks = {"he": ("#CC79A7", "h"), "mail-at": ("#000000", "v")}
    recipes = {name: Recipe(label, *looks[name], threats={"digits": THREAT}) for name, (label, *_) in RECIPES.items()}
    fields = {"caveat": CAVEAT, "recipes": recipes, "attacks": LABELS, "threats": THREATS, "uses": USES}
    return rows, paths, Context("temperature", "classwise", **fields)


def class_rates(rows: pd.DataFrame, attacks: list[str]) -> list[list[float]]:
    """Seed by seed, in %, the images of each class that are right under all of the attacks."""
    found = []
    for seed in SEEDS:
        right, total = [0] * CLASSES, [0] * CLASSES
        for image in range(IMAGES):
            of_image = rows[(rows["seed"] == seed) & (rows["index"] == image) & rows["attack"].isin(attacks)]
            total[image % CLASSES] += 1
            right[image % CLASSES] += all(of_image["prediction_adversarial"] == of_image["label"])
        found.append([100 * r / t for r, t in zip(right, total, strict=True)])
    return found


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


METRICS = {
    "average, %": mean,
    "worst class, %": min,
    "CV": lambda rates: mean([(rate / 100 - mean(rates) / 100) ** 2 for rate in rates]),
    "MCD, points": lambda rates: max(rates) - min(rates),
}


def columns_of(table) -> dict[str, list[str]]:
    """The label of a column -> its attacks."""
    by_label = {label: [attack] for attack, label in LABELS.items() if attack not in SWEPT}
    by_label |= {f"{inverse_temperature(attack):g}": [attack] for attack in SWEPT} | {"any 1/T": SWEPT}
    assert [column.label for column in table.columns] == [
        *("0.5", "1", "5", "20", "any 1/T"),
        *(LABELS[name] for name in ("pgd20", "margin-pgd20", "clean")),
    ]
    return {column.label: by_label[column.label] for column in table.columns}


@pytest.mark.parametrize("module", [temperature, temperature_spread])
def test_the_tables_have_what_loops_over_images_find(made, module):
    rows, paths, context = made
    table = module.build(context, evaluations=paths)
    attacks, seen = columns_of(table), set()
    for row in table.rows:
        name, threat = row.label.partition(", ")[::2]
        recipe = next(recipe for recipe, (label, *_) in RECIPES.items() if label == name)
        chosen = rows[(rows["recipe"] == recipe) & (rows["threat"] == (OTHER_THREAT if threat else THREAT))]
        for cell, (label, behind) in zip(row.cells, attacks.items(), strict=True):
            expected = mean([METRICS[row.group](rates) for rates in class_rates(chosen, behind)])
            assert cell.value == pytest.approx(expected, rel=1e-12, abs=1e-12), (row.group, row.label, label)
            assert cell.low is cell.high is None or cell.low < cell.high
            assert cell.n_seeds == len(SEEDS) and cell.n_images == IMAGES
            assert len(cell.sources) == len(SEEDS) * len(behind)
        seen.add((row.group, recipe, bool(threat)))
    recipes = {("he", False), ("mail-at", False), ("he", True)}
    assert seen == {(group, *of) for group in module.METRICS for of in recipes}
    assert any(note.startswith("Trained under L∞") and note.endswith("HE.") for note in table.notes)


def test_a_table_says_which_attacks_were_tried_on_fewer_images(made, tmp_path):
    rows, _, context = made
    some = rows[(rows["recipe"] == "he") & (rows["threat"] == THREAT) & (rows["seed"] == 0)]
    some = some[(some["attack"] != FIXED) | (some["index"] < 9)]
    paths = [write_evaluations(tmp_path, some.drop(columns=["threat", "recipe", "seed"]), "he", suite="temperature")]
    notes = temperature.build(context, evaluations=paths).notes
    assert f"digits: {IMAGES} test images, but {LABELS[FIXED]} 9." in notes
    assert not any("test images, but" in note for note in temperature.build(context, evaluations=made[1]).notes)


def test_the_table_of_gains_subtracts_image_by_image_and_has_the_mean_probability(made):
    rows, paths, context = made
    table = temperature_gain.build(context, evaluations=paths)
    assert [column.label for column in table.columns] == ["p(y)", LABELS[FIXED], LABELS["margin-pgd20"]]
    for row, (recipe, threat) in zip(
        table.rows, (("he", THREAT), ("mail-at", THREAT), ("he", OTHER_THREAT)), strict=True
    ):
        own = rows[(rows["recipe"] == recipe) & (rows["threat"] == threat)]
        clean = own[own["attack"] == "clean"]
        p = [math.exp(m - j) for m, j in zip(clean["marginal_natural"], clean["joint_natural"], strict=True)]
        assert row.cells[0].value == pytest.approx(mean(p), rel=1e-12)
        accuracy = {attack: mean([mean(rates) for rates in class_rates(own, [attack])]) for attack in LABELS}
        for cell, attack in zip(row.cells[1:], (FIXED, "margin-pgd20"), strict=True):
            assert cell.value == pytest.approx(accuracy["pgd20"] - accuracy[attack], rel=1e-12, abs=1e-12)


def test_the_table_of_signs_has_the_mean_share_over_images_and_seeds(made, tmp_path):
    _, _, context = made
    paths = []
    for seed, shares in ((0, (0.0, 0.5, 0.25)), (1, (0.5, 1.0, 0.0))):
        paths.append(tmp_path / "signs" / "digits" / "he" / f"seed{seed}" / THREAT / "temperature.parquet")
        paths[-1].parent.mkdir(parents=True)
        columns = {"attack": "temperature-pgd-5", "inverse_temperature": 5.0, "index": [4, 5, 6], "share": shares}
        pd.DataFrame(columns).to_parquet(paths[-1], index=False)
    (row,) = temperature_signs.build(context, signs=paths).rows
    (cell,) = row.cells
    assert (row.label, cell.value, cell.n_images) == ("HE", pytest.approx(37.5), 3)
    assert cell.std == pytest.approx(100 * (0.5 - 0.25) / 2**0.5)


def test_the_figure_shows_the_averages_of_the_table_at_their_temperatures(made):
    rows, paths, context = made
    drawn = figure.build(context, evaluations=paths).figure
    assert len(drawn.axes) == 2 * 2 * 2  # two threats, two metrics, the sweep and the other attacks
    average = drawn.axes[0]
    lines = {to_hex(container.lines[0].get_color()).upper(): container.lines[0] for container in average.containers}
    own = rows[(rows["recipe"] == "he") & (rows["threat"] == THREAT)]
    x, y = lines["#CC79A7"].get_data()
    values = [inverse_temperature(attack) for attack in SWEPT]
    assert np.abs(np.log(x / values)).max() < np.log(1.1)
    assert y.tolist() == pytest.approx([mean([mean(r) for r in class_rates(own, [a])]) for a in SWEPT], rel=1e-12)
    assert len(drawn.axes[4].containers) == 1  # in L2 there is one recipe


def test_the_finding_of_temperatures_names_all_that_can_t_be_told_apart_from_the_worst(tmp_path):
    """Of 200 images 180, 100 and 96 are right with 1/T of 1, 5 and 10: 4 of 200 more is within the interval of these
    pairs, 84 is not."""
    index, frames = np.arange(200), []
    for attack, right in (("temperature-pgd-1", index < 180), ("temperature-pgd-5", index < 100)):
        frames.append((attack, right))
    frames.append(("temperature-pgd-10", (index < 90) | ((index >= 100) & (index < 106))))
    columns = {"checkpoint": "best", "index": index, "label": index % 3, "joint_natural": 0.0, "marginal_natural": 0.0}
    rows = [
        pd.DataFrame(columns).assign(attack=attack, prediction_adversarial=np.where(right, index % 3, (index + 1) % 3))
        for attack, right in frames
    ]
    paths = [write_evaluations(tmp_path, pd.concat(rows), "he", suite="temperature")]
    told = Context(
        "figure",
        "classwise",
        recipes={"he": Recipe("HE", threats={"digits": THREAT})},
        threats=THREATS,
        uses=("attacks", "colours", "markers"),
    )
    assert figure.build(told, evaluations=paths).caption.startswith(
        "The accuracy is lowest, or by paired 95 % intervals can't be told apart from the lowest, at 1/T = 5 and 10 "
        "for HE (48.0 % at 10)."
    )


def named(folder, names):
    path = folder / "digits.json"
    path.write_text(json.dumps({"names": names, "superclasses": {}}))
    return [path]


def test_a_line_is_the_accuracy_of_a_class_at_each_temperature(made, tmp_path):
    rows, paths, context = made
    drawing = by_class.build(context, evaluations=paths, names=named(tmp_path, ["ant", "b$e", "cat"]))
    panels = [axes for axes in drawing.figure.axes if axes.axison]
    assert [axes.get_title(loc="left").partition(",")[0] for axes in panels] == ["HE", "MAIL-AT", "HE"]
    assert panels[2].get_title(loc="left") == "HE, L2, \u03b5 = 1/2"
    for axes, (recipe, threat) in zip(panels, (("he", THREAT), ("mail-at", THREAT), ("he", OTHER_THREAT)), strict=True):
        own = rows[(rows["recipe"] == recipe) & (rows["threat"] == threat)]
        rates = [class_rates(own, [attack]) for attack in SWEPT]  # (attack, seed, class)
        expected = {c: [mean([of_seed[c] for of_seed in of_attack]) for of_attack in rates] for c in range(CLASSES)}
        shown = {text.get_text(): line.get_ydata().tolist() for text, line in zip(axes.texts, axes.lines, strict=True)}
        assert shown == {name: pytest.approx(expected[c]) for c, name in enumerate(("ant", r"b\$e", "cat"))}
        assert axes.lines[0].get_xdata().tolist() == [inverse_temperature(attack) for attack in SWEPT]
    assert "means over the seeds (2 of each recipe), without intervals" in drawing.caption
    assert "grey" not in drawing.caption


def test_of_many_classes_the_worst_the_middle_and_the_best_are_named(tmp_path):
    """Of 15 classes, 1 to 15 of 20 images of which are right, in another order; a bit more with another 1/T."""
    order = [c * 7 % 15 for c in range(15)]  # class c has the rank order[c]
    label, place, frames = np.repeat(np.arange(15), 20), np.tile(np.arange(20), 15), []
    for attack, more in (("temperature-pgd-1", 0), ("temperature-pgd-5", 1)):
        right = place < np.array(order)[label] + 1 + more
        columns = {"checkpoint": "best", "attack": attack, "index": np.arange(300), "label": label}
        columns |= {"joint_natural": 0.0, "marginal_natural": 0.0}
        frames.append(pd.DataFrame(columns).assign(prediction_adversarial=np.where(right, label, (label + 1) % 15)))
    paths = [write_evaluations(tmp_path, pd.concat(frames), "he", suite="temperature")]
    told = Context("figure", "classwise", recipes={"he": Recipe("HE", threats={"digits": THREAT})}, threats=THREATS)
    drawing = by_class.build(told, evaluations=paths, names=named(tmp_path, [f"rank {rank}" for rank in order]))
    axes = drawing.figure.axes[0]
    assert [text.get_text() for text in axes.texts] == [f"rank {rank}" for rank in (0, 1, 2, 6, 7, 8, 12, 13, 14)]
    assert [line.get_ydata().tolist() for line in axes.lines[6:]] == [
        pytest.approx([5 * (rank + 1), 5 * (rank + 2)]) for rank in (0, 1, 2, 6, 7, 8, 12, 13, 14)
    ]
    finding = (
        "The largest span of a class over 1/T is that of class rank 0 with HE, from 5.0 % at 1/T = 1 to 10 % at 5; it "
        "has no interval"
    )
    assert drawing.caption.startswith(finding)
    assert len(axes.lines) == 15 and "the others are grey" in drawing.caption and "one seed" in drawing.caption


def test_a_class_without_an_image_at_the_last_temperature_is_named_where_its_line_ends(tmp_path):
    label = np.arange(9) % 3
    columns = {"checkpoint": "best", "index": np.arange(9), "label": label, "prediction_adversarial": label}
    frame = pd.DataFrame(columns | {"joint_natural": 0.0, "marginal_natural": 0.0})
    few = frame[frame["label"] > 0].assign(attack="temperature-pgd-5")
    frames = [frame.assign(attack="temperature-pgd-1"), few]
    paths = [write_evaluations(tmp_path, pd.concat(frames), "he", suite="temperature")]
    told = Context("figure", "classwise", recipes={"he": Recipe("HE", threats={"digits": THREAT})}, threats=THREATS)
    drawing = by_class.build(told, evaluations=paths, names=named(tmp_path, ["a", "b", "c"]))
    ends = {text.get_text(): text.xy for text in drawing.figure.axes[0].texts}
    assert ends == {"a": (1, 100), "b": (5, 100), "c": (5, 100)}


def test_labels_stay_apart_and_near_their_lines():
    assert by_class.label_places([50, 20, 90]).tolist() == [50, 20, 90]
    step = by_class.APART
    assert by_class.label_places([50, 50, 20]) == pytest.approx([50 - step / 2, 50 + step / 2, 20])
    assert by_class.label_places([0, 0, 100]) == pytest.approx([0, step, 100])
    crowded = np.sort(by_class.label_places([99.0] * 12))
    assert np.diff(crowded).min() == pytest.approx(step) and crowded[-1] == 100


# Claims ---------------------------------------------------------------------------------------------------------------


def test_claims_are_about_the_threat_of_the_training(made):
    rows, paths, context = made
    assert set(rows["threat"]) == {THREAT, OTHER_THREAT}
    own = [path for path in paths if THREAT in path.parts]
    (data,) = read(context, evaluations=own, gains=paths).values()
    assert set(data.gains["threat"]) == {THREAT} and set(data.gains["recipe"]) == {"he", "mail-at"}


def data_of(sweeps: pd.DataFrame) -> ClasswiseData:
    empty = pd.DataFrame()
    return ClasswiseData(empty, empty, empty, ClassNames((), {}), sweeps)


def accuracy(sweeps: pd.DataFrame, recipe: str, attack: str) -> list[float]:
    """Of each class, over all seeds, in %."""
    own = sweeps[(sweeps["recipe"] == recipe) & (sweeps["attack"] == attack)]
    found = []
    for label in sorted(own["label"].unique()):
        of_class = own[own["label"] == label]
        right = sum(p == label for p in of_class["prediction_adversarial"])
        found.append(100 * right / len(of_class))
    return found


def expected_of(sweeps: pd.DataFrame) -> dict[str, float]:
    of = {(r, a): accuracy(sweeps, r, a) for r in EVALUATED for a in ("pgd20", FIXED)}
    gains = {r: mean(of[r, "pgd20"]) - mean(of[r, FIXED]) for r in EVALUATED}
    gaps = {key: max(rates) - min(rates) for key, rates in of.items()}
    flatness = [1 - probability for _, probability in EVALUATED.values()]
    return {
        "temperature-pgd-breaks-more": mean(list(gains.values())),
        "temperature-pgd-widens-the-gap": mean([gaps[r, FIXED] - gaps[r, "pgd20"] for r in EVALUATED]),
        "temperature-gain-grows-with-flatness": stats.spearmanr(flatness, list(gains.values())).statistic,
    }


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
@pytest.mark.parametrize("support", [True, False])
def test_a_claim_s_estimate_is_that_of_loops_and_standard_training_does_not_count(claim, support):
    sweeps = evaluations(support, images=40)
    standard = sweeps[sweeps["recipe"] == "sat"].assign(recipe="standard", prediction_adversarial=-1)
    found = judge(claim, data_of(pd.concat([sweeps, standard])))
    # The seeds have the same images right up to their order, so that means over seeds are those of all rows.
    assert found.estimate == pytest.approx(expected_of(sweeps)[claim.id], rel=1e-12)
    assert found.low <= found.high
    assert not any("standard" in source for source in found.sources)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_is_open_with_one_seed_or_without_what_it_compares(claim):
    sweeps = evaluations(support=True, images=40)
    assert judge(claim, data_of(sweeps[sweeps["seed"] == 0])).verdict == OPEN
    for missing in (pd.DataFrame(), sweeps[sweeps["attack"] != FIXED], sweeps[sweeps["attack"] != "pgd20"]):
        outcome = judge(claim, data_of(missing))
        assert outcome.verdict == OPEN and outcome.detail.startswith("Not measured"), claim.id
    halves = [sweeps[(sweeps["recipe"] == r) & (sweeps["index"] % 2 == i % 2)] for i, r in enumerate(EVALUATED)]
    assert judge(claim, data_of(pd.concat(halves))).detail.startswith("Not measured")


def test_the_gain_is_ordered_by_flatness_over_recipes_which_are_drawn_too():
    claim = next(claim for claim in CLAIMS if claim.id == "temperature-gain-grows-with-flatness")
    sweeps = evaluations(support=True, images=40)
    found = judge(claim, data_of(sweeps))
    assert found.detail.startswith("gains in points (and mean probability), from the flattest on: he 10.")
    assert "interval over seeds, images and recipes" in found.detail and "sat" in found.detail.partition("trades")[2]
    # The flattest gains least, the others stay in order: four of five. That is not enough to go by.
    gone = sweeps[(sweeps["recipe"] != "he") | (sweeps["attack"] != FIXED)]
    weak = sweeps[(sweeps["recipe"] == "he") & (sweeps["attack"] == "pgd20")].assign(attack=FIXED)
    turned = judge(claim, data_of(pd.concat([gone, weak])))
    assert turned.estimate == pytest.approx(stats.spearmanr([1, 2, 3, 4, 5], [2, 3, 4, 5, 1]).statistic)
    assert turned.verdict == OPEN and turned.low < 0 < turned.high
    four = judge(claim, data_of(sweeps[sweeps["recipe"] != "mart"]))
    assert (
        four.verdict == OPEN and four.detail == "Not measured: 5 adversarially trained recipes with their clean images"
    )
