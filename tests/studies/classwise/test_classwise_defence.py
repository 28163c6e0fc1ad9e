"""What the tables and claims on defences and on class removal read, against results made by hand."""

from pathlib import Path

import defended
import numpy as np
import pandas as pd
import pytest
import yaml
from synthetic import THREAT, THREATS, write_evaluations

from robustlens.analysis.claims import OPEN, SUPPORTED, judge
from robustlens.analysis.class_removal import Comparison
from robustlens.analysis.classwise import worst_class
from robustlens.errors import RobustlensError
from robustlens.report.context import Context, Recipe
from robustlens.study.declaration import USES
from studies.classwise import study
from studies.classwise.claims import defence as claims
from studies.classwise.claims import removal as removal_claims
from studies.classwise.claims.data import ClasswiseData
from studies.classwise.class_names import of_sheet
from studies.classwise.defence import bases, best_entries, entry_label, mean_gain, of_shared_seeds, read_defence
from studies.classwise.figures import removal as removal_figure
from studies.classwise.figures import trade_off
from studies.classwise.removal import read_removal, removals
from studies.classwise.tables import defence, removal

CHANGES = {"sat": None, "fair": "sat", "fairer": "fair", "alone": "trades", "less-1": "sat", "less-2": "sat"}
CONTEXT = Context(
    "table",
    "classwise",
    recipes={name: Recipe(name.upper(), changes=base, threats={"digits": THREAT}) for name, base in CHANGES.items()},
    threats=THREATS,
    attacks={"pgd20": "PGD-20"},
    uses=USES,
)
LABEL = np.repeat([0, 1, 2], 2)
EMPTY = pd.DataFrame()


def evaluated(folder, recipe, adversarial, natural=LABEL, seed=0, checkpoint="best"):
    """The index of PGD-20 on six images, two of each class."""
    columns = {"checkpoint": checkpoint, "attack": "pgd20", "index": np.arange(6), "label": LABEL}
    columns |= {"prediction_natural": natural, "prediction_adversarial": adversarial}
    return write_evaluations(folder, pd.DataFrame(columns), recipe, seed, suite=f"suite-{checkpoint}")


def trained(folder, recipe, *class_totals, seed=0):
    """The history of a run whose tracked training images are so many of each class, epoch by epoch."""
    run = folder / "runs" / "digits" / recipe / f"seed{seed}"
    run.mkdir(parents=True)
    rows = [{"epoch": 1 + n, "split": "train", "class_total": list(total)} for n, total in enumerate(class_totals)]
    rows.append({"epoch": 1, "split": "validation", "class_total": [2, 2, 2]})
    pd.DataFrame(rows).to_parquet(run / "history.parquet")
    return run / "history.parquet"


# Defences -------------------------------------------------------------------------------------------------------------


def test_entries_are_recipes_and_corrected_recipes_each_beside_what_it_changes(tmp_path):
    recipes = ("fairer", "alone", "sat", "fair")
    indexes = [evaluated(tmp_path, recipe, LABEL) for recipe in recipes]
    indexes += [evaluated(tmp_path, "sat", LABEL, checkpoint=name) for name in ("best-tau", "last")]
    rows = read_defence(CONTEXT, indexes)
    assert bases(rows) == {"alone": "", "sat": "", "fair": "sat", "fairer": "fair", "sat/best-tau": "sat"}
    assert list(bases(rows)) == ["alone", "sat", "sat/best-tau", "fair", "fairer"]
    assert entry_label(CONTEXT, "sat/best-tau") == "SAT, tau" and entry_label(CONTEXT, "fair") == "FAIR"


def attacked(seed, *rates):
    """One class of 20 images for each rate: of class c the first 20 `rate` images are robust."""
    label, place = np.repeat(np.arange(len(rates)), 20), np.tile(np.arange(20), len(rates))
    right = place < np.round(20 * np.array(rates)[label])
    columns = {"seed": seed, "index": np.arange(len(label)), "label": label}
    return pd.DataFrame(columns).assign(prediction_adversarial=np.where(right, label, (label + 1) % len(rates)))


