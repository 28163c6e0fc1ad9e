"""Published numbers of this study."""

from pathlib import Path

from robustlens.parameters import fraction
from robustlens.report.published import PublishedNumbers

NUMBERS = PublishedNumbers(Path(__file__).parents[3] / "studies" / "proxy" / "published.yaml")
LINF, L2 = ("linf", fraction("8/255")), ("l2", fraction("1/2"))


def test_published_numbers_are_those_of_the_sheet():
    def value(*place, ball=LINF):
        return NUMBERS.find(*place, ball).value

    assert value("cifar10-cosine", "resnet18", "port-ddpm", "autoattack") == 55.54
    assert value("cifar10-cosine-wide", "wide-resnet-34-10", "port-ddpm", "clean") == 86.68
    assert value("cifar100-cosine", "wide-resnet-34-10", "port-ddpm-10000", "autoattack") == 31.15
    assert value("cifar10-cosine-l2", "resnet18", "port-ddpm", "autoattack", ball=L2) == 74.41
    assert value("celeba-cosine", "any", "port-trades", "robust") == 62.7
    assert value("cifar10", "any", "e2gan", "arc-by-generator") == 1.19
    assert value("imagenet-64", "any", "real-and-generated", "robust") == 28.4


def test_what_the_author_s_post_says_is_called_so_and_is_no_accuracy_under_autoattack():
    """It is not the paper, and it does not say which attack there was."""
    posts = {key: number for key, number in NUMBERS.numbers.items() if "blog" in number.source}
    assert len(posts) == 4 * 2 + 6 * 3 + 2
    assert all(number.trust == "read off a picture" for number in posts.values())
    assert {key[3] for key in posts} == {"robust", "robust-by-generator", "frechet-by-generator", "arc-by-generator"}
    assert not any(
        key[3] == "autoattack" for key, number in NUMBERS.numbers.items() if "RobustBench" not in number.source
    )
