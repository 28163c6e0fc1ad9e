import json
import math
from pathlib import Path

import pandas as pd
import pytest
from synthetic import context, write_study
from tabulated import cells, write

from robustlens.errors import RobustlensError
from studies.energy.tables import generation, generation_grid

PUBLISHED = Path(__file__).parents[3] / "studies" / "energy" / "published.yaml"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    recipes = ("standard", "sat", "trades")
    return write_study(tmp_path_factory.mktemp("study"), recipes=recipes, epochs=12, images=40)


def build(scores, anchors=(), caveat=""):
    return generation.build(context(caveat=caveat), scores=scores, anchors=anchors, published=PUBLISHED)


def test_generation_names_its_scores_after_the_features(study, tmp_path):
    table = build(study.scores, [study.anchor])
    text = table.to_latex()
    assert "Fréchet classifier distance" in text and "neither Inception Score nor FID" in text
    assert "FID" not in text.replace("nor FID", "") and "published" not in text
    assert [row.label for row in table.rows] == ["SAT", "TRADES", "real validation images"]
    assert cells(table)["real validation images", "Fréchet classifier distance"]["files"] == study.anchor.as_posix()
    inception = write_study(tmp_path, "cifar10", ("sat",), (0,), epochs=12, images=40, features="inception")
    table = build(inception.scores)
    assert [column.label for column in table.columns][:2] == ["IS", "FID"]
    jem = next(row for row in table.rows if row.label.startswith("JEM (")).cells
    assert (jem[1].value, jem[1].published.value) == (None, 38.40)
    assert "ublished" not in build(inception.scores, caveat="Small scale.").to_latex()
    with pytest.raises(RobustlensError, match="different feature networks"):
        build([*study.scores, *inception.scores])


def test_generation_says_where_the_chains_of_the_paper_may_have_begun(tmp_path, study):
    """Where the paper's scores stand in the table, and only there."""
    inception = write_study(tmp_path, "cifar10", ("sat",), (0,), epochs=12, images=40, features="inception")
    other = write_study(tmp_path, "svhn", ("sat",), (0,), epochs=12, images=40, features="inception")
    notes = [[n for n in build(of.scores).notes if "PCA" in n] for of in (inception, other, study)]
    assert notes[1:] == [[], []] and len(notes[0]) == 1
    assert notes[0][0].startswith("WEAT (published): ") and "mean image of their class" in notes[0][0]
    assert "WEAT (published)" in [row.label for row in build(inception.scores).rows]


def test_generation_names_the_easiest_and_the_hardest_class(tmp_path, study):
    files = []
    for k, distances in enumerate([{"0": 2.0, "1": 5.0, "2": 1.0}, {"0": 1.0, "1": 9.0, "2": 3.0}]):
        path = tmp_path / "digits" / "sat" / f"seed{k}" / "scores.json"
        path.parent.mkdir(parents=True)
        scores = json.loads(study.scores[0].read_text())
        path.write_text(json.dumps(scores | {"frechet_per_class": distances}))
        files.append(path)
    files.append(study.scores[3])  # of TRADES: too few images of each class for a distance
    row = cells(build(files, [study.anchor]))
    assert (row["SAT", "easiest class"]["text"], row["SAT", "hardest class"]["text"]) == ("0 (1.50)", "1 (7.00)")
    assert row["TRADES", "easiest class"]["text"] == row["real validation images", "hardest class"]["text"] == ""
    assert row["SAT", "easiest class"]["files"].split(";") == [path.as_posix() for path in files[:2]]


def test_generation_ranks_classes_by_kernel_distance_unless_every_run_has_frechet_distances(tmp_path, study):
    def table_with(frechet_of_trades):
        files = []
        of_recipe = {
            "sat": ({"0": 2.0, "1": 5.0}, {"0": 0.0204, "1": 0.01}),
            "trades": (frechet_of_trades, {"0": -0.002, "1": 0.004}),
        }
        for recipe, (frechet, kernel) in of_recipe.items():
            path = tmp_path / "digits" / recipe / "seed0" / "scores.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            scores = json.loads(study.scores[0].read_text())
            path.write_text(json.dumps(scores | {"frechet_per_class": frechet, "kid_per_class": kernel}))
            files.append(path)
        return build(files, [study.anchor])

    kernel, row = table_with(None), cells(table_with(None))
    found = [row[recipe, f"{which} class"]["text"] for recipe in ("SAT", "TRADES") for which in ("easiest", "hardest")]
    assert found == ["1 (0.010)", "0 (0.020)", "0 (-0.002)", "1 (0.004)"]
    assert row["real validation images", "easiest class"]["text"] == ""
    assert any("smallest and the largest KCD" in note for note in kernel.notes)
    frechet, row = (of(table_with({"0": 9.0, "1": 8.0})) for of in (lambda table: table, cells))
    found = [row[recipe, f"{which} class"]["text"] for recipe in ("SAT", "TRADES") for which in ("easiest", "hardest")]
    assert found == ["0 (2.00)", "1 (5.00)", "1 (8.00)", "0 (9.00)"]
    assert any("smallest and the largest Fréchet classifier distance" in note for note in frechet.notes)