def test_the_gain_is_that_of_each_run_s_own_worst_class():
    """Of the two seeds the worst class of the base is 0.2 and 0.4, of another number each; that of the first entry 0.5
    and 0.6, of the second 0.3 and 0.1."""
    base = pd.concat([attacked(0, 0.2, 0.6, 0.8), attacked(1, 0.9, 0.4, 0.5)])
    first = pd.concat([attacked(0, 0.5, 0.5, 0.8), attacked(1, 0.9, 0.6, 0.7)])
    second = pd.concat([attacked(0, 0.3, 0.6, 0.4), attacked(1, 0.9, 0.9, 0.1)])
    gains = (0.5 - 0.2 + 0.6 - 0.4) / 2, (0.3 - 0.2 + 0.1 - 0.4) / 2
    for pairs, expected in (
        ([(first, base)], gains[0]),
        ([(second, base)], gains[1]),
        ([(first, base), (second, base)], sum(gains) / 2),
    ):
        interval = mean_gain(pairs, worst_class)
        assert interval.estimate == pytest.approx(expected, rel=1e-12) and interval.factors == "seeds and images"
    assert mean_gain([(first[first["seed"] == 0], base[base["seed"] == 1])], worst_class) is None


def test_bold_are_the_best_and_what_the_gain_of_the_best_over_it_does_not_tell_apart():
    def runs(*rates):
        return pd.concat([attacked(seed, *rates).assign(source="f") for seed in (0, 1, 2)])

    parts = {"even": runs(0.5, 0.5, 0.5), "like it": runs(0.55, 0.45, 0.5), "uneven": runs(0.9, 0.9, 0.05)}
    assert mean_gain([(parts["even"], parts["like it"])], worst_class).low <= 0
    assert mean_gain([(parts["even"], parts["uneven"])], worst_class).low > 0
    assert best_entries(parts, worst_class) == {"even", "like it"}
    assert best_entries(parts, lambda rates: -worst_class(rates)) == {"uneven"}
    assert best_entries(parts | {"more": attacked(7, 1.0, 1.0, 1.0).assign(source="f")}, worst_class) == {
        "even",
        "like it",
    }
    assert best_entries({"even": parts["even"]}, worst_class) == set()
    single = {entry: part[part["seed"] == 0] for entry, part in parts.items()}
    assert best_entries(single, worst_class) == set()


def test_only_seeds_that_all_entries_have_are_compared():
    seeds = {"a": (0, 1, 2), "b": (1, 2), "c": (2, 0, 1)}
    rows = pd.DataFrame([{"entry": entry, "seed": seed} for entry, of_entry in seeds.items() for seed in of_entry])
    assert {entry: list(part["seed"]) for entry, part in of_shared_seeds(rows).items()} == {
        "a": [1, 2],
        "b": [1, 2],
        "c": [2, 1],
    }
    assert of_shared_seeds(rows[(rows["entry"] != "b") | (rows["seed"] > 2)]).keys() == {"a", "c"}
    assert of_shared_seeds(pd.DataFrame({"entry": ["a", "b"], "seed": [0, 1]})) == {}


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda c: c.id)
def test_a_choice_on_few_validation_images_leaves_a_claim_open(claim):
    assert "Open (underpowered)" in claim.rule
    for fewest, verdict in ((20, OPEN), (99, OPEN), (100, SUPPORTED)):
        totals = {"split": ["validation", "train"], "class_total": [[120, fewest, 150], [10, 10, 10]]}
        history = pd.DataFrame(totals)
        data = ClasswiseData(
            EMPTY, history, EMPTY, names=None, defence=defended.defence(True), chosen=history.assign(recipe="frl")
        )
        outcome = judge(claim, data)
        assert outcome.verdict == verdict and outcome.low > 0
        assert (f"{fewest} validation images per class, underpowered" in outcome.detail) == (verdict == OPEN)


