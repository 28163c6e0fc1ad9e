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
    "a value that is no number": (f"blocks: [{{{BLOCK.replace('1.0', 'x')}}}]", "values of r must be numbers .* 'x'"),
    "deviations of another recipe": (
        f"blocks: [{{{BLOCK}, deviations: {{rr: [0.1]}}}}]",
        "block 1: deviations of 'rr', which has no values; did you mean 'r'",
    ),
    "too many deviations": (
        f"blocks: [{{{BLOCK}, deviations: {{r: [0.1, 0.2]}}}}]",
        "block 1: r has 2 deviations for 1 metrics; write null",
    ),
    "a deviation that is no number": (
        f"blocks: [{{{BLOCK}, deviations: {{r: [±0.1]}}}}]",
        "block 1: deviations of r must be numbers or null, not '±0.1'",
    ),
    "a deviation below 0": (
        f"blocks: [{{{BLOCK}, deviations: {{r: [-0.1]}}}}]",
        "block 1: the deviation of r's m is -0.1, below 0",
    ),
    "a deviation without a value": (
        f"blocks: [{{{BLOCK.replace('1.0', 'null')}, deviations: {{r: [0.1]}}}}]",
        "block 1: the deviation of r's m is 0.1, without a value",
    ),
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


def test_a_number_has_the_deviation_that_its_block_gives(tmp_path):
    block = BLOCK.replace("[m]", "[m, n]").replace("{r: [1.0]}", "{r: [1.0, 2.0], s: [3.0, 4.0]}")
    (tmp_path / "p.yaml").write_text(f"blocks: [{{{block}, deviations: {{r: [null, 0.2]}}}}]")
    numbers = PublishedNumbers(tmp_path / "p.yaml")
    found = {key[2:4]: (number.value, number.std) for key, number in numbers.numbers.items()}
    assert found == {("r", "m"): (1, None), ("r", "n"): (2, 0.2), ("s", "m"): (3, None), ("s", "n"): (4, None)}


def test_labels_are_of_what_only_the_file_knows():
    numbers = PublishedNumbers(PUBLISHED)
    assert (numbers.label("jem++"), numbers.label("sat")) == ("JEM++", "sat")


def test_no_file_has_no_numbers():
    numbers = PublishedNumbers(None)
    assert numbers.find("cifar10", "resnet18", "sat", "pgd") is None
    assert numbers.architecture(RESNET18) is None


def test_papers_call_an_attack_as_we_do_unless_it_is_listed():
    assert (metric("pgd20"), metric("autoattack"), metric("clean")) == ("pgd", "autoattack", "clean")
