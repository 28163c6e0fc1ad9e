"""Which rows of a column are in bold, against intervals worked out here."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic import context
from tabulated import cells, index_of, t_interval

from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import BEST, best_of
from robustlens.report.table import Table
from robustlens.report.tables import robustness


def frame(points):
    """points: (seeds, images)."""
    rows = [(s, i, value) for s, of_seed in enumerate(points) for i, value in enumerate(of_seed)]
    return pd.DataFrame(rows, columns=["seed", "index", "points"])


def by_hand(first, second):
    """Lower end of the interval of the mean difference, by the crossed model's mean squares."""
    d = np.asarray(first, float) - np.asarray(second, float)
    s, n = d.shape
    seed, image = n * d.mean(1).var(ddof=1), s * d.mean(0).var(ddof=1)
    rest = d - d.mean(1)[:, None] - d.mean(0)[None] + d.mean()
    residual = (rest**2).sum() / ((s - 1) * (n - 1))
    variance = max(seed + image - residual, seed, image, residual)
    freedom = variance**2 / (seed**2 / (s - 1) + image**2 / (n - 1) + residual**2 / ((s - 1) * (n - 1)))
    df = max(freedom, min(s - 1, n - 1))
    return d.mean() - stats.t.ppf(0.975, df) * np.sqrt(variance / d.size)


def accurate(share, seeds=3, images=400, moved=0):
    """Every seed is right on the first images, a few more or fewer; moved: which images these are."""
    of_seeds = [int(share * images) + k for k in range(seeds)]
    return [100.0 * (np.roll(np.arange(images), moved) < count) for count in of_seeds]


def test_the_best_and_what_cannot_be_told_apart_from_it():
    close, far = accurate(0.69, moved=90), accurate(0.40)
    parts = {"top": accurate(0.70), "close": close, "far": far}
    assert by_hand(parts["top"], close) <= 0 < by_hand(parts["top"], far)
    assert best_of({name: frame(points) for name, points in parts.items()}) == {"top", "close"}


def test_rows_of_fewer_or_other_seeds_or_other_images_are_not_compared():
    base = {"top": frame(accurate(0.7)), "far": frame(accurate(0.4))}
    fewer = frame(accurate(0.99, seeds=1))
    other_seeds = frame(accurate(0.6)).assign(seed=lambda rows: rows["seed"] + 7)
    other_images = frame(accurate(0.6)).assign(index=lambda rows: rows["index"] + 1)
    parts = base | {"fewer": fewer, "seeds": other_seeds, "images": other_images}
    assert best_of(parts) == {"top"}
    assert best_of({"top": base["top"], "fewer": fewer}) == set()  # nothing to compare with
    assert best_of({"a": fewer, "b": frame(accurate(0.1, seeds=1))}) == set()  # one seed decides nothing
    assert best_of({}) == set()


def test_equal_rows_are_equally_good():
    parts = {name: frame(accurate(0.5)) for name in "ab"}
    assert best_of(parts) == {"a", "b"}


def test_bold_in_print_and_on_a_page_and_a_column_of_the_csv(tmp_path):
    def right(count):
        return {("best", "pgd20"): {i: i < count for i in range(300)}}

    files = [
        index_of(tmp_path, recipe, seed, right(count + seed))
        for recipe, count, seeds in (("sat", 200, 3), ("trades", 60, 3), ("gairat", 290, 1))
        for seed in range(seeds)
    ]
    table = robustness.build(context(), evaluations=files)
    assert [row.cells[0].best for row in table.rows] == [True, False, False]
    assert r"SAT & {\boldmath\textbf{67.0~$\pm$~0.3}} \\" in table.to_latex()
    assert "<strong>67.0 ± 0.3</strong>" in table.to_html() and table.to_html().count("<strong>") == 1
    assert BEST in table.notes and "strong" not in table.to_csv()
    assert [row["best"] for row in cells(table).values()] == ["yes", "", ""]
    assert float(cells(table)["SAT", "Best checkpoint: PGD-20"]["value"]) == pytest.approx(67.0)
    alone = robustness.build(context(), evaluations=files[:3])
    assert BEST not in alone.notes and not alone.rows[0].cells[0].best


def test_a_bold_interval_is_bold_whole():
    low, high = t_interval([1.0, 2.0, 3.0])
    row = Row("a", (Cell(2.0, 1, low=low, high=high, best=True),))
    text = Table("t", "c", "r", (Column("x"),), (row,)).to_latex()
    assert r"{\boldmath\textbf{2.0 [$-$0.5, 4.5]}}" in text