def test_defences_that_go_by_training_images_alone_need_no_validation_images():
    claim = next(claim for claim in claims.CLAIMS if claim.id == "training-raises-the-worst-class")
    few = pd.DataFrame({"split": ["validation"], "class_total": [[20, 20]]})
    outcome = judge(claim, ClasswiseData(EMPTY, few, EMPTY, names=None, defence=defended.defence(True)))
    assert outcome.verdict == SUPPORTED and "underpowered" not in outcome.detail


def test_fawa_and_frl_go_by_classes_of_the_validation_split():
    recipes = yaml.safe_load((Path(study.__file__).parent / "config.yaml").read_text())["recipes"]
    chosen = {name for name, recipe in recipes.items() if study.goes_by_classes(recipe)}
    assert chosen == {"cfa", "cfa-sat", "cfa-fat", "fawa", "frl"}
    assert not study.goes_by_classes({"method": "cfa", "averaging": False})


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("training-raises-the-worst-class", "class-weighted-sat"),
        ("corrections-raise-the-worst-class", "sat/best-tau-normalised"),
        ("selection-raises-the-worst-class", "sat/best-worst-class"),
    ],
)
def test_each_claim_is_about_its_own_kind_of_change(name, entry):
    claim = next(claim for claim in claims.CLAIMS if claim.id == name)
    enough = pd.DataFrame({"split": ["validation"], "class_total": [[100, 100]]})
    outcome = judge(claim, ClasswiseData(EMPTY, enough, EMPTY, names=None, defence=defended.defence(True)))
    assert outcome.detail.startswith(f"gain of {entry} 20.0;")


def test_an_image_that_either_attack_turns_wrong_is_not_robust():
    """A correction that blinds PGD-20 alone gains nothing."""
    rows = defended.defence(True)
    blinded = (rows["entry"] == "sat/best-tau-normalised") & (rows["attack"] == "margin-pgd20")
    of_sat = (rows["entry"] == "sat") & (rows["attack"] == "margin-pgd20")
    rows.loc[blinded, "prediction_adversarial"] = rows.loc[of_sat, "prediction_adversarial"].to_numpy()
    enough = pd.DataFrame({"split": ["validation"], "class_total": [[100, 100]]})
    claim = next(claim for claim in claims.CLAIMS if claim.id == "corrections-raise-the-worst-class")
    outcome = judge(claim, ClasswiseData(EMPTY, enough, EMPTY, names=None, defence=rows))
    assert outcome.detail.startswith("gain of sat/best-tau-normalised 0.0;")
    assert {source.rsplit("/", 1)[1] for source in outcome.sources} == {"pgd20", "margin-pgd20"}
    alone = judge(claim, ClasswiseData(EMPTY, enough, EMPTY, names=None, defence=rows[~blinded]))
    assert alone.verdict == OPEN and "sat/best-tau-normalised under margin-pgd20" in alone.detail


def test_claims_on_defences_say_what_is_missing():
    for claim in claims.CLAIMS:
        outcome = judge(claim, ClasswiseData(EMPTY, EMPTY, EMPTY, names=None))
        assert outcome.verdict == OPEN and outcome.detail.startswith("Not measured")


