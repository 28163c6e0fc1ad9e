"""What a chapter says of how its results were made."""

from pathlib import Path

import pytest
import yaml

from robustlens.study.declaration import Cohort, Study
from robustlens.study.discovery import find
from robustlens.study.setup import setup

REPOSITORY = Path(__file__).parents[2]
TRAINING = {
    "epochs": 40,
    "batch_size": 50,
    "learning_rate": 0.3,
    "schedule": {"name": "one-cycle"},
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "attack_steps": 7,
}
DIGITS = {
    "title": "Digits",
    "threat": "near",
    "architecture": {"family": "resnet", "blocks": [1, 1], "width": 8, "normalisation": {"mean": [0.5]}},
    "training": TRAINING,
}
CONFIG = {
    "datasets": {"digits": DIGITS, "wide": DIGITS | {"title": "Wide digits", "threat": "far"}},
    "threats": {
        "near": {"norm": "linf", "epsilon": "3/16", "step_size": "3/64"},
        "far": {"norm": "l2", "epsilon": "1/2", "step_size": "1/8"},
    },
    "recipes": {"sat": {"label": "SAT"}, "own": {}},
    "models": {"theirs": {"title": "Theirs"}},
    "attacks": {"clean": {}, "autoattack": {"label": "AutoAttack"}},
    "suites": {"all": {"attacks": ["clean", "autoattack"], "samples": {"autoattack": 200}}},
}


def cohort(**more) -> dict:
    return {"datasets": ["digits"], "recipes": ["sat", "own"], "models": [], "seeds": [0, 1], "suite": "all", **more}


def told(study: Study, **cohorts) -> dict:
    return dict(setup(CONFIG | {"studies": {"mine": {"cohorts": cohorts}}}, study))


MINE = Study(
    "A title",
    "the paper",
    {"main": Cohort("")},
    authors=("A. First", "B. Second"),
    venue="A Venue 2026",
    arxiv="1234.5678",
    definitions={"E(x)": "an energy, in nat"},
    name="mine",
)


def test_it_names_the_paper_and_how_its_results_were_made():
    assert told(MINE, main=cohort(), models=cohort(recipes=["sat"], models=["theirs"], seeds=[0], suite=None)) == {
        "Paper": ["A. First, B. Second. A Venue 2026. arXiv:1234.5678."],
        "Definitions": ["E(x): an energy, in nat."],
        "Data": ["Digits"],
        "Threat": ["L∞, ε = 3/16, steps of 3/64"],
        "Network": ["resnet, blocks 1-1, width 8, normalisation mean 0.5"],
        "Training": [
            "40 epochs, batches of 50, learning rate 0.3 (one-cycle), momentum 0.9, weight decay 0.0005, 7 attack steps"
        ],
        "Recipes": ["main (seeds 0, 1): SAT, own", "models (seed 0): SAT, Theirs"],
        "Attacks": ["all: clean, AutoAttack (200 images)"],
    }


def test_what_differs_between_datasets_is_said_of_each_and_what_does_not_once():
    found = told(MINE, main=cohort(datasets=["digits", "wide"]))
    assert found["Threat"] == ["Digits: L∞, ε = 3/16, steps of 3/64", "Wide digits: L2, ε = 1/2, steps of 1/8"]
    assert len(found["Network"]) == 1 and found["Data"] == ["Digits, Wide digits"]


def test_what_a_study_does_not_declare_is_left_out():
    bare = Study("mine", "mine", {"main": Cohort("")}, name="mine")
    assert list(told(bare, main=cohort())) == ["Data", "Threat", "Network", "Training", "Recipes", "Attacks"]
    assert told(bare) == {}


@pytest.mark.parametrize("name", list(find(REPOSITORY / "studies")))
def test_a_study_names_its_paper_as_the_citation_file_does(name):
    study = find(REPOSITORY / "studies")[name]
    papers = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())["references"]
    cited = next(paper for paper in papers if paper["url"].endswith(f"/{study.arxiv}"))
    assert study.authors == tuple(f"{one['given-names']} {one['family-names']}" for one in cited["authors"])
    assert study.venue == f"{cited['collection-title']} {cited['year']}"
    assert cited["title"].startswith(study.title.split(" (")[0].split(":")[0])


@pytest.mark.parametrize("name", list(find(REPOSITORY / "studies")))
def test_a_chapter_has_no_more_than_five_tables(name):
    assert sum(not table.appendix for table in find(REPOSITORY / "studies")[name].tables) <= 5
