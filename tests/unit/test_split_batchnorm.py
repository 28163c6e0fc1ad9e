"""Split BatchNorm: the two statistics stay apart, and what is exported is exactly an ordinary network."""

import copy

import pytest
import torch
from layers import shaken
from networks import SMALL, images, small
from torch import Tensor, nn

from robustlens.models.inference import InferenceModel
from robustlens.models.split_batchnorm import (
    ADVERSARIAL,
    NATURAL,
    SplitBatchNorm,
    natural_batchnorm,
    ordinary,
    split,
)
from robustlens.models.weights import build

each_family = pytest.mark.parametrize("name", sorted(SMALL))


def pair() -> SplitBatchNorm:
    return SplitBatchNorm(nn.BatchNorm2d(2).double())


def batch(seed: int) -> Tensor:
    return torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + seed


def of_one_batch(x: Tensor) -> tuple[list[float], list[float]]:
    """Running mean and variance after one batch: 0.9 of (0, 1) and 0.1 of the batch's, with n - 1 in the variance."""
    channels = [x[:, channel].flatten().tolist() for channel in range(2)]
    means = [sum(values) / len(values) for values in channels]
    variances = [
        sum((v - mean) ** 2 for v in values) / (len(values) - 1) for values, mean in zip(channels, means, strict=True)
    ]
    return [0.1 * mean for mean in means], [0.9 + 0.1 * variance for variance in variances]


def test_each_statistics_are_those_of_its_own_images():
    norm, x, x_adv = pair().train(), batch(1), batch(5)
    norm(x_adv)
    with natural_batchnorm(nn.Sequential(norm)):
        norm(x)
    for which, seen in ((norm.adversarial, x_adv), (norm.natural, x)):
        mean, variance = of_one_batch(seen)
        assert which.running_mean.tolist() == pytest.approx(mean, rel=1e-12)
        assert which.running_var.tolist() == pytest.approx(variance, rel=1e-12)
        assert int(which.num_batches_tracked) == 1


def test_a_pass_trains_the_affine_map_of_its_own_images_alone():
    norm = pair().train()
    norm(batch(1)).square().sum().backward()
    assert norm.adversarial.weight.grad is not None and norm.natural.weight.grad is None
    norm.zero_grad()
    with natural_batchnorm(norm):
        norm(batch(1)).square().sum().backward()
    assert norm.natural.bias.grad is not None and norm.adversarial.bias.grad is None


def test_both_begin_alike_and_neither_shares_a_tensor_with_the_other():
    norm = pair()
    with torch.no_grad():
        norm.adversarial.weight.fill_(3.0)
        norm.adversarial.running_mean.fill_(2.0)
    again = SplitBatchNorm(copy.deepcopy(norm.adversarial))
    assert again.natural.weight.tolist() == [3.0, 3.0] and again.natural.running_mean.tolist() == [2.0, 2.0]
    assert norm.natural.weight.tolist() == [1.0, 1.0] and norm.natural.running_mean.tolist() == [0.0, 0.0]
    assert norm.num_features == 2


def test_after_an_error_inside_images_are_adversarial_again():
    norm = pair()
    with pytest.raises(ZeroDivisionError), natural_batchnorm(norm):
        assert norm.which == NATURAL
        _ = 1 / 0
    assert norm.which == ADVERSARIAL


def test_a_network_without_split_batchnorms_is_left_as_it_is():
    network, x = small("resnet"), images("resnet")
    with natural_batchnorm(network):
        inside = network(x)
    assert torch.equal(inside, network(x))
    same = ordinary(network, NATURAL)
    assert same is not network and torch.equal(same(x), inside)


def shaken_apart(name: str) -> nn.Module:
    """A small network of a family, whose two statistics and affine maps differ."""
    network = split(small(name))
    for norm in (m for m in network.modules() if isinstance(m, SplitBatchNorm)):
        shaken(norm.adversarial, seed=1), shaken(norm.natural, seed=2)
    return network.eval()


@each_family
def test_every_batchnorm_of_a_network_is_split_and_its_tensors_are_named_after_both(name):
    plain, network = small(name).state_dict(), shaken_apart(name).state_dict()
    norms = [key for key, module in small(name).named_modules() if isinstance(module, nn.BatchNorm2d)]
    expected = set(plain)
    for norm in norms:
        of_norm = [key for key in plain if key.rpartition(".")[0] == norm]
        assert len(of_norm) == 5
        expected -= set(of_norm)
        tensors = [key.rpartition(".")[2] for key in of_norm]
        expected |= {f"{norm}.{which}.{tensor}" for which in (ADVERSARIAL, NATURAL) for tensor in tensors}
    assert set(network) == expected


@each_family
def test_what_is_exported_is_an_ordinary_network_with_the_same_logits(name):
    network, x = shaken_apart(name), images(name)
    with torch.no_grad():
        expected = {ADVERSARIAL: network(x)}
        with natural_batchnorm(network):
            expected[NATURAL] = network(x)
    has_norms = any(isinstance(module, SplitBatchNorm) for module in network.modules())
    assert torch.equal(*expected.values()) is not has_norms
    for which, logits in expected.items():
        exported = ordinary(network, which)
        fresh = build(SMALL[name][0], 3, 5)
        assert exported.state_dict().keys() == fresh.state_dict().keys()
        fresh.load_state_dict(exported.state_dict())
        with torch.no_grad():
            assert torch.equal(exported(x), logits) and torch.equal(fresh.eval()(x), logits)
            torch.testing.assert_close(InferenceModel(exported)(x), logits, rtol=1e-4, atol=1e-4)


def test_what_is_exported_is_a_copy():
    network = shaken_apart("resnet")
    before = network.bn1.natural.weight.clone()
    exported = ordinary(network, NATURAL)
    with torch.no_grad():
        exported.bn1.weight.fill_(7.0)
        exported.conv1.weight.fill_(0.0)
    assert torch.equal(network.bn1.natural.weight, before) and bool(network.conv1.weight.any())
    assert isinstance(network.bn1, SplitBatchNorm)