def test_the_table_has_gains_over_what_a_row_changes_and_the_strengths_of_corrections(tmp_path):
    """Of two images per class SAT is right about 0, 1 and 2; FAIR about 1, 2 and 2; corrected, SAT about 1, 1 and 1."""
    sat = evaluated(tmp_path, "sat", [1, 1, 1, 0, 2, 2])
    corrected = evaluated(tmp_path, "sat", [0, 1, 1, 0, 2, 0], checkpoint="best-tau")
    fair = evaluated(tmp_path, "fair", [0, 1, 1, 1, 2, 2])
    run = tmp_path / "runs" / "digits" / "sat" / "seed0"
    run.mkdir(parents=True)
    tried = {"correction": "tau", "strength": [0.0, 0.5, 1.5], "chosen": [False, False, True]}
    pd.DataFrame(tried).to_parquet(run / "corrections.parquet")
    table = defence.build(CONTEXT, evaluations=[sat, corrected, fair], corrections=[run / "corrections.parquet"])
    found = {row.label: [cell.value for cell in row.cells] for row in table.rows}
    assert list(found) == ["SAT", "SAT, tau", "FAIR"]
    assert found["SAT"] == [pytest.approx(50, rel=1e-12), None, 0, None]
    assert found["SAT, tau"] == [pytest.approx(value, rel=1e-12, abs=1e-12) for value in (50, 0, 50, 50)]
    assert found["FAIR"] == [pytest.approx(value, rel=1e-12) for value in (500 / 6, 200 / 6, 50, 50)]
    assert any(note.endswith("SAT, tau: 1.5.") for note in table.notes)


def test_the_figure_has_the_average_to_the_right_and_the_worst_class_upwards(tmp_path):
    """As above, where the average of SAT is 50 % and its worst class 0 %."""
    sat = evaluated(tmp_path, "sat", [1, 1, 1, 0, 2, 2])
    corrected = evaluated(tmp_path, "sat", [0, 1, 1, 0, 2, 0], checkpoint="best-tau")
    fair = evaluated(tmp_path, "fair", [0, 1, 1, 1, 2, 2])
    drawing = trade_off.build(CONTEXT, evaluations=[sat, corrected, fair])
    (axes,) = drawing.figure.axes
    assert axes.get_xlabel() == "average (%)" and axes.get_ylabel() == "worst class (%)"
    points = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() != "None"]
    assert points == [pytest.approx(point) for point in ([50, 0], [50, 50], [500 / 6, 50])]
    changed = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "None"]
    assert [[pytest.approx(end) for end in ends] for ends in ([[50, 0], [50, 50]], [[50, 0], [500 / 6, 50]])] == changed


# Removal --------------------------------------------------------------------------------------------------------------


def test_a_removed_class_is_one_without_tracked_training_images(tmp_path):
    whole = [evaluated(tmp_path, "sat", [1, 2, 1, 1, 2, 2]), evaluated(tmp_path, "sat", LABEL, seed=1)]
    whole.append(evaluated(tmp_path, "sat", LABEL, checkpoint="last"))
    less = [evaluated(tmp_path, f"less-{k}", [0, 0, 2, 0, 2, k % 2]) for k in (1, 2)]
    # By chance class 0 is not among the tracked images of one epoch.
    histories = [trained(tmp_path, "sat", [4, 4, 4], [0, 4, 4]), trained(tmp_path, "less-1", [4, 0, 4], [0, 0, 4])]
    histories.append(trained(tmp_path, "less-2", [4, 4, 0]))
    rows = read_removal(CONTEXT, [*whole, *less], histories)
    assert rows.groupby("recipe")["removed"].first(skipna=False).fillna(-1).to_dict() == {
        "less-1": 1,
        "less-2": 2,
        "sat": -1,
    }
    found = removals(CONTEXT, rows)["sat"]
    assert list(found.answers.without) == [1, 2] and found.seeds == 1 and found.classes == 3
    assert found.answers.without[1].tolist() == [[0, 0, 2, 0, 2, 1]]
    assert found.answers.adversarial.tolist() == [[1, 2, 1, 1, 2, 2]]
    assert found.compared() == [Comparison(0, 1, 2)] and len(found.files) == 3


