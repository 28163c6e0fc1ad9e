"""Files of the former layout of results/ are answered with their place of today."""

from pathlib import Path

import pytest
from configured import own

from robustlens.former_layout import found, moved


@pytest.fixture(scope="module")
def paper():
    return own(scale="paper")


def test_tables_figures_and_claims_are_in_the_folder_of_their_study(paper):
    root = "results/paper"
    assert moved(f"{root}/tables/energy-phases.tex", paper) == f"{root}/studies/energy/tables/phases.tex"
    assert moved(f"{root}/tables/energy-claims.csv", paper) == f"{root}/studies/energy/claims.csv"
    figure = "figures/energy-plane-cifar10-sat.png"
    assert moved(f"{root}/{figure}", paper) == f"{root}/studies/energy/figures/plane-cifar10-sat.png"


def test_the_study_with_the_longest_name_that_fits_is_meant(paper):
    config = paper | {"studies": {**paper["studies"], "energy-two": {}}}
    assert moved("results/paper/tables/energy-two-x.csv", config) == "results/paper/studies/energy-two/tables/x.csv"


def test_evaluations_are_under_the_threat_that_the_recipe_was_trained_under(paper):
    root = "results/paper/evaluations/cifar10"
    assert moved(f"{root}/sat/seed1/robustness.parquet", paper) == f"{root}/sat/seed1/linf-8-255/robustness.json"
    other = paper["recipes"] | {"sat": {**paper["recipes"]["sat"], "threat": "l2-1-2"}}
    place = moved(f"{root}/sat/seed1/robustness.parquet", paper | {"recipes": other})
    assert place == f"{root}/sat/seed1/l2-1-2/robustness.json"


def test_evaluations_of_third_party_models_are_under_the_threat_of_the_dataset(paper):
    run = "results/paper/evaluations/cifar10/robustbench-standard/seed0"
    assert moved(f"{run}/attack-energies.parquet", paper) == f"{run}/linf-8-255/attack-energies.json"


@pytest.mark.parametrize("target", [
    "results/paper/tables/other-phases.tex",
    "results/paper/tables/energy.tex",
    "results/paper/evaluations/other/sat/seed0/robustness.parquet",
    "results/paper/evaluations/cifar10/other/seed0/robustness.parquet",
    "results/paper/evaluations/cifar10/sat/seed0/other.parquet",
    "results/paper/evaluations/cifar10/sat/seedx/robustness.parquet",
    "results/paper/evaluations/robustness.parquet",
    "results/paper/report.html",
    "",
])  # fmt: skip
def test_what_this_scale_does_not_have_has_no_place(target, paper):
    assert moved(target, paper) is None


@pytest.mark.parametrize("former", [
    "tables/energy-phases.tex",
    "figures/energy-phases-digits.png",
    "evaluations/digits/sat/seed0/robustness.parquet",
])  # fmt: skip
def test_former_results_are_named_with_what_to_do(former, tmp_path: Path):
    file = tmp_path / "tiny" / former
    file.parent.mkdir(parents=True)
    file.touch()
    words = found(tmp_path, "tiny")
    assert str(tmp_path / "tiny") in words and "make accept" in words and "docs/migration.md" in words
    assert found(tmp_path, "another") is None


def test_results_of_today_are_not_taken_for_former_ones(tmp_path: Path):
    for place in ("studies/energy/tables/phases.tex", "evaluations/digits/sat/seed0/linf/best/clean.parquet"):
        (tmp_path / "tiny" / place).parent.mkdir(parents=True)
        (tmp_path / "tiny" / place).touch()
    assert found(tmp_path, "tiny") is None
