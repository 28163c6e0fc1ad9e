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


@pytest.mark.parametrize("scale", ["smoke", "embedded", "pilot", "paper"])
def test_the_defences_of_the_energy_study_are_trained_and_evaluated_once(scale):
    config = own(scale=scale)
    ours, theirs = runs(config, "classwise"), runs(config, "energy")
    main, theirs_too = config["studies"]["classwise"]["cohorts"]["main"], {dataset for dataset, *_ in theirs}
    compared = {
        run for run in product(*(main[key] for key in ("datasets", "recipes", "seeds"))) if run[0] in theirs_too
    }
    assert compared and compared <= theirs.keys()
    assert all("robustness" in ours[run] & theirs[run] for run in compared)
    trained_anew = {run for run in ours.keys() - theirs.keys() if run[0] in theirs_too}
    assert not {recipe for _, recipe, _ in trained_anew} & set(main["recipes"])


@pytest.mark.parametrize("cohort", ["main", "attacks", "checkpoints", "temperature-gain"])
def test_claims_compare_recipes_of_three_seeds(cohort):
    assert len(own(scale="embedded")["studies"]["classwise"]["cohorts"][cohort]["seeds"]) == 3