def grid_file(folder, recipe, seed, rows):
    """rows: (init, kept, sigma, momentum, steps, distance, halves) of each setting."""
    names = ["init", "retained_variance", "sigma", "momentum", "steps", "frechet", "frechet_two_half_spread"]
    frame = pd.DataFrame(rows, columns=names).assign(step_size=0.025, noise=0.001, score_mean=8.0, kid_mean=0.1)
    frame = frame.assign(nearest_training_distance_median=2.0, n_generated=400, features="inception", seconds=1.0)
    frame.insert(0, "setting", range(len(frame)))
    return write(folder, "cifar10", recipe, seed, "grid.parquet", frame.assign(frechet_name="FID"))


def test_grid_marks_the_fastest_of_the_settings_that_are_as_good_as_the_best(tmp_path):
    rows = [
        ("noise", 0.99, 0.354, 0.0, 100, 50.0, 9.0),
        ("pca", 0.90, 0.354, 0.8, 500, 10.0, 2.0),
        ("pca", 0.99, 0.707, 0.8, 100, 12.0, 7.0),  # just within the spread of the best one
        ("pca", 0.99, 0.354, 0.0, 50, 12.5, 7.0),  # faster, but not within it
        ("gaussian", 0.99, 0.354, 0.8, 100, 11.5, 1.0),  # as few steps as the third, and nearer
    ]
    table = generation_grid.build(context(), grid=[grid_file(tmp_path, "sat", 0, rows)])
    assert [row.label for row in table.rows] == ["PCA 1", "Gaussian 4", "PCA 2", "PCA 3", "noise 0"]
    row = cells(table)
    quality = [row[r.label, "quality"]["text"] for r in table.rows]
    assert quality == ["equal", "equal, fastest", "equal", "worse", "worse"]
    assert [c.label for c in table.columns[:4]] == ["kept", "sigma", "momentum", "steps"]
    assert (row["PCA 2", "kept"]["value"], row["PCA 2", "sigma"]["value"]) == ("0.99", "0.707")
    for label in ("noise 0", "Gaussian 4"):
        assert row[label, "kept"]["value"] == row[label, "sigma"]["value"] == ""
        assert row[label, "steps"]["value"] == "100"
    assert any("step size 0.025" in note and "noise 0.001" in note for note in table.notes)
    biased = [note for note in table.notes if "biased upwards" in note]
    assert len(biased) == 1 and "only at equal numbers of images" in biased[0]
    assert not any("0 steps" in note for note in table.notes)
    assert "FID of 400 images" in table.notes[0] and "One seed" in table.notes[-1]
    shown = [row.label for row in table.rows if row.printed]  # the best of each start, and the fastest
    assert shown == ["PCA 1", "Gaussian 4", "noise 0"] and "PCA 2" not in table.to_latex() + table.to_html()
    assert "xltabular" in table.to_latex() and "seconds" not in [c.label for c in table.columns]


def test_grid_says_that_settings_of_no_steps_are_starting_points(tmp_path):
    rows = [
        ("pca", 0.9, 0.5, 0.8, 0, 3.0, 0.5),
        ("pca", 0.9, 0.5, 0.8, 20, 2.0, 0.5),
        ("pca", 0.9, 0.5, 0.0, 20, 4.0, 0.5),
    ]
    path = grid_file(tmp_path, "sat", 0, rows)
    pd.read_parquet(path).assign(features="classifier").to_parquet(path)
    table = generation_grid.build(context(), grid=[path])
    row = cells(table)
    assert (row["PCA 0", "steps"]["value"], row["PCA 1", "steps"]["value"]) == ("0", "20")
    assert (row["PCA 0", "momentum"]["value"], row["PCA 1", "momentum"]["value"]) == ("", "0.8")
    assert any(note.startswith("Settings of 0 steps are starting points") for note in table.notes)
    assert not any("biased upwards" in note for note in table.notes)


def test_grid_judges_each_classifier_alone_and_averages_over_seeds(tmp_path):
    def settings(*distances):
        return [("pca", 0.9, 1.0, 0.0, 10 * (i + 1), d, 0.5) for i, d in enumerate(distances)]

    files = [grid_file(tmp_path, "sat", 0, settings(5.0, 3.0)), grid_file(tmp_path, "sat", 1, settings(1.0, 4.0))]
    files += [grid_file(tmp_path, "trades", 0, settings(9.0, 8.6))]
    table = generation_grid.build(context(), grid=files)
    assert [(row.group, row.label) for row in table.rows] == [
        ("SAT", "PCA 0"),
        ("SAT", "PCA 1"),
        ("TRADES", "PCA 1"),
        ("TRADES", "PCA 0"),
    ]
    assert [c.label for c in table.columns[:2]] == ["steps", "distance"]
    distance, quality = table.rows[0].cells[1], [row.cells[-1].text for row in table.rows]
    assert (distance.value, distance.std) == (3.0, pytest.approx(math.sqrt(8)))
    assert quality == ["equal, fastest", "equal", "equal", "equal, fastest"]
    assert [row.printed for row in table.rows] == [True, False, True, True]
    other = pd.read_parquet(files[2]).assign(frechet_name="Fréchet classifier distance")
    other.to_parquet(files[2])
    with pytest.raises(RobustlensError, match="different scores"):
        generation_grid.build(context(), grid=files)
