"""Cells of the tables on generators, their rankings, the transfer bound and certificates, and what figures draw of
them, against numbers by hand."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic import THREAT, THREATS
from tabulated import cells, index_of, write

from robustlens.closeness.linear_robustness import fit_linear
from robustlens.report.context import Context, Recipe
from robustlens.study.declaration import USES
from studies.proxy.figures import bound, discrimination
from studies.proxy.figures import certified as certified_figure
from studies.proxy.tables import certified, generators, rankings, transfer

PUBLISHED = Path(rankings.__file__).parents[1] / "published.yaml"
NAMES = ("first", "second", "third")
CONTEXT = Context(
    *("t", "proxy"),
    recipes={name: Recipe(name.upper(), threats={"digits": THREAT}) for name in (*NAMES, "real")},
    attacks={"clean": "clean", "pgd20": "PGD-20"},
    threats=THREATS,
    shapes={"digits": [1, 8, 8], "toys": [3, 8, 12]},
    baseline="real",
    uses=USES,
)
WHOLE = ("frechet", "score", "agreement", "agreement-real", "per-class")
COPIES = ("copy-ratio", "share-near")
BOTH = ("wasserstein", "robustness-real", "robustness-generated", "gap", "floor")
TERMS = ("empirical", "generalisation-penalty", "shift-penalty", "robustness")


def closeness(folder, recipe, values, seed=0):
    """The file of a run. values: by measure; those in two norms are ten times as large in L-inf."""
    rows = []
    for measure, value in values.items():
        norms = {"": 1} if measure in WHOLE else {"l2": 1} if measure in COPIES else {"l2": 1, "linf": 10}
        rows += [
            {"measure": measure, "norm": norm, "draw": draw, "value": times * value + shift}
            for norm, times in norms.items()
            for draw, shift in ((0, -0.5), (1, 0.5))
        ]
    return write(folder / "closeness", "digits", recipe, seed, "closeness.parquet", pd.DataFrame(rows))


def curve(folder, recipe, starts, seed=0):
    """The file of a run, whose discriminators fall from `starts`, by the number of steps, to chance at 0.2."""
    frames = []
    for steps, start in starts.items():
        accuracy = [start, (start + 0.5) / 2, 0.5]
        columns = {"norm": "l2", "steps": steps, "epsilon": [0.0, 0.1, 0.2], "accuracy": accuracy}
        frames.append(pd.DataFrame(columns | {"own_accuracy": accuracy, "chosen_epsilon": 0.0}))
    return write(folder / "discrimination", "digits", recipe, seed, "curve.parquet", pd.concat(frames))


def evaluated(folder, recipe, clean, attacked):
    """The index of a run on ten images, of which so many are right."""
    right = {("best", attack): {i: i < n for i in range(10)} for attack, n in (("clean", clean), ("pgd20", attacked))}
    return index_of(folder / "evaluations", recipe, 0, right, suite="selected")


def certificates(folder, recipe, radii, correct, seed=0, dataset="digits"):
    columns = {"index": np.arange(4), "label": 0, "radius": radii, "correct": correct}
    frame = pd.DataFrame(columns).assign(sigma=0.25, draws=2000, alpha=0.001)
    return write(folder / "certified", dataset, recipe, seed, "smoothed.parquet", frame)


def values(table):
    return {place: row["value"] for place, row in cells(table).items()}


def test_every_measure_of_a_generator_is_in_its_own_column(tmp_path):
    measured = dict(zip((*WHOLE, *COPIES, *BOTH), range(1, 20), strict=False))
    close = [closeness(tmp_path, "first", measured), closeness(tmp_path, "second", dict.fromkeys(measured, 30))]
    arcs = [curve(tmp_path, "first", {100: 0.7, 300: 0.9}), curve(tmp_path, "second", {100: 0.6, 300: 0.6})]
    indexes = [evaluated(tmp_path, *row) for row in (("real", 9, 5), ("first", 8, 7), ("second", 9, 4))]
    table = generators.build(CONTEXT, evaluations=indexes, closeness=close, discrimination=arcs)
    found = values(table)
    expected = {
        "Fréchet distance": measured["frechet"],
        "score": measured["score"],
        "W1, L2": measured["wasserstein"],
        "copy ratio": measured["copy-ratio"],
        "near copies, %": 100 * measured["share-near"],
        "labels agree, %": 100 * measured["agreement"],
        "ARC: 100 steps": 0.2 * 0.2 / 2,
        "ARC: 300 steps": 0.4 * 0.2 / 2,
        "gain, points: clean": -10,
        "gain, points: PGD-20": 20,
    }
    assert {column: float(found["FIRST", column]) for column in expected} == pytest.approx(expected)
    real = {"W1, L2": (measured["floor"] + 30) / 2, "labels agree, %": 100 * (measured["agreement-real"] + 30) / 2}
    for column in expected:
        assert (found["real images", column] == "") == (column not in real), column


@pytest.fixture
def ranked(tmp_path):
    """The table of three generators, of gains of 30, 20 and 10 points under attack, and of 10, 20 and 30 without."""
    close, arcs, indexes = [], [], [evaluated(tmp_path, "real", 5, 5)]
    for place, name in enumerate(NAMES):
        measured = {"frechet": 1 + place, "score": 9 - place, "wasserstein": 3 - place}
        close.append(closeness(tmp_path, name, measured))
        arcs.append(curve(tmp_path, name, {100: 0.6 + place / 10, 300: 0.9 - place / 10}))
        indexes.append(evaluated(tmp_path, name, 6 + place, 8 - place))
    files = {"evaluations": indexes, "closeness": close, "discrimination": arcs}
    return values(rankings.build(CONTEXT, **files, published=PUBLISHED))


def test_a_measure_in_the_order_of_the_gains_has_a_correlation_of_one_where_lower_is_better(ranked):
    signs = {
        "Fréchet distance": 1,
        "score": 1,
        "W1, L2": -1,
        "ARC, 100 steps": 1,
        "ARC, 300 steps": -1,
        "discriminators, radius 0": -1,  # those of the most steps
    }
    for label, sign in signs.items():
        assert float(ranked[label, "PGD-20"]) == pytest.approx(sign) and float(ranked[label, "clean"]) == -sign, label


def test_the_correlations_of_the_blog_post_are_those_of_its_numbers(ranked):
    robust = [53.1, 45.0, 43.5, 39.6, 33.4, 32.4]
    frechet, arc = [3.17, 2.92, 12.96, 11.26, 4.61, 12.61], [0.06, 0.32, 1.09, 1.19, 1.43, 1.55]

    def ranks(numbers):
        return np.argsort(np.argsort(numbers))

    def spearman(measure):  # 1 - 6 sum d^2 / (n (n^2 - 1)), of the order in which lower is better
        return 1 - 6 * int(((ranks(robust) - ranks([-m for m in measure])) ** 2).sum()) / (6 * 35)

    of_post = {
        label: float(value) for (label, column), value in ranked.items() if column == "author's blog post" and value
    }
    assert of_post == pytest.approx(
        {"ARC, 100 steps": spearman(arc), "ARC, 300 steps": spearman(arc), "Fréchet distance": spearman(frechet)}
    )


def test_both_sides_of_the_bound_and_the_terms_are_in_their_columns(tmp_path):
    measured = dict(zip((*BOTH, *TERMS), range(1, 10), strict=True))
    found = values(transfer.build(CONTEXT, closeness=[closeness(tmp_path, "first", measured)]))
    headings = {"robustness, one classifier": transfer.BOUND | transfer.FLOOR, "terms of robustness": transfer.TERMS}
    expected = {
        ("FIRST", f"{heading}: {label}"): 10 * measured[name]  # in L-inf, which comes last
        for heading, columns in headings.items()
        for name, label in columns.items()
    }
    of_images = {place: float(value) for place, value in found.items() if place[0] == "FIRST"}
    assert of_images == pytest.approx(expected)


def part_above_zero(mean, deviation=1.0):
    """The mean of what is positive of a normal variable."""
    return mean * stats.norm.cdf(mean / deviation) + deviation * stats.norm.pdf(mean / deviation)


# Where the two classes are after a move by 1 of (-2, 0) to the left and (2, 0) to the right.
MOVED = {
    "to the boundary": ([-1, 0], [1, 0]),
    "away from it": ([-3, 0], [3, 0]),
    "both one way": ([-1, 0], [3, 0]),
    "along it": ([-2, 1], [2, 1]),
}


@pytest.mark.parametrize("move", MOVED)
def test_the_rows_of_the_analytic_world_are_those_of_the_closed_form(tmp_path, move):
    """Of y = w.x + b, which is normal, the distance of a point to the wrong side is the positive part over |w|."""
    measured = dict.fromkeys((*BOTH, *TERMS), 1)
    table = transfer.build(CONTEXT, closeness=[closeness(tmp_path, "first", measured)])
    assert [row.label for row in table.rows if row.group.startswith("analytic world, computed")] == list(MOVED)
    found = {column: float(value) for (row, column), value in values(table).items() if row == move}
    sides, real, generated = (-1, 1), np.array([[-2.0, 0], [2, 0]]), np.array(MOVED[move], float)

    def robustness(centres, w, b):
        return np.mean([part_above_zero(s * (w @ c + b) / np.hypot(*w)) for s, c in zip(sides, centres, strict=True)])

    best = [robustness(centres, np.array([1.0, 0.0]), 0.0) for centres in (real, generated)]
    one = {"real": best[0], "generated": best[1], "difference": abs(best[0] - best[1]), "bound": 1, "floor": 0}
    random, rows, labels = np.random.default_rng(0), [], np.repeat([0, 1], 5)
    for _ in range(100):
        x = generated[labels] + random.standard_normal((10, 2))
        learnt = fit_linear(x, labels, 2)
        w, b = learnt.weights[1] - learnt.weights[0], learnt.bias[1] - learnt.bias[0]
        on_seen = np.maximum(np.where(labels, 1, -1) * (x @ w + b), 0).mean() / np.hypot(*w)
        rows.append((on_seen, robustness(generated, w, b), robustness(real, w, b)))
    seen, unseen, on_real = np.mean(rows, axis=0)
    terms = {"seen": seen, "unseen": abs(unseen - seen), "shift": abs(on_real - unseen), "real": on_real}
    expected = {f"robustness, one classifier: {name}": value for name, value in one.items()}
    expected |= {f"terms of robustness: {name}": value for name, value in terms.items()}
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_figure_of_the_bound_has_each_generator_s_gap_and_distance_and_what_real_images_have(tmp_path):
    measured = dict(zip((*BOTH, *TERMS), range(1, 10), strict=True))
    files = [closeness(tmp_path, name, {m: v + 10 * k for m, v in measured.items()}) for k, name in enumerate(NAMES)]
    drawing = bound.build(CONTEXT, closeness=files)
    axes = drawing.figure.axes[-1]
    points = [
        line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() in "os" and len(line.get_xdata())
    ]
    assert points == [[v + 10 * k, k] for k in range(3) for v in (measured["gap"], measured["wasserstein"])]
    assert "the bound is larger than the robustness itself, even between real" in drawing.caption
    gaps, bounds = ([measured[name], measured[name] + 20] for name in ("gap", "wasserstein"))
    said = re.match(
        r"On images the difference of robustness is (\S+) to (\S+) and the bound (\S+) to (\S+);", drawing.caption
    )
    assert [float(number) for number in said.groups()] == pytest.approx([*gaps, *bounds])
    held = 3 if measured["gap"] <= measured["wasserstein"] else 0
    assert f"it holds for {held} of 3 generators" in drawing.caption
    # Robustness on real and generated images is 2 and 3, 12 and 13, 22 and 23, and the bound 1, 11 and 21.
    assert "vacuous" not in drawing.caption
    loose = closeness(tmp_path / "loose", "first", measured | {"wasserstein": 3})
    assert "holds for 0 of 1 generators; for 1 it is vacuous" in bound.build(CONTEXT, closeness=[loose]).caption
    other = bound.build(
        CONTEXT, closeness=[closeness(tmp_path / "other", "first", measured | {"robustness-real": 3, "floor": 1})]
    )
    assert "even between real" not in other.caption
    across = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "None" and len(line.get_xdata())]
    assert across == [measured["floor"] + 10, measured["robustness-real"] + 10]


def test_curves_of_discriminators_are_drawn_in_percent_and_one_panel_for_each_number_of_steps(tmp_path):
    files = [curve(tmp_path, "first", {100: 0.7, 300: 0.9}), curve(tmp_path, "second", {100: 0.6, 300: 0.8})]
    drawing = discrimination.build(CONTEXT, discrimination=files)
    panels = [axes for axes in drawing.figure.axes if axes.lines]
    drawn = [[line.get_ydata().tolist() for line in axes.lines if len(line.get_ydata()) == 3] for axes in panels]
    assert np.allclose(drawn, [[[70, 60, 50], [60, 55, 50]], [[90, 70, 50], [80, 65, 50]]])
    assert np.allclose(panels[0].lines[-1].get_xdata(), [0, 0.1, 0.2])
    finding = r"The area above chance, after 300 steps, is between 0\.\d+ \(SECOND\) and 0\.\d+ \(FIRST\)"
    assert re.match(finding, drawing.caption)


def test_a_certificate_counts_where_it_is_of_the_label_and_reaches_the_radius(tmp_path):
    """Of four images REAL has certificates of 0, 0.1 (of a wrong class), 0.2 and 0.3, and FIRST of 0.1 to 0.6."""
    files = [
        certificates(tmp_path, "real", [0.0, 0.1, 0.2, 0.3], [False, False, True, True]),
        certificates(tmp_path, "first", [0.1, 0.2, 0.3, 0.6], [True] * 4),
    ]
    table = certified.build(CONTEXT, certified=files)
    found = values(table)
    radii = [column for row, column in found if row == "REAL" and "radius" in column]
    assert [float(found["REAL", column]) for column in radii] == [50, 50, 25, 0]
    assert [float(found["FIRST", column]) for column in radii] == [100, 75, 50, 25]
    assert float(found["FIRST", "difference, points"]) == 25 and found["REAL", "difference, points"] == ""
    settings = "a standard deviation of 0.25 and 2,000 draws, on 4 images; a certificate is wrong with a probability of"
    assert any(settings in note and "at most 0.001" in note for note in table.notes)
    drawing = certified_figure.build(CONTEXT, certified=files)
    lines = {line.get_label(): line for line in drawing.figure.axes[0].lines}
    assert settings in drawing.caption
    finding = (
        "at a radius of 0.30 is between 25 %, one seed (REAL) and 50 %, one seed (FIRST): one seed shows no order."
    )
    assert finding in drawing.caption
    for name, right in (("REAL", 25), ("FIRST", 50)):
        line = lines[name]
        assert np.interp(0.25, line.get_xdata(), line.get_ydata()) == pytest.approx(right)


def test_the_radius_in_linf_is_that_of_the_ball_within_the_ball_in_l2(tmp_path):
    """An image of 1 x 8 x 8 has 64 values, 8 times 8, and one of 3 x 8 x 12 has 288."""
    files = [
        certificates(tmp_path, "real", [0.1, 0.2, 0.3, 0.4], [True] * 4, dataset=name) for name in ("digits", "toys")
    ]
    table = certified.build(CONTEXT, certified=files)
    (note,) = (note for note in table.notes if "L∞" in note)
    assert "0.0156 for 0.125, 0.0312 for 0.25, 0.0625 for 0.5 on digits, whose images have 64 values;" in note
    assert "0.00737 for 0.125, 0.0147 for 0.25, 0.0295 for 0.5 on toys, whose images have 288 values." in note
    for file, sides in zip(files, (64, 288), strict=True):
        drawing = certified_figure.build(CONTEXT, certified=[file])
        (axes,) = drawing.figure.axes
        (above,) = axes.child_axes
        drawing.figure.draw_without_rendering()
        assert above.get_xlim() == pytest.approx([end / sides**0.5 for end in axes.get_xlim()])
        assert above.get_xlabel() == "implied radius (L∞)" and f"the {sides} values of an image" in drawing.caption
