import csv
import io
import math

import pandas as pd
import pytest
from synthetic import OTHER_THREAT, context, evaluation, write_evaluations, write_study
from tabulated import cells, index_of, t_interval, write

from studies.energy.tables import attack_energies, energies, phases


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    recipes = ("standard", "sat", "trades")
    return write_study(tmp_path_factory.mktemp("study"), recipes=recipes, epochs=12, images=40)


def test_energies_come_from_the_last_epoch_and_the_last_checkpoint(study):
    table = energies.build(context(), history=study.history, evaluations=study.robustness)
    text = table.to_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    history = [pd.read_parquet(path) for path in study.history[3:6]]
    values = [h[(h["epoch"] == 12) & (h["split"] == "validation")]["delta_marginal"].item() for h in history]
    validation = next(r for r in rows if r["row"] == "SAT" and r["column"] == "ΔE(x)" and "validation" in r["group"])
    assert float(validation["value"]) == pytest.approx(sum(values) / 3)
    tests = []
    for index in study.robustness[3:6]:
        frame = evaluation(index, "last", "pgd20")[0]
        tests.append(sum(frame["joint_natural"] - frame["joint_adversarial"]) / len(frame))
    test = next(r for r in rows if r["row"] == "SAT" and r["column"] == "ΔE(x, y)" and "test" in r["group"])
    assert float(test["value"]) == pytest.approx(sum(tests) / 3)
    assert (test["n_images"], validation["n_images"]) == ("40", "")


def test_attack_energies_success_counts_only_images_that_were_right(study):
    table = attack_energies.build(context(), evaluations=study.attack_energies)
    groups = {row.group for row in table.rows}
    assert groups == {"Standard, last checkpoint", "SAT, last checkpoint"}
    assert [row.label for row in table.rows[:8]][-1] == "CW (unbounded)"
    shares = []
    for index in study.attack_energies[:3]:
        rows = [r for r in evaluation(index, "last", "fab")[0].itertuples() if r.prediction_natural == r.label]
        shares.append(100 * sum(r.prediction_adversarial != r.label for r in rows) / len(rows))
    fab = table.rows[5]
    assert fab.label == "FAB" and fab.cells[6].value == pytest.approx(sum(shares) / 3)
    before, after, shift = fab.cells[:3]
    assert before.value - after.value == pytest.approx(shift.value)
    assert shift.low < shift.value < shift.high < 0
    assert "3 seeds" in table.notes[0]


def test_attack_energies_say_what_success_of_a_targeted_attack_counts(study):
    notes = attack_energies.build(context(), evaluations=study.attack_energies).notes
    assert any("Targeted PGD" in note and "counts any wrong class" in note for note in notes)


def history_of(bends, slopes, best_at, epochs=30):
    """A history whose ΔE(x) on training images bends there, and whose validation accuracy is 0.6 at one epoch."""
    t = pd.Series(range(1, epochs + 1), dtype=float)
    first, second, third = slopes
    a, b = bends
    delta = first * t.clip(upper=a) + second * (t.clip(a, b) - a) + third * (t - b).clip(lower=0)
    train = pd.DataFrame({"epoch": t.astype(int), "split": "train", "delta_marginal": delta, "robust_accuracy": 0.8})
    accuracy = [0.6 if epoch == best_at else 0.5 for epoch in t]
    other = train.assign(split="validation", delta_marginal=5.0, robust_accuracy=accuracy)
    return pd.concat([train, other])


