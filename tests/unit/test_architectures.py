"""The architectures: sizes, costs, names of the weights, and forward passes against layers computed by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from layers import arrays, convolve, normalise, relu, shaken, swish
from torch import nn

from robustlens.errors import RobustlensError
from robustlens.models.dm_wide_resnet import DMWideBlock
from robustlens.models.inference import InferenceModel
from robustlens.models.preact_resnet import PreActBlock
from robustlens.models.weights import build
from robustlens.models.wide_resnet import WideBlock
from robustlens.parameters import names

# Of every family: the smallest network of its kind, the size of its images, the number of its features.
SMALL = {
    "resnet": ({"family": "resnet", "blocks": [1, 2], "width": 4}, 12, 8),
    "bottleneck": ({"family": "resnet", "blocks": [1, 1], "width": 4, "block": "bottleneck"}, 12, 32),
    "preact-resnet": ({"family": "preact-resnet", "blocks": [1, 2], "width": 4}, 12, 8),
    "wide-resnet": ({"family": "wide-resnet", "depth": 10, "widen_factor": 2}, 12, 128),
    "dm-wide-resnet": ({"family": "dm-wide-resnet", "depth": 10, "widen_factor": 2}, 12, 128),
    "small-cnn": ({"family": "small-cnn"}, 28, 200),
    "imagenet-resnet": ({"family": "imagenet-resnet", "depth": 18}, 40, 512),
}
NORMALISATION = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.5]}


def small(name: str, channels: int = 3, classes: int = 5, **more: dict) -> nn.Module:
    torch.manual_seed(1)
    return shaken(build(SMALL[name][0] | more, channels, classes))


def images(name: str, channels: int = 3, count: int = 2) -> torch.Tensor:
    size = SMALL[name][1]
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(2))


def on_meta(architecture: dict, channels: int = 3, classes: int = 10) -> nn.Module:
    with torch.device("meta"):
        return build(architecture, channels, classes).eval()


def test_every_architecture_is_tested_here():
    assert {architecture["family"] for architecture, _, _ in SMALL.values()} == set(names("models"))


# Size and cost ----------------------------------------------------------------------------------------------------


def wide_parameters(depth: int, widen_factor: int, classes: int) -> int:
    """3x3 convolutions without bias, BatchNorm before each, a 1x1 shortcut where the width changes."""
    total, inputs = 9 * 3 * 16, 16
    for width in (16 * widen_factor, 32 * widen_factor, 64 * widen_factor):
        total += inputs * width
        for _ in range((depth - 4) // 6):
            total += 2 * inputs + 9 * inputs * width + 2 * width + 9 * width * width
            inputs = width
    return total + 2 * inputs + inputs * classes + classes


def preact_parameters(classes: int) -> int:
    total, inputs = 9 * 3 * 64, 64
    for width in (64, 128, 256, 512):
        total += inputs * width if width != inputs else 0
        for _ in range(2):
            total += 2 * inputs + 9 * inputs * width + 2 * width + 9 * width * width
            inputs = width
    return total + 2 * 512 + 512 * classes + classes


def resnet_parameters(classes: int) -> int:
    """3x3 convolutions without bias, BatchNorm after each, a 1x1 shortcut with BatchNorm where the width changes."""
    total, inputs = 9 * 3 * 64 + 2 * 64, 64
    for width in (64, 128, 256, 512):
        total += inputs * width + 2 * width if width != inputs else 0
        total += 9 * inputs * width + 3 * 9 * width * width + 4 * 2 * width
        inputs = width
    return total + 512 * classes + classes


def imagenet_parameters() -> int:
    total, inputs = 49 * 3 * 64 + 2 * 64, 64
    for width, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        total += inputs * 4 * width + 2 * 4 * width
        for _ in range(count):
            total += inputs * width + 9 * width * width + width * 4 * width + 2 * (width + width + 4 * width)
            inputs = 4 * width
    return total + 2048 * 1000 + 1000


def small_cnn_parameters() -> int:
    convolutions = (9 * 1 * 32 + 32) + (9 * 32 * 32 + 32) + (9 * 32 * 64 + 64) + (9 * 64 * 64 + 64)
    return convolutions + (1024 * 200 + 200) + (200 * 200 + 200) + (200 * 10 + 10)


@pytest.mark.parametrize(
    ("architecture", "channels", "classes", "by_hand", "published"),
    [
        ({"family": "resnet"}, 3, 10, resnet_parameters(10), 11_173_962),
        ({"family": "resnet"}, 3, 200, resnet_parameters(200), 11_173_962 + 190 * (512 + 1)),
        ({"family": "preact-resnet"}, 3, 10, preact_parameters(10), 11_172_170),
        ({"family": "wide-resnet", "depth": 28}, 3, 10, wide_parameters(28, 10, 10), 36_479_194),
        ({"family": "wide-resnet"}, 3, 10, wide_parameters(34, 10, 10), 46_160_474),
        ({"family": "wide-resnet", "depth": 70, "widen_factor": 16}, 3, 10, wide_parameters(70, 16, 10), 266_796_506),
        ({"family": "dm-wide-resnet"}, 3, 100, wide_parameters(28, 10, 100), 36_536_884),
        ({"family": "small-cnn"}, 1, 10, small_cnn_parameters(), 312_202),
        ({"family": "imagenet-resnet"}, 3, 1000, imagenet_parameters(), 25_557_032),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_number_of_parameters(architecture, channels, classes, by_hand, published):
    found = sum(p.numel() for p in on_meta(architecture, channels, classes).parameters())
    assert found == by_hand == published


def multiply_adds(network: nn.Module, channels: int, side: int) -> int:
    """Of the convolutions and linear layers, for one image, as they run: the outputs times the weights of each."""
    found = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(
                lambda layer, inputs, output: found.append(output.numel() * layer.weight[0].numel())
            )
    network(torch.empty(1, channels, side, side, device="meta"))
    return sum(found)


@pytest.mark.parametrize(
    ("architecture", "gflop"),
    [
        ({"family": "resnet"}, 1.111),
        ({"family": "preact-resnet"}, 1.111),
        ({"family": "wide-resnet", "depth": 28}, 10.49),
        ({"family": "wide-resnet", "depth": 34}, 13.32),
        ({"family": "dm-wide-resnet", "depth": 28}, 10.49),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_flops_of_an_image_of_cifar(architecture: dict, gflop: float):
    """Two for each multiply-add; the figures of training-and-evaluation-peers.md 2.1."""
    assert round(2 * multiply_adds(on_meta(architecture), 3, 32) / 1e9, 3 if gflop < 10 else 2) == gflop


def resnet_multiply_adds(side: int, classes: int) -> int:
    """The stem, then stages of four 3x3 convolutions and, but in the first one, a 1x1 shortcut at half the side."""
    total, inputs = side**2 * 9 * 3 * 64, 64
    for width in (64, 128, 256, 512):
        side = side if width == inputs else side // 2
        total += side**2 * (9 * inputs * width + 3 * 9 * width * width + (inputs * width if width != inputs else 0))
        inputs = width
    return total + 512 * classes


def wide_multiply_adds(side: int, depth: int, widen_factor: int, classes: int) -> int:
    """The stem, then three stages of (depth - 4) / 6 pairs of 3x3 convolutions, each with a 1x1 shortcut."""
    total, inputs = side**2 * 9 * 3 * 16, 16
    for number in range(3):
        width, side = 16 * widen_factor * 2**number, side if number == 0 else side // 2
        total += side**2 * (inputs * width + 9 * inputs * width + 9 * width * width)
        total += side**2 * ((depth - 4) // 6 - 1) * 2 * 9 * width * width
        inputs = width
    return total + inputs * classes


def test_the_sums_by_hand_give_the_sheet_s_flops_at_32_pixels():
    assert round(2 * resnet_multiply_adds(32, 10) / 1e9, 3) == 1.111
    assert round(2 * wide_multiply_adds(32, 28, 10, 10) / 1e9, 2) == 10.49


@pytest.mark.parametrize(
    ("architecture", "by_hand"),
    [
        ({"family": "resnet"}, resnet_multiply_adds(64, 200)),
        ({"family": "preact-resnet"}, resnet_multiply_adds(64, 200)),
        ({"family": "wide-resnet", "depth": 28}, wide_multiply_adds(64, 28, 10, 200)),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_flops_of_an_image_of_tiny_imagenet(architecture: dict, by_hand: int):
    assert multiply_adds(on_meta(architecture, classes=200), 3, 64) == by_hand


def test_flops_of_an_image_of_mnist():
    """28 pixels become 26, 24 (pooled: 12), 10 and 8 (pooled: 4)."""
    convolutions = 26**2 * 9 * 1 * 32 + 24**2 * 9 * 32 * 32 + 10**2 * 9 * 32 * 64 + 8**2 * 9 * 64 * 64
    by_hand = convolutions + 4 * 4 * 64 * 200 + 200 * 200 + 200 * 10
    assert multiply_adds(on_meta({"family": "small-cnn"}, channels=1), 1, 28) == by_hand == 9_952_400


def test_flops_of_an_image_of_imagenet():
    """The stem and its pooling leave 56 x 56; the stride of a stage is in the 3x3 convolution of its first block."""
    by_hand, inputs, before = 112**2 * 49 * 3 * 64, 64, 56
    for width, blocks, side in ((64, 3, 56), (128, 4, 28), (256, 6, 14), (512, 3, 7)):
        by_hand += before**2 * inputs * width + side**2 * inputs * 4 * width  # the first 1x1, and the shortcut
        by_hand += side**2 * (9 * width * width + width * 4 * width)
        by_hand += (blocks - 1) * side**2 * (4 * width * width + 9 * width * width + width * 4 * width)
        inputs, before = 4 * width, side
    by_hand += 2048 * 1000
    assert multiply_adds(on_meta({"family": "imagenet-resnet"}, classes=1000), 3, 224) == by_hand
    assert round(by_hand / 1e9, 3) == 4.089  # as torchvision says of its ResNet-50


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
]
PARTS = {"+": ["weight", "bias"], "*": ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]}


@pytest.mark.parametrize(("architecture", "layers"), OFFICIAL)
def test_weights_have_the_official_names(architecture: dict, layers: str):
    expected = {f"{name.rstrip('+*')}.{part}" for name in layers.split() for part in PARTS.get(name[-1], ["weight"])}
    assert set(on_meta(architecture).state_dict()) == expected


def test_weights_for_imagenet_are_those_of_torchvision_and_so_are_the_logits():
    from torchvision.models import resnet18

    ours, theirs, x = small("imagenet-resnet"), resnet18(num_classes=5).eval(), images("imagenet-resnet")
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


# What every network has in common ---------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", SMALL)
def test_logits_are_the_linear_layer_on_the_features(name: str, channels: int):
    network, x = small(name, channels), images(name, channels)
    with torch.no_grad():
        features, logits = network.features(x).double().numpy(), network(x).numpy()
    weight, bias = (t.detach().double().numpy() for t in (network.linear.weight, network.linear.bias))
    assert features.shape == (2, SMALL[name][2]) and logits.shape == (2, 5) and np.ptp(logits) > 0.1
    np.testing.assert_allclose(logits, features @ weight.T + bias, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in SMALL if name != "small-cnn"])
def test_images_of_another_size_are_accepted(name: str):
    network = small(name)
    with torch.no_grad():
        assert network(torch.rand(1, 3, 20, 16)).shape == (1, 5)


@pytest.mark.parametrize("normalised", [False, True], ids=["plain", "normalised"])
@pytest.mark.parametrize("name", SMALL)
def test_the_network_under_attack_has_the_same_logits_and_gradients(name: str, normalised: bool):
    network = small(name, **({"normalisation": NORMALISATION} if normalised else {}))
    folded, results = InferenceModel(network), []
    for candidate in (network, folded):
        x = images(name).requires_grad_(True)
        logits = candidate(x)
        results.append((logits.detach(), torch.autograd.grad((logits * torch.arange(5)).sum(), x)[0]))
    scale = [float(value.abs().max()) for value in results[0]]
    assert min(scale) > 1e-3
    for found, expected, size in zip(results[1], results[0], scale, strict=True):
        torch.testing.assert_close(found / size, expected / size, rtol=0, atol=1e-4)
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
    with torch.no_grad():
        assert not torch.equal(logits, network.eval()(x))
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
    np.testing.assert_allclose(found, by_hand(module, image.numpy(), stride), atol=1e-10)


@pytest.mark.parametrize(
    ("name", "last_stage", "last_norm", "activation"),
    [
        ("preact-resnet", "layer2", "bn", relu),
        ("wide-resnet", "block3", "bn1", relu),
        ("dm-wide-resnet", "layer", "batchnorm", swish),
    ],
)
def test_features_are_the_mean_of_the_last_activation(name, last_stage, last_norm, activation):
    network, seen = small(name), []
    network.get_submodule(last_stage).register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        features = network.features(images(name))
    expected = [activation(normalise(one.double().numpy(), getattr(network, last_norm))) for one in seen[0]]
    np.testing.assert_allclose(features.numpy(), np.mean(expected, axis=(2, 3)), atol=1e-5)


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
        found, weights["classifier.fc3.weight"] @ out + weights["classifier.fc3.bias"], atol=1e-9
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
    network, x = small(name, normalisation=NORMALISATION), images(name)
    mean, std = (np.array(NORMALISATION[key], np.float32)[:, None, None] for key in ("mean", "std"))
    inside = torch.from_numpy((x.numpy() - mean) / std)
    with torch.no_grad():
        torch.testing.assert_close(network(x), network.network(inside))
        torch.testing.assert_close(network.features(x), network.network.features(inside))
        assert not torch.allclose(network(x), network.network(x))
        torch.testing.assert_close(network(x), network.linear(network.features(x)))


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
