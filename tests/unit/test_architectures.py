"""The architectures: names of the weights, forward passes against layers computed by hand, bad parameters."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from layers import arrays, convolve, normalise, relu, shaken, swish
from networks import NORMALISATION, SMALL, images, on_meta, small
from torch import nn

from robustlens.errors import RobustlensError
from robustlens.models.dm_wide_resnet import DMWideBlock
from robustlens.models.inference import InferenceModel
from robustlens.models.preact_resnet import PreActBlock
from robustlens.models.weights import build
from robustlens.models.wide_resnet import WideBlock
from robustlens.parameters import names

EQUAL = {"rtol": 1e-12, "atol": 1e-12}  # in float64, whose rounding is 1e-16


def test_every_architecture_is_tested_here():
    assert {architecture["family"] for architecture, _, _ in SMALL.values()} == set(names("models"))


# Names of the weights ---------------------------------------------------------------------------------------------


# A convolution without bias is `name`, a layer with bias `name+`, BatchNorm `name*`.
OFFICIAL = [
    (
        {"family": "resnet", "blocks": [1, 1], "width": 4},
        """conv1 bn1* layer1.0.conv1 layer1.0.bn1* layer1.0.conv2 layer1.0.bn2*
        layer2.0.conv1 layer2.0.bn1* layer2.0.conv2 layer2.0.bn2* layer2.0.shortcut.0 layer2.0.shortcut.1* linear+""",
    ),
    (
        {"family": "resnet", "blocks": [1], "width": 4, "block": "bottleneck"},
        """conv1 bn1* layer1.0.conv1 layer1.0.bn1* layer1.0.conv2 layer1.0.bn2* layer1.0.conv3 layer1.0.bn3*
        layer1.0.shortcut.0 layer1.0.shortcut.1* linear+""",
    ),
    (
        {"family": "preact-resnet", "blocks": [1, 1], "width": 4},
        """conv1 layer1.0.bn1* layer1.0.conv1 layer1.0.bn2* layer1.0.conv2
        layer2.0.bn1* layer2.0.conv1 layer2.0.bn2* layer2.0.conv2 layer2.0.shortcut.0 bn* linear+""",
    ),
    (
        {"family": "wide-resnet", "depth": 10, "widen_factor": 1},
        """conv1 block1.layer.0.bn1* block1.layer.0.conv1 block1.layer.0.bn2* block1.layer.0.conv2
        block2.layer.0.bn1* block2.layer.0.conv1 block2.layer.0.bn2* block2.layer.0.conv2 block2.layer.0.convShortcut
        block3.layer.0.bn1* block3.layer.0.conv1 block3.layer.0.bn2* block3.layer.0.conv2 block3.layer.0.convShortcut
        bn1* fc+""",
    ),
    (
        {"family": "dm-wide-resnet", "depth": 10, "widen_factor": 1},
        """init_conv
        layer.0.block.0.batchnorm_0* layer.0.block.0.conv_0 layer.0.block.0.batchnorm_1* layer.0.block.0.conv_1
        layer.1.block.0.batchnorm_0* layer.1.block.0.conv_0 layer.1.block.0.batchnorm_1* layer.1.block.0.conv_1
        layer.1.block.0.shortcut
        layer.2.block.0.batchnorm_0* layer.2.block.0.conv_0 layer.2.block.0.batchnorm_1* layer.2.block.0.conv_1
        layer.2.block.0.shortcut batchnorm* logits+""",
    ),
    (
        {"family": "small-cnn"},
        """feature_extractor.conv1+ feature_extractor.conv2+ feature_extractor.conv3+ feature_extractor.conv4+
        classifier.fc1+ classifier.fc2+ classifier.fc3+""",
    ),
    ({"family": "mlp", "inputs": 12, "widths": [5, 4]}, "hidden.0+ hidden.2+ linear+"),
]
PARTS = {"+": ["weight", "bias"], "*": ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]}


@pytest.mark.parametrize(("architecture", "layers"), OFFICIAL)
def test_weights_have_the_official_names(architecture: dict, layers: str):
    expected = {f"{name.rstrip('+*')}.{part}" for name in layers.split() for part in PARTS.get(name[-1], ["weight"])}
    assert set(on_meta(architecture).state_dict()) == expected


def test_weights_for_imagenet_are_those_of_torchvision_and_so_are_the_logits():
    from torchvision.models import resnet18

    ours, theirs = small("imagenet-resnet").double(), resnet18(num_classes=5).double().eval()
    theirs.load_state_dict(ours.state_dict())
    x = images("imagenet-resnet").double()
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), **EQUAL)


# What every network has in common ---------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", SMALL)
def test_logits_are_the_linear_layer_on_the_features(name: str, channels: int):
    network, x = small(name, channels).double(), images(name, channels).double()
    with torch.no_grad():
        features, logits = network.features(x).numpy(), network(x).numpy()
    weight, bias = (t.detach().numpy() for t in (network.linear.weight, network.linear.bias))
    assert features.shape == (2, SMALL[name][2]) and logits.shape == (2, 5) and np.ptp(logits) > 0.1
    np.testing.assert_allclose(logits, features @ weight.T + bias, **EQUAL)


@pytest.mark.parametrize("name", [name for name in SMALL if name not in ("small-cnn", "mlp")])
def test_images_of_another_size_are_accepted(name: str):
    network = small(name)
    with torch.no_grad():
        assert network(torch.rand(1, 3, 20, 16)).shape == (1, 5)


@pytest.mark.parametrize("normalised", [False, True], ids=["plain", "normalised"])
@pytest.mark.parametrize("name", SMALL)
def test_the_network_under_attack_has_the_same_logits_and_gradients(name: str, normalised: bool):
    network = small(name, **({"normalisation": NORMALISATION} if normalised else {})).double()
    folded, results = InferenceModel(network), []
    for candidate in (network, folded):
        x = images(name).double().requires_grad_(True)
        logits = candidate(x)
        results.append((logits.detach(), torch.autograd.grad((logits * torch.arange(5)).sum(), x)[0]))
    scale = [float(value.abs().max()) for value in results[0]]
    assert min(scale) > 1e-3
    for found, expected, size in zip(results[1], results[0], scale, strict=True):
        torch.testing.assert_close(found / size, expected / size, rtol=0, atol=1e-12)
    left = sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert left < max(1, sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()))


@pytest.mark.parametrize("name", SMALL)
def test_evaluation_leaves_the_weights_alone_and_training_does_not(name: str):
    network, x = small(name), images(name, count=4)
    before = {key: t.clone() for key, t in network.state_dict().items()}
    with torch.no_grad():
        assert torch.equal(network(x), network(x))
    assert all(torch.equal(t, before[key]) for key, t in network.state_dict().items())

    torch.manual_seed(0)
    logits = network.train()(x)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
    with torch.no_grad():  # a perceptron is the same in both
        assert torch.equal(logits, network.eval()(x)) == (name == "mlp")
    changed = {key for key, t in network.state_dict().items() if not torch.equal(t, before[key])}
    assert changed == {key for key in before if "running" in key or "num_batches" in key}


# Blocks, by hand --------------------------------------------------------------------------------------------------


def preact_by_hand(block: PreActBlock, image: np.ndarray, stride: int) -> np.ndarray:
    weights = arrays(block)
    activated = relu(normalise(image, block.bn1))
    hidden = relu(normalise(convolve(activated, weights["conv1.weight"], stride, 1), block.bn2))
    projected = "shortcut.0.weight" in weights
    shortcut = convolve(activated, weights["shortcut.0.weight"], stride, 0) if projected else image
    return convolve(hidden, weights["conv2.weight"], 1, 1) + shortcut


def wide_by_hand(block: WideBlock, image: np.ndarray, stride: int) -> np.ndarray:
    weights = arrays(block)
    activated = relu(normalise(image, block.bn1))
    hidden = relu(normalise(convolve(activated, weights["conv1.weight"], stride, 1), block.bn2))
    projected = "convShortcut.weight" in weights
    shortcut = convolve(activated, weights["convShortcut.weight"], stride, 0) if projected else image
    return convolve(hidden, weights["conv2.weight"], 1, 1) + shortcut


def dm_by_hand(block: DMWideBlock, image: np.ndarray, stride: int) -> np.ndarray:
    weights = arrays(block)
    activated = swish(normalise(image, block.batchnorm_0))
    padding = 1 if stride == 1 else (0, 1)  # with stride 2: zeros below and to the right only
    hidden = swish(normalise(convolve(activated, weights["conv_0.weight"], stride, padding), block.batchnorm_1))
    projected = "shortcut.weight" in weights
    shortcut = convolve(activated, weights["shortcut.weight"], stride, 0) if projected else image
    return convolve(hidden, weights["conv_1.weight"], 1, 1) + shortcut


SHAPES = [(2, 2, 1), (2, 4, 1), (2, 4, 2)]


@pytest.mark.parametrize(
    ("block", "by_hand", "inputs", "outputs", "stride"),
    [(PreActBlock, preact_by_hand, *shape) for shape in (*SHAPES, (2, 2, 2))]
    + [(WideBlock, wide_by_hand, *shape) for shape in SHAPES]
    + [(DMWideBlock, dm_by_hand, *shape) for shape in SHAPES],
)
def test_pre_activation_blocks(block: type[nn.Module], by_hand: Callable, inputs: int, outputs: int, stride: int):
    torch.manual_seed(0)
    module = shaken(block(inputs, outputs, stride).double())
    image = torch.randn(inputs, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        found = module(image[None])[0].numpy()
    assert found.shape == (outputs, 6 // stride, 6 // stride)
    np.testing.assert_allclose(found, by_hand(module, image.numpy(), stride), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "last_stage", "last_norm", "activation"),
    [
        ("preact-resnet", "layer2", "bn", relu),
        ("wide-resnet", "block3", "bn1", relu),
        ("dm-wide-resnet", "layer", "batchnorm", swish),
    ],
)
def test_features_are_the_mean_of_the_last_activation(name, last_stage, last_norm, activation):
    network, seen = small(name).double(), []
    network.get_submodule(last_stage).register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        features = network.features(images(name).double())
    expected = [activation(normalise(one.numpy(), getattr(network, last_norm))) for one in seen[0]]
    np.testing.assert_allclose(features.numpy(), np.mean(expected, axis=(2, 3)), **EQUAL)


@pytest.mark.parametrize("name", ["wide-resnet", "dm-wide-resnet"])
def test_stages_of_a_wide_network(name: str):
    """16, 32 and 64 channels a unit of width, each later stage at half the resolution, equally many blocks."""
    network, shapes = build({"family": name, "depth": 16, "widen_factor": 1}, 3, 5), []
    for block in (m for m in network.modules() if isinstance(m, WideBlock | DMWideBlock)):
        block.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        network.eval()(torch.rand(1, 3, 16, 16))
    assert shapes == [(16, 16, 16)] * 2 + [(32, 8, 8)] * 2 + [(64, 4, 4)] * 2


def test_the_small_network_by_hand():
    network, x = small("small-cnn", channels=1).double(), images("small-cnn", channels=1, count=1).double()
    with torch.no_grad():
        found = network(x)[0].numpy()
    weights, out = arrays(network), x[0].numpy()
    for number in (1, 2, 3, 4):
        out = convolve(out, weights[f"feature_extractor.conv{number}.weight"], 1, 0)
        out = relu(out + weights[f"feature_extractor.conv{number}.bias"][:, None, None])
        if number in (2, 4):
            channels, size = out.shape[0], out.shape[1] // 2
            out = out.reshape(channels, size, 2, size, 2).max(axis=(2, 4))
    assert out.shape == (64, 4, 4)
    out = out.reshape(-1)
    for number in (1, 2):
        out = relu(weights[f"classifier.fc{number}.weight"] @ out + weights[f"classifier.fc{number}.bias"])
    np.testing.assert_allclose(
        found, weights["classifier.fc3.weight"] @ out + weights["classifier.fc3.bias"], rtol=0, atol=1e-9
    )


def test_dropout_sets_a_share_of_the_first_linear_layer_to_0_while_training():
    network = build({"family": "small-cnn", "dropout": 0.25}, 1, 10).train()
    torch.manual_seed(0)
    seen = []
    network.classifier.fc2.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    network.classifier.fc1.bias.data.fill_(10.0)  # no output is 0 by the ReLU
    network(torch.rand(20, 1, 28, 28))
    network.eval()(torch.rand(20, 1, 28, 28))
    assert abs(float((seen[0] == 0).float().mean()) - 0.25) < 0.03
    assert not (seen[1] == 0).any()


# First weights ----------------------------------------------------------------------------------------------------


def test_a_fresh_wide_network_has_the_variance_of_its_fan_out():
    torch.manual_seed(0)
    network = build({"family": "wide-resnet", "depth": 10, "widen_factor": 4}, 3, 10)
    for layer in (m for m in network.modules() if isinstance(m, nn.Conv2d)):
        expected = (2 / (layer.weight[0, 0].numel() * layer.out_channels)) ** 0.5
        assert abs(float(layer.weight.detach().std()) / expected - 1) < 0.1
    assert not network.fc.bias.any()


def test_a_fresh_small_network_answers_0():
    torch.manual_seed(0)
    network = build({"family": "small-cnn"}, 1, 10).eval()
    assert not network(torch.rand(2, 1, 28, 28)).any()
    for layer in (m for m in network.modules() if isinstance(m, nn.Conv2d)):
        assert abs(float(layer.weight.detach().std()) / (2 / layer.weight[0].numel()) ** 0.5 - 1) < 0.1
        assert not layer.bias.any()


# Normalisation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_a_normalised_network_is_the_network_on_normalised_images(name: str):
    network, x = small(name, normalisation=NORMALISATION).double(), images(name).double()
    mean, std = (np.array(NORMALISATION[key], np.float32)[:, None, None] for key in ("mean", "std"))  # as it was made
    inside = torch.from_numpy((x.numpy() - mean) / std)
    with torch.no_grad():
        torch.testing.assert_close(network(x), network.network(inside), **EQUAL)
        torch.testing.assert_close(network.features(x), network.network.features(inside), **EQUAL)
        assert not torch.allclose(network(x), network.network(x))
        torch.testing.assert_close(network(x), network.linear(network.features(x)), **EQUAL)


def test_the_constants_of_a_normalisation_are_no_weights_but_move_with_them():
    plain, network = small("resnet"), small("resnet", normalisation=NORMALISATION)
    assert [f"network.{key}" for key in plain.state_dict()] == list(network.state_dict())
    assert {name for name, _ in network.named_buffers() if "." not in name} == {"mean", "std"}
    assert network.double().mean.dtype == torch.float64


# Bad parameters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"family": "wide-resnet", "depth": 35}, r"architecture\.depth: must be 6 n \+ 4 .*, got 35"),
        ({"family": "wide-resnet", "depth": 4}, r"got 4"),
        ({"family": "dm-wide-resnet", "depth": 30}, r"architecture\.depth: must be 6 n \+ 4 .*, got 30"),
        ({"family": "imagenet-resnet", "depth": 56}, "architecture.depth: must be one of 18, 34, 50, 101, 152, got 56"),
        ({"family": "resnet", "block": "wide"}, "must be one of basic, bottleneck, got 'wide'"),
        ({"family": "resnet", "normalisation": {"mean": [0.5], "std": [0.5] * 3}}, "mean: has 1 numbers .* 3 channels"),
        ({"family": "resnet", "normalisation": {"mean": [0.5] * 3, "std": [1, 1]}}, "std: has 2 numbers .* 3 channels"),
    ],
)
def test_bad_parameters_are_refused(architecture: dict, message: str):
    with pytest.raises(RobustlensError, match=message):
        on_meta(architecture)


def test_a_perceptron_is_its_layers_one_after_another():
    network, x = small("mlp").double(), images("mlp").double()
    first, second = network.hidden[0], network.hidden[2]
    hidden = [[max(0.0, v) for v in first.weight.detach() @ image.flatten() + first.bias.detach()] for image in x]
    hidden = [[max(0.0, v) for v in second.weight.detach() @ torch.tensor(h) + second.bias.detach()] for h in hidden]
    np.testing.assert_allclose(network.features(x).detach().numpy(), hidden, rtol=1e-12)
    assert network.features(x).shape == (2, 8) and (network.features(x) > 0).any()
