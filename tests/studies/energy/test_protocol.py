"""The runs of the study on the paper's datasets follow the paper's released code."""

import re
from itertools import product

import pytest
from configured import REPOSITORY, own

from robustlens.configuration import run_spec

DATASETS = {
    "paper": {"cifar10", "cifar100", "svhn", "tiny-imagenet-200"},
    "pilot": {"cifar10"},
}
THREAT = {"norm": "linf", "epsilon": "8/255", "step_size": "2/255"}
AUGMENTATION = {"crop_padding": 4, "flip": True}  # on SVHN, too: the paper's code mirrors digits


def runs(config: dict) -> set[tuple[str, str, int]]:
    """Dataset, recipe and seed of every training of the study."""
    cohorts = config["studies"]["energy"]["cohorts"].values()
    return {run for cohort in cohorts for run in product(*(cohort[key] for key in ("datasets", "recipes", "seeds")))}


@pytest.mark.parametrize("scale", DATASETS)
def test_every_run_has_the_paper_s_threat_and_augmentation(scale):
    config = own(scale=scale)
    found = runs(config)
    assert {dataset for dataset, _, _ in found} == DATASETS[scale]
    for dataset, recipe, _ in found:
        spec = run_spec(config, dataset, recipe)
        assert spec["threat"] == THREAT, (dataset, recipe)
        assert spec["training"]["augmentation"] == AUGMENTATION, (dataset, recipe)
    assert all("threat" not in cohort for cohort in config["studies"]["energy"]["cohorts"].values())


def test_the_plan_and_the_table_of_what_it_takes_have_as_many_trainings_as_the_configuration():
    trainings, folder = len(runs(own(scale="paper"))), REPOSITORY / "studies" / "energy"
    assert re.search(r"^  train +(\d+)$", (folder / "plan-of-paper.md").read_text(), re.MULTILINE)[1] == str(trainings)
    assert f"| `paper` | {trainings} " in (folder / "README.md").read_text()