def test_phases_are_found_seed_by_seed_and_overfitting_is_best_minus_last(tmp_path):
    runs = [((6, 20), (-0.05, 0.0, -0.2), 12), ((10, 24), (-0.03, 0.01, -0.1), 30)]
    history = [write(tmp_path, "digits", "sat", k, "history.parquet", history_of(*run)) for k, run in enumerate(runs)]
    short = history_of((3, 5), (0.0, 0.0, 0.0), 2, epochs=6)
    history.append(write(tmp_path, "digits", "mail-at", 0, "history.parquet", short))
    best, last = {i: i < 6 for i in range(8)}, {i: i in (0, 1, 2, 7) for i in range(8)}
    files = [index_of(tmp_path, "sat", 0, {("best", "pgd20"): best, ("last", "pgd20"): last, ("best", "clean"): last})]
    table = phases.build(context(), history=history, evaluations=files)
    row = cells(table)
    first, second = row["SAT", "Bends, epoch: first"], row["SAT", "Bends, epoch: second"]
    assert [float(first[name]) for name in ("value", "low", "high")] == [8, 6, 10]
    assert [float(second[name]) for name in ("value", "low", "high")] == [22, 20, 24]
    slope = row["SAT", "Slope of ΔE(x), nat in 10 epochs: III"]
    assert float(slope["value"]) == pytest.approx(-1.5)
    assert float(slope["std"]) == pytest.approx(math.sqrt(2 * 0.5**2))
    validation = "Robust accuracy, validation, %: "
    values = [float(row["SAT", validation + label]["value"]) for label in ("best", "last", "best \u2212 last")]
    assert values == pytest.approx([60, 55, 5])
    assert float(row["SAT", f"{validation}train \u2212 val."]["value"]) == pytest.approx(25)
    fall = row["SAT", "Test, PGD-20: best \u2212 last"]
    values = [100 * (best[i] - last[i]) for i in range(8)]
    assert float(fall["value"]) == 25.0
    assert (float(fall["low"]), float(fall["high"])) == pytest.approx(t_interval(values))
    assert str(table.rows[1].cells[0]) == str(table.rows[1].cells[2]) == str(table.rows[1].cells[-1]) == "\u2013"
    assert float(row["MAIL-AT", validation + "best \u2212 last"]["value"]) == pytest.approx(10)
    assert "MAIL-AT \u2020" in table.to_html() and "SAT \u2020" not in table.to_html()


def test_energies_under_two_threats_are_two_groups(study, tmp_path):
    frame = evaluation(study.robustness[3], "last", "pgd20")[0]
    higher = frame.assign(checkpoint="last", attack="pgd20", marginal_adversarial=frame["marginal_natural"] + 9.0)
    other = write_evaluations(tmp_path, higher, "sat", threat=OTHER_THREAT)
    table = energies.build(context(), history=study.history[3:6], evaluations=[*study.robustness[3:6], other])
    groups = ["validation images, last epoch", "test images, PGD-20, L∞, ε = 3/16", "test images, PGD-20, L2, ε = 1/2"]
    assert [row.group for row in table.rows] == groups
    assert table.rows[2].cells[2].value == pytest.approx(-9.0) and table.rows[1].cells[2].n_seeds == 3
    assert any("evaluated under L2" in note for note in table.notes)


def test_attack_energies_under_two_threats_are_two_groups(study, tmp_path):
    frame = evaluation(study.attack_energies[0], "last", "pgd")[0].assign(checkpoint="last", attack="pgd")
    higher = frame.assign(marginal_adversarial=frame["marginal_natural"] + 9.0)
    other = write_evaluations(tmp_path, higher, "standard", suite="attack-energies", threat=OTHER_THREAT)
    table = attack_energies.build(context(), evaluations=[study.attack_energies[0], other])
    last = table.rows[-1]
    assert (last.group, last.label) == ("Standard, last checkpoint, L2, ε = 1/2", "PGD")
    assert last.cells[2].value == pytest.approx(-9.0)
    assert table.rows[0].group == "Standard, last checkpoint, L∞, ε = 3/16" and table.rows[0].cells[2].value > 0
    assert any("evaluated under L2" in note for note in table.notes)


def test_phases_show_the_fall_under_the_threat_of_the_training(study, tmp_path):
    weak = {("best", "pgd20"): dict.fromkeys(range(8), True), ("last", "pgd20"): dict.fromkeys(range(8), False)}
    other = index_of(tmp_path, "sat", 0, weak, threat=OTHER_THREAT)
    history = study.history[3:4]
    own, both, alone = (
        phases.build(context(), history=history, evaluations=files)
        for files in (study.robustness[3:4], [other, *study.robustness[3:4]], [other])
    )
    assert both.rows[0].cells[-1].value == own.rows[0].cells[-1].value != 100.0
    assert alone.rows[0].cells[-1].value == 100.0
    assert any("evaluated under L2" in note for note in alone.notes)
    assert not any("evaluated under L2" in note for note in (*own.notes, *both.notes))
