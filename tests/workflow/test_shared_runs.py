"""Runs that several studies name: each is trained once, for all of them."""

import re
from pathlib import Path

import pytest
from flow import run

STUDIES = ("energy", "classwise", "invariance")
DEFENCES = ("sat", "trades", "mart", "weat-adv")
SEEDS = (0, 1, 2)


def trainings(folder: Path, *studies: str) -> list[tuple[str, str, int]]:
    """Dataset, recipe and seed of every job of the rule `train` that these studies start at the embedded scale, of a
    checkout without results."""
    code, output = run(folder, "-n", "-p", "-c2", "--config", "scale=embedded", "--", *studies)
    assert code == 0, output
    found = re.findall(r"(?:--log|2>) '?results/embedded/logs/train/([\w-]+)/([\w-]+)/seed(\d+)\.log", output)
    (told,) = re.findall(r"^train +(\d+)$", output.partition("Job stats:")[2].partition("\n\n")[0], re.MULTILINE)
    assert len(found) == int(told)
    return [(dataset, recipe, int(seed)) for dataset, recipe, seed in found]


@pytest.fixture(scope="module")
def jobs(sources) -> dict[str, list[tuple[str, str, int]]]:
    """Of all studies together, and of each alone."""
    return {"all": trainings(sources, *STUDIES)} | {study: trainings(sources, study) for study in STUDIES}


def test_no_run_is_trained_twice(jobs):
    assert len(jobs["all"]) == len(set(jobs["all"]))
    assert set(jobs["all"]) == {run for study in STUDIES for run in jobs[study]}
    assert len(jobs["all"]) < sum(len(jobs[study]) for study in STUDIES)


def test_the_defences_of_the_classwise_study_are_those_of_the_energy_study(jobs):
    defences = {("digits", recipe, seed) for recipe in DEFENCES for seed in SEEDS}
    assert defences <= set(jobs["energy"]) & set(jobs["classwise"])
    further = set(jobs["classwise"]) - set(jobs["energy"])
    assert further and not {recipe for _, recipe, _ in further} & set(DEFENCES)
