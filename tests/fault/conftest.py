"""Finished studies for the tests of this folder."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "workflow"))  # flow.py: Snakemake as a user runs it

from flow import RESULTS, copy_of, copy_sources, run
from kills import ONE_RUN, TARGETS, Victim
from study import Study

POOL = str(RESULTS / "generators/digits/gaussian/images.npy")
ONE_SEED = {"studies": {"energy": {"seeds": [0], "cohorts": {"main": {"recipes": ["sat", "trades"]}, "further": None}}}}


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Path:
    """This repository as it was when the tests began, without results."""
    return copy_sources(tmp_path_factory.mktemp("sources") / "checkout")


@pytest.fixture(scope="session")
def finished(checkout, tmp_path_factory) -> Study:
    """Every job of every kind was run once. What a test changes here, it puts back."""
    study = Study(copy_of(checkout, tmp_path_factory.mktemp("finished") / "checkout"), ONE_SEED, "all", POOL)
    study.run_all()
    return study


@pytest.fixture(scope="session")
def one_run(checkout, tmp_path_factory) -> Study:
    """From the data to a table, undisturbed."""
    study = Study(copy_of(checkout, tmp_path_factory.mktemp("one_run") / "checkout"), ONE_RUN, *TARGETS)
    study.run_all()
    return study


@pytest.fixture(scope="session")
def survivor(checkout, tmp_path_factory) -> Victim:
    """The same, killed twenty times and then finished by Snakemake."""
    study = Study(copy_of(checkout, tmp_path_factory.mktemp("survivor") / "checkout"), ONE_RUN, *TARGETS)
    victim = Victim(study)
    assert study.run(study.job("data/digits")).code == 0
    try:
        victim.suffer()
        code, output = run(study.folder, study.overlay, "-c1", *TARGETS)
        assert code == 0, output
    except BaseException as error:
        error.add_note(victim.moments)
        raise
    return victim
