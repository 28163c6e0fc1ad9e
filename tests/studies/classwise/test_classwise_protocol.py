"""The study trains nothing that another one trains already."""

from itertools import product

import pytest
from configured import own


def runs(config, study):
    """Dataset, recipe and seed of every training of a study, and the suites that it is evaluated by."""
    found = {}
    for cohort in config["studies"][study]["cohorts"].values():
        for run in product(*(cohort[key] for key in ("datasets", "recipes", "seeds"))):
            found.setdefault(run, set()).add(cohort.get("suite"))
    return found


@pytest.mark.parametrize("scale", ["embedded", "pilot", "paper"])
def test_every_run_is_trained_and_evaluated_for_the_energy_study_too(scale):
    config = own(scale=scale)
    ours, theirs = runs(config, "classwise"), runs(config, "energy")
    assert ours and ours.keys() <= theirs.keys()
    assert all("robustness" in suites and "robustness" in theirs[run] for run, suites in ours.items())


def test_claims_compare_recipes_of_three_seeds():
    config = own(scale="embedded")
    assert {len(cohort["seeds"]) for cohort in config["studies"]["classwise"]["cohorts"].values()} == {3}
