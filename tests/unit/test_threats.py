import pandas as pd
import pytest
from synthetic import OTHER_THREAT, THREAT

from robustlens.report import threats
from robustlens.report.context import Context, Recipe
from robustlens.report.escape import latex

CONTEXT = Context(
    "t",
    "s",
    "paper",
    "",
    {"digits": "Digits", "digits-l2": "Digits in L2"},
    {
        "sat": Recipe("SAT", threats={"digits": THREAT, "svhn": THREAT}),
        "sat-l2": Recipe("SAT, L2", threats={"digits": OTHER_THREAT}),
        "trades": Recipe("TRADES", threats={"digits": THREAT}),
    },
    threats={THREAT: {"norm": "linf", "epsilon": "3/16"}, OTHER_THREAT: {"norm": "l2", "epsilon": 0.5}},
)


def evaluations(*rows):
    return pd.DataFrame(rows, columns=["dataset", "recipe", "threat"])


def test_recipes_that_were_trained_under_another_threat_are_named_together():
    rows = evaluations(
        ("digits", "sat", OTHER_THREAT),
        ("digits", "sat", OTHER_THREAT),
        ("digits", "sat", THREAT),
        ("digits", "sat-l2", OTHER_THREAT),
        ("digits", "trades", OTHER_THREAT),
        ("svhn", "sat", OTHER_THREAT),
        ("svhn", "unknown", OTHER_THREAT),
    )
    assert threats.notes(rows, CONTEXT) == [
        "Trained under L∞, ε = 3/16, but evaluated under L2, ε = 0.5 on Digits: SAT; TRADES.",
        "Trained under L∞, ε = 3/16, but evaluated under L2, ε = 0.5 on svhn: SAT.",
    ]
    assert all(latex(note) for note in threats.notes(rows, CONTEXT))


def test_nothing_is_said_of_evaluations_under_the_threat_of_the_training():
    rows = evaluations(("digits", "sat", THREAT), ("digits", "sat-l2", OTHER_THREAT))
    assert threats.notes(rows, CONTEXT) == []


def test_a_threat_that_is_not_listed_keeps_its_name():
    assert threats.label("linf-9-255", CONTEXT) == "linf-9-255"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("digits", "sat", THREAT), ("digits", "trades", THREAT)], {"": 2}),
        ([("digits", "sat", THREAT), ("svhn", "sat", "linf-9-255")], {"Digits": 1, "svhn": 1}),
        (
            [("digits", "sat", THREAT), ("svhn", "sat", OTHER_THREAT)],
            {"Digits, L∞, ε = 3/16": 1, "svhn, L2, ε = 0.5": 1},
        ),
        ([("digits", "sat", THREAT), ("digits", "sat", OTHER_THREAT)], {"L∞, ε = 3/16": 1, "L2, ε = 0.5": 1}),
        (
            [("digits", "sat", THREAT), ("svhn", "sat", THREAT), ("digits", "sat", OTHER_THREAT)],
            {"Digits, L∞, ε = 3/16": 1, "Digits, L2, ε = 0.5": 1, "svhn, L∞, ε = 3/16": 1},
        ),
        (
            [("digits-l2", "sat", OTHER_THREAT), ("digits", "sat", THREAT)],  # a title that says the norm
            {"Digits in L2, ε = 0.5": 1, "Digits, L∞, ε = 3/16": 1},
        ),
    ],
)
def test_groups_are_told_apart_by_what_differs(rows, expected):
    found = [(label, len(group)) for label, group in threats.groups(evaluations(*rows), CONTEXT)]
    assert found == list(expected.items())


def test_what_was_evaluated_is_read_off_the_paths_of_files():
    run = "results/x/evaluations/digits/sat"
    files = [f"{run}/seed{seed}/{THREAT}/best/pgd20.100.parquet" for seed in (0, 1)]
    found = threats.evaluated(
        [*files, f"{run}-l2/seed0/{OTHER_THREAT}/robustness.json", "results/x/runs/digits/sat/seed0/a"]
    )
    assert found.to_dict("records") == [
        {"dataset": "digits", "recipe": "sat", "threat": THREAT},
        {"dataset": "digits", "recipe": "sat-l2", "threat": OTHER_THREAT},
    ]
    assert threats.notes(threats.evaluated([]), CONTEXT) == []
    assert threats.notes(threats.evaluated([f"{run}/seed0/{OTHER_THREAT}/x"]), CONTEXT) == [
        "Trained under L∞, ε = 3/16, but evaluated under L2, ε = 0.5 on Digits: SAT."
    ]
