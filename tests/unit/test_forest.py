"""The claims at a glance: a panel per unit, a line per claim."""

import dataclasses
import math

import pytest
from matplotlib.colors import same_color

from robustlens.analysis.claims import CODE, CONTRADICTED, NOT_MEASURED, OPEN, SINGLE_SEED, SUPPORTED, Claim, Outcome
from robustlens.report.figure import HIGHEST, TEXT_WIDTH, save
from robustlens.report.forest import LOOKS, counted, forest


def entry(name: str, *numbers: float, unit: str = "points", verdict: str = SUPPORTED, **more: object) -> tuple:
    """numbers: estimate, low, high."""
    claim = Claim(name, "It rises.", "section 1", "Above 0.", None)
    return more.pop("dataset", ""), claim, Outcome(*numbers, unit, verdict, "by hand", **more)


ENTRIES = [
    entry("it-rises", 2.0, 1.0, 3.0),
    entry("it-falls", -2.0, -3.0, -1.0, verdict=CONTRADICTED, dataset="SVHN"),
    entry("in-nats", 0.2, -math.inf, math.inf, unit="nat", verdict=OPEN, why_open="underpowered", bound=0.5),
    entry("once", 5.0, 4.0, 6.0, verdict=OPEN, why_open=SINGLE_SEED),
    entry("never", math.nan, math.nan, math.nan, unit="", verdict=OPEN, why_open=NOT_MEASURED),
]


@pytest.fixture(scope="module")
def panels() -> list:
    """Of a study with a single dataset."""
    return forest([("", *entry[1:]) for entry in ENTRIES], "Claims", counted(ENTRIES)).figure.axes


def rows_of(axes) -> list[float]:
    """Where an axes has marks."""
    return [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "None"]


def lines(axes, y: float) -> tuple:
    """Of the claim at that height: its interval, its mark and its bound."""
    return tuple(
        line for line in axes.lines if len(line.get_ydata()) and sum(line.get_ydata()) / len(line.get_ydata()) == y
    )


def test_each_unit_has_a_panel_with_its_claims_in_their_order(panels):
    assert [axes.get_xlabel() for axes in panels] == ["points", "nat"]
    names = [[label.get_text() for label in axes.get_yticklabels()] for axes in panels]
    assert names == [["it rises", "it falls", "once"], ["in nats"]]


def test_estimate_interval_and_bound_are_where_the_outcome_says(panels):
    interval, mark, bound = lines(panels[0], 1)
    assert list(interval.get_xdata()) == [-3.0, -1.0] and list(mark.get_xdata()) == [-2.0]
    assert list(bound.get_xdata()) == [0.0, 0.0] and list(lines(panels[1], 0)[2].get_xdata()) == [0.5, 0.5]


def test_an_interval_without_an_end_goes_on_to_the_edge(panels):
    assert tuple(lines(panels[1], 0)[0].get_xdata()) == panels[1].get_xlim()


def test_verdicts_differ_in_colour_and_mark_and_one_seed_is_dotted(panels):
    for y, verdict in enumerate((SUPPORTED, CONTRADICTED, OPEN)):
        interval, mark, _ = lines(panels[0], y)
        assert same_color(mark.get_color(), LOOKS[verdict]["color"]) and mark.get_marker() == LOOKS[verdict]["marker"]
        assert (interval.get_linestyle() == ":") == (verdict == OPEN)
    looks = [(look["marker"], look["markerfacecolor"] == "white") for look in LOOKS.values()]
    assert len(set(looks)) == 3  # told apart in grey, too


def test_what_only_checks_the_code_is_named_and_not_counted():
    (dataset, claim, outcome), *others = ENTRIES
    assert counted([(dataset, dataclasses.replace(claim, about=CODE), outcome), *others]) == (
        "Of 4 claims, 0 supported, 1 contradicted and 3 open. Not counted, because it only checks the code: it rises."
    )


def test_the_caption_counts_verdicts_and_names_what_was_not_measured():
    assert forest(ENTRIES, "Claims", counted(ENTRIES)).caption == (
        "Of 5 claims, 1 supported, 1 contradicted and 3 open. Not measured: never."
    )


def test_each_dataset_has_a_column_of_panels_whose_claims_stand_beside_each_other():
    entries = [(dataset, *entry[1:]) for dataset in ("CIFAR-10", "SVHN") for entry in ENTRIES[:3]]
    figure = forest(entries[:5], "Claims", "Seen.").figure
    first, second, nats, none = figure.axes
    assert [axes.get_title() for axes in (first, second)] == ["CIFAR-10", "SVHN"]
    assert rows_of(first) == rows_of(second) == [0, 1] and rows_of(nats) == [0] and rows_of(none) == []
    assert first.get_xlim() == second.get_xlim()


def test_a_hundred_claims_of_many_datasets_fit_on_a_page_in_readable_type():
    many = [entry(f"claim-{i}", 1.0, 0.0, 2.0, dataset=f"dataset {j}") for i in range(40) for j in range(6)]
    figure = forest(many, "Claims", "Seen.").figure
    assert figure.get_size_inches()[0] == TEXT_WIDTH and figure.get_size_inches()[1] <= HIGHEST
    labels = [label for axes in figure.axes for label in axes.get_yticklabels()]
    assert min(label.get_size() for label in labels) >= 7


def test_where_nothing_was_measured_there_is_an_empty_figure_that_says_so(tmp_path):
    drawing = forest(ENTRIES[-1:], "Claims", "None.")
    save(drawing, tmp_path / "f.pdf", tmp_path / "f.png")
    assert drawing.caption == "None. Not measured: never." and (tmp_path / "f.png").stat().st_size > 0