def test_the_table_of_class_removal_has_a_row_per_class_and_one_for_all(tmp_path):
    """Image 0, of class 0, goes to 1, and image 2, of class 1, to 2. Without 1, image 0 is robust; without 2, it goes
    to 1 again."""
    indexes = [evaluated(tmp_path, "sat", [1, 0, 2, 1, 2, 2])]
    indexes += [evaluated(tmp_path, "less-1", [0, 0, 0, 0, 2, 2]), evaluated(tmp_path, "less-2", [1, 0, 0, 1, 0, 0])]
    counts = {"sat": [4, 4, 4], "less-1": [4, 0, 4], "less-2": [4, 4, 0]}
    histories = [trained(tmp_path, recipe, total) for recipe, total in counts.items()]
    names = tmp_path / "digits.json"
    names.write_text('{"names": ["zero", "one", "two"], "superclasses": {}}')
    table = removal.build(CONTEXT, evaluations=indexes, history=histories, names=[names])
    shown = [[row.label, *map(str, row.cells)] for row in table.rows]
    # Class 1 has no control: of 1 and 2, which were removed, one is itself and the other its confuser.
    assert shown == [
        ["zero", "one", "two", "1", "100.0", "0.0", "0.0", "0.0", "100.0"],
        ["all", "\u2013", "\u2013", "1", "100.0", "0.0", "0.0", "0.0", "100.0"],
    ]


def test_the_figure_of_class_removal_shows_the_shares_of_the_table_and_the_context_effect(tmp_path):
    """As above. Without 1, class 0 gains 50 points; without 2, none. Class 2 loses all without itself, which does not
    count."""
    indexes = [evaluated(tmp_path, "sat", [1, 0, 2, 1, 2, 2])]
    indexes += [evaluated(tmp_path, "less-1", [0, 0, 0, 0, 2, 2]), evaluated(tmp_path, "less-2", [1, 0, 0, 1, 0, 0])]
    counts = {"sat": [4, 4, 4], "less-1": [4, 0, 4], "less-2": [4, 4, 0]}
    histories = [trained(tmp_path, recipe, total) for recipe, total in counts.items()]
    names = tmp_path / "digits.json"
    names.write_text('{"names": ["zero", "one", "two"], "superclasses": {}}')
    drawing = removal_figure.build(CONTEXT, evaluations=indexes, history=histories, names=[names])
    left, right = drawing.figure.axes[:2]
    shares = {
        line.get_label(): line.get_ydata().tolist() for line in left.lines if not line.get_label().startswith("_")
    }
    assert shares == {"without B": [100], "without C": [0]}
    changes = np.ma.filled(right.get_images()[0].get_array().astype(float), np.nan)
    np.testing.assert_array_equal(changes, [[50, 0], [np.nan, 0], [0, np.nan]])
    assert (
        "the robust accuracy of A changes by 50 points; when it is not trained on another class, by" in drawing.caption
    )


def test_several_removed_classes_are_refused(tmp_path):
    index, history = evaluated(tmp_path, "less-1", LABEL), trained(tmp_path, "less-1", [4, 0, 0])
    with pytest.raises(RobustlensError, match="less-1 on digits trains without 2 classes; leave out one at a time"):
        read_removal(CONTEXT, [index], [history])


def test_superclasses_of_a_dataset_without_a_class_do_without_it():
    """Of the classes 1, 2 and 5 of six, renumbered 0 to 2."""
    sheet = {"classes": ["b", "c", "f"], "classes_of_source": {"kept": [1, 2, 5], "names": list("abcdef")}}
    assert of_sheet(sheet, {"low": [0, 1, 2], "middle": [3, 4], "high": [5]}) == {
        "names": ["b", "c", "f"],
        "superclasses": {"low": [0, 1], "high": [2]},
    }


def test_claims_on_removal_have_the_share_that_is_robust_without_the_confuser_and_its_difference_from_the_control():
    """Of 100 images of each class 80 are robust without the confuser, and 20 without the control."""
    data = ClasswiseData(EMPTY, EMPTY, EMPTY, names=None, removal=defended.removal(True))
    found = {claim.id: judge(claim, data) for claim in removal_claims.CLAIMS}
    assert found["no-counterpart-without-the-confuser"].estimate == pytest.approx(80)
    assert found["robust-without-the-confuser"].estimate == pytest.approx(60)
