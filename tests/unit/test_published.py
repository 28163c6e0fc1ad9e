from pathlib import Path

import pytest
from synthetic import RESNET18

from robustlens.errors import RobustlensError
from robustlens.parameters import resolve
from robustlens.report.published import PublishedNumbers, metric

PUBLISHED = Path(__file__).parents[2] / "studies" / "energy" / "published.yaml"


def test_published_numbers_are_those_of_the_sheet():
    numbers = PublishedNumbers(PUBLISHED)
    assert numbers.find("cifar10", "resnet18", "weat-adv", "autoattack").value == 49.75
    assert numbers.find("cifar100", "resnet18", "sat", "pgd").value == 23.89
    assert numbers.find("tiny-imagenet-200", "resnet18", "mart", "autoattack").value == 17.79
    assert numbers.find("cifar10", "any", "sada-jem", "fid").value == 9.41
    assert numbers.find("cifar10", "resnet18", "sat", "clean") is None  # known to nobody we could read
    assert numbers.find("digits", "resnet18", "sat", "autoattack") is None
    assert all(published.trust and published.source for published in numbers.numbers.values())


BLOCK = "source: s, trust: t, dataset: d, architecture: any, metrics: [m], values: {r: [1.0]}"
REFUSED = {
    "a number twice": (f"blocks: [{{{BLOCK}}}, {{{BLOCK}}}]", "block 2: the number .* is given twice"),
    "an unknown section": ("block: []", "unknown key 'block'; did you mean 'blocks'"),
    "an unknown key of a block": (
        f"blocks: [{{{BLOCK}, notes: n}}]",
        "block 1: unknown key 'notes'; did you mean 'note'",
    ),
    "a missing key": ("blocks: [{source: s}]", "block 1: 'trust' is missing"),
    "an unknown architecture": (
        f"architectures: {{resnet18: {{}}}}\nblocks: [{{{BLOCK.replace('any', 'resnet81')}}}]",
        "block 1: no architecture 'resnet81' is described; did you mean 'resnet18'",
    ),
    "too few values": (f"blocks: [{{{BLOCK.replace('[m]', '[m, n]')}}}]", "block 1: r has 1 values for 2 metrics"),
    "no mapping": ("[1, 2]", "must be a mapping with the keys architectures, labels, blocks"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_with_a_mistake_is_refused_with_its_place(case, tmp_path):
    text, message = REFUSED[case]
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(RobustlensError, match=rf"p\.yaml.*{message}"):
        PublishedNumbers(tmp_path / "p.yaml")


def test_an_architecture_is_found_by_all_of_its_parameters_but_the_normalisation():
    numbers, resnet18 = PublishedNumbers(PUBLISHED), resolve("models", "resnet", {}, "here")
    assert numbers.architecture({"family": "resnet", **resnet18}) == "resnet18"
    normalised = {"family": "resnet", **resnet18, "normalisation": {"mean": [0.5], "std": [0.2]}}
    assert numbers.architecture(normalised) == "resnet18"
    other = [{**RESNET18, "width": 16}, {"family": "resnet"}, {"family": "wide-resnet"}, {}, None]
    assert [numbers.architecture(architecture) for architecture in other] == [None] * 5


def test_labels_are_of_what_only_the_file_knows():
    numbers = PublishedNumbers(PUBLISHED)
    assert (numbers.label("jem++"), numbers.label("sat")) == ("JEM++", "sat")


def test_no_file_has_no_numbers():
    numbers = PublishedNumbers(None)
    assert numbers.find("cifar10", "resnet18", "sat", "pgd") is None
    assert numbers.architecture(RESNET18) is None


def test_papers_call_an_attack_as_we_do_unless_it_is_listed():
    assert (metric("pgd20"), metric("autoattack"), metric("clean")) == ("pgd", "autoattack", "clean")
