"""What `make evaluate` refuses before the workflow starts."""

import runpy
import sys

import pytest
import torch
from configured import REPOSITORY

from robustlens.models.weights import build

SCRIPT = REPOSITORY / "scripts" / "evaluate_weights.py"
RESNET = {"family": "resnet", "blocks": [1], "width": 4}


@pytest.fixture
def refusal(monkeypatch, tmp_path):
    """What the script says of these weights with which it ends, in an empty folder, where it leaves nothing."""
    torch.save(build(RESNET, 1, 10).state_dict(), tmp_path / "my.pt")
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)

    def said(*arguments: str, weights: str = "my.pt", dataset: str = "digits", attack: str = "pgd20") -> str:
        given = ["--weights", str(tmp_path / weights), "--dataset", dataset, "--attack", attack, *arguments]
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *given])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        assert not list(empty.iterdir())
        return str(ended.value)

    return said


CASES = {
    "no file": ({"weights": "mine.pt"}, (), "mine.pt is no file; give the path of a checkpoint"),
    "an unknown dataset": ({"dataset": "cifar11"}, (), "no scale has the dataset 'cifar11'; did you mean 'cifar10'"),
    "a dataset of another scale": (
        {"dataset": "cifar10"},
        ("--scale", "embedded"),
        "scale embedded has no dataset 'cifar10'",
    ),
    "an unknown scale": ({}, ("--scale", "embeded"), "'embeded'; did you mean 'embedded'"),
    "an unknown attack": ({"attack": "pgd21"}, (), "no attack or suite is called 'pgd21'; did you mean 'pgd20'"),
    "another number of channels": (
        {"dataset": "svhn"},
        (),
        "a network for 1 channels, and svhn has 3; give the DATASET",
    ),
    "an architecture that is none": ({}, ("--architecture", "{family: resnett}"), "did you mean 'resnet'"),
    "an architecture that is no mapping": ({}, ("--architecture", "resnet"), "architecture"),
    "text that is no YAML": ({}, ("--architecture", "{family: [}"), "ARCHITECTURE: {family: [} is no YAML"),
    "an architecture that the weights are not of": (
        {},
        ("--architecture", "{family: resnet, blocks: [1], width: 8}"),
        "not the weights of",
    ),
    "no images": ({}, ("--images", "0"), "IMAGES: 0, and an attack needs at least one"),
    "an unknown threat": (
        {},
        ("--threat", "linf-8-256"),
        "no threat is called 'linf-8-256'; did you mean 'linf-8-255'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_can_not_be_evaluated_is_told_at_once(case, refusal):
    given, arguments, said = CASES[case]
    assert said in refusal(*arguments, **given)
