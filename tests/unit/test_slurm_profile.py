"""What profiles/slurm asks for by dataset: its expressions, and that such datasets are there."""

import re
from types import SimpleNamespace

import pytest
import yaml
from configured import REPOSITORY

ASKED = yaml.safe_load((REPOSITORY / "profiles" / "slurm" / "profile.yaml").read_text())["set-resources"]
BY_DATASET = {
    (rule, name): value for rule, of in ASKED.items() for name, value in of.items() if "wildcards" in str(value)
}


def asked(rule: str, name: str, dataset: str, attempt: int = 1) -> int:
    return eval(BY_DATASET[rule, name], {"wildcards": SimpleNamespace(dataset=dataset), "attempt": attempt})


@pytest.mark.parametrize(
    ("rule", "name", "dataset", "more", "usual"),
    [
        ("train", "runtime", "imagenet-64-cosine", 30 * 60, 12 * 60),
        ("train", "mem_mb", "imagenet-64-cosine", 32000, 8000),
        ("fit_generator", "runtime", "afhq-cosine", 24 * 60, 12 * 60),
        ("fit_generator", "mem_mb", "imagenet-64-cosine", 80000, 24000),
        ("generate_pool", "runtime", "afhq-cosine", 24 * 60, 4 * 60),
        ("generate_pool", "runtime", "celeba-cosine", 24 * 60, 4 * 60),
        ("generate_pool", "runtime", "imagenet-64-cosine", 24 * 60, 4 * 60),
    ],
)
def test_the_largest_datasets_get_more_and_the_others_what_is_usual(rule, name, dataset, more, usual):
    assert [asked(rule, name, dataset, attempt) for attempt in (1, 2)] == [more, 2 * more]
    assert [asked(rule, name, "cifar10", attempt) for attempt in (1, 2)] == [usual, 2 * usual]


def test_every_dataset_that_is_named_is_one_of_the_paper_scale():
    named = {dataset for value in BY_DATASET.values() for dataset in re.findall(r'"([a-z0-9-]+)"', value)}
    configurations = [REPOSITORY / "config.yaml", *(REPOSITORY / "studies").glob("*/config.yaml")]
    scales = [yaml.safe_load(file.read_text()).get("scales", {}).get("paper", {}) for file in configurations]
    assert named and named <= {name for scale in scales for name in scale.get("datasets", {})}
