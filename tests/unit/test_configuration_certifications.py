"""Certifications in the configuration: what is filled in, what jobs are told, and what is refused."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from configured import MINE, cohorts, loaded, small

from robustlens.configuration import certification, certification_parts, certified_checkpoint, specs
from robustlens.errors import RobustlensError
from robustlens.study.declaration import Cohort

OWN = {"family": "smoothing", "sigma": 0.5}
CERTIFIED = replace(MINE, cohorts={**MINE.cohorts, "main": Cohort("Main.", suite="robustness", certification="own")})


def with_certifications(**named: dict) -> dict:
    return loaded(lambda raw: raw.update(certifications=named))


def test_there_are_none_by_default():
    config = loaded()
    assert config["certifications"] == {} and certification_parts(config) == {}


def test_a_certification_has_the_parameters_of_its_family_and_all_images_in_one_job_by_default():
    config = with_certifications(own=OWN, none={**OWN, "images": None})
    parameters = {"sigma": 0.5, "first_draws": 100, "draws": 10_000, "alpha": 0.001, "clip": True}
    expected = {"family": "smoothing", "shards": 1, "checkpoint": "best", **parameters}
    assert config["certifications"] == {"own": expected, "none": expected}
    assert certification(config, "own") == {"name": "own", "family": "smoothing", "parameters": parameters}
    assert certification_parts(config) == {"own": ("own", 1, 1), "none": ("none", 1, 1)}


def test_several_jobs_have_names_of_their_own():
    config = with_certifications(own={**OWN, "shards": 3, "images": 30})
    assert certification_parts(config) == {f"own.{n}-of-3": ("own", n, 3) for n in (1, 2, 3)}


def test_a_job_is_told_what_decides_its_table_and_no_label():
    config = with_certifications(own={**OWN, "shards": 2, "images": 30, "checkpoint": "last", "label": "Our own"})
    run = SimpleNamespace(dataset="digits", recipe="sat", seed="1", part="own.2-of-2")
    told = specs.certified(config, run)
    assert told == {
        **{
            "dataset": "digits",
            "recipe": "sat",
            "seed": 1,
            "architecture": config["datasets"]["digits"]["architecture"],
        },
        **{"certification": certification(config, "own"), "images": 30, "shard": 2, "shards": 2},
        **{"checkpoint": "last", "batch_size": 500},
    }
    other = with_certifications(own={**OWN, "shards": 2, "images": 30, "checkpoint": "last", "label": "Another"})
    assert specs.certified(other, run) == told


def test_a_third_party_model_has_one_checkpoint():
    config = with_certifications(own={**OWN, "checkpoint": "last"})
    assert certified_checkpoint(config, "sat", "own") == "last"
    config["models"] = {"theirs": {}}
    assert certified_checkpoint(config, "theirs", "own") == "published"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"sigma": 0}, "own.sigma: must be a number above 0, got 0"),
        ({"sigma": "1/4"}, "own.sigma: must be a number above 0, got '1/4'"),
        ({"sigma": None}, "own: smoothing needs the parameter 'sigma'"),
        (
            {"draws": 99},
            "own: smoothing: 99 draws are fewer than the 100 first_draws, which only choose the class; raise",
        ),
        ({"draws": 1e4}, "own.draws: must be a whole number above 0, got 10000.0"),
        ({"alpha": 0.5}, "own: smoothing: alpha must be above 0 and below 0.5, got 0.5"),
        ({"alpha": 0}, "own.alpha: must be a number above 0, got 0"),
        ({"alpha": -0.1}, "own.alpha: must be a number above 0, got -0.1"),
        (
            {"first_draws": 9, "draws": 9},
            "own: smoothing: with 9 draws at alpha 0.001 every certificate would abstain; ",
        ),
        ({"sigmma": 1}, "own: smoothing has no parameter 'sigmma'; did you mean 'sigma'?"),
        ({"family": "smothing"}, "own.family: unknown certification 'smothing'; did you mean 'smoothing'?"),
        ({"family": "run"}, "own.family: unknown certification 'run'"),
        ({"shards": 0}, "own.shards: 0 is less than the minimum of 1"),
        ({"shards": 5, "images": 4}, "own.shards: 5 jobs for 4 images; lower it"),
        ({"images": 0}, "own.images: 0 is less than the minimum of 1"),
        ({"checkpoint": "best-worst"}, "own.checkpoint: 'best-worst' is not one of ['best', 'last']"),
        ({"label": "a\nb"}, "own.label: "),
        ({"label": "\u4e2d"}, "own.label: "),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place_in_one_line(own, message):
    with pytest.raises(RobustlensError) as raised:
        with_certifications(own={**OWN, **own})
    assert str(raised.value).startswith(f"config.certifications.{message}") and "\n" not in str(raised.value)


def test_a_name_with_a_dot_would_be_that_of_a_job_and_is_refused():
    with pytest.raises(RobustlensError, match=r"config.certifications: 'own.1-of-2' does not match"):
        with_certifications(**{"own.1-of-2": OWN})


# Cohorts ----------------------------------------------------------------------------------------------------------


def cohort_of(certified: str | None, *, studies: dict | None = None, **named: dict) -> dict:
    def change(raw: dict) -> None:
        raw["certifications"] = named
        if certified:
            cohorts(raw)["main"]["certification"] = certified

    return loaded(change, studies=studies or {"mine": CERTIFIED})["studies"]["mine"]["cohorts"]["main"]


def test_a_cohort_is_certified_by_what_its_declaration_says_unless_it_names_another():
    assert cohort_of(None, own=OWN, other=OWN)["certification"] == "own"
    assert cohort_of("other", own=OWN, other=OWN)["certification"] == "other"
    assert "certification" not in cohort_of(None, own=OWN, studies={"mine": MINE})


def test_an_unknown_certification_is_refused_with_the_nearest_one():
    with pytest.raises(
        RobustlensError, match=r"main\.certification: unknown certification 'owm'; did you mean 'own'\?"
    ):
        cohort_of("owm", own=OWN)
    with pytest.raises(RobustlensError, match=r"main\.certification: unknown certification 'own'; valid are: none"):
        cohort_of(None)


def test_a_cohort_that_its_study_does_not_certify_names_no_certification():
    with pytest.raises(RobustlensError, match=r"cohorts\.main\.certification: mine does not certify this cohort"):
        cohort_of("own", own=OWN, studies={"mine": MINE})

    def free(raw: dict) -> None:
        raw["certifications"] = {"own": OWN}
        any_runs = {"recipes": ["sat"], "certification": "own"}
        small(raw)["studies"]["free"] = {"datasets": ["digits"], "seeds": [0], "cohorts": {"any": any_runs}}

    message = "config.studies.free.cohorts.any.certification: a study without a folder does not certify this cohort"
    with pytest.raises(RobustlensError, match=message):
        loaded(free)
