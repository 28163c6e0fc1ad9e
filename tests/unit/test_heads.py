"""Last layers in place of an architecture's own."""

import math

import pytest
import torch
from layers import shaken
from networks import SMALL
from torch import Tensor

from robustlens.heads.cosine import CosineLinear
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import build, load_model, save_weights
from robustlens.planning.networks import Network


def cosines(features: Tensor, rows: Tensor) -> list[list[float]]:
    """By loops over the images and the classes."""
    found = []
    for f in features.tolist():
        length, of_image = math.sqrt(sum(v * v for v in f)), []
        for w in rows.tolist():
            product = sum(a * b for a, b in zip(f, w, strict=True))
            of_image.append(product / (length * math.sqrt(sum(v * v for v in w))))
        found.append(of_image)
    return found


@pytest.mark.parametrize("name", SMALL)
def test_the_cosine_head_takes_the_place_of_every_architecture_s_last_layer(name, tmp_path):
    architecture, side, _ = SMALL[name]
    torch.manual_seed(0)
    network = shaken(build(architecture | {"head": "cosine"}, 3, 5)).double().eval()
    x = torch.rand(3, 3, side, side, dtype=torch.float64)
    with torch.no_grad():
        expected = torch.tensor(cosines(network.features(x), network.linear.weight), dtype=torch.float64)
        torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(InferenceModel(network)(x), expected, rtol=1e-10, atol=1e-10)
    plain = build(architecture, 3, 5)
    bias = next(name for name, p in plain.named_parameters() if p is plain.linear.bias)
    assert set(plain.state_dict()) - set(network.state_dict()) == {bias}
    save_weights(network.float().state_dict(), tmp_path / "w.safetensors")
    loaded = load_model(tmp_path / "w.safetensors", architecture | {"head": "cosine"}, 3, 5)
    assert torch.equal(loaded.linear.weight, network.linear.weight)


def test_rows_of_length_1_have_the_gradient_of_the_authors_code():
    """Its values for the rows (3, 4), (1, 0), (0, 2), made unit ones, the feature (0.6, 0.8), label 1 and s = 15: no
    component along a row is taken out, and nothing is divided by its length."""
    head = CosineLinear(2, 3).double()
    rows = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    with torch.no_grad():
        head.weight.copy_(rows / rows.norm(dim=1, keepdim=True))
    feature = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    torch.nn.functional.cross_entropy(15 * head(feature), torch.tensor([1])).backward()
    expected = [[8.552972, 11.403963], [-8.978799, -11.971732], [0.425827, 0.567770]]
    torch.testing.assert_close(head.weight.grad, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=5e-7)


def test_rows_of_another_length_give_cosines_and_so_does_their_average():
    average = CosineLinear(2, 2)
    with torch.no_grad():
        average.weight.copy_(torch.tensor([[0.5, 0.5], [0.0, 5.0]]))  # of (1, 0) and (0, 1), and of (0, 5) twice
        found = average(torch.tensor([[2.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[math.sqrt(0.5), 0.0]]))


def test_a_head_is_normalised_and_planned_like_a_network_without_it():
    architecture = {"family": "resnet", "blocks": [1], "width": 4, "head": "cosine"}
    normalised = architecture | {"normalisation": {"mean": [0.5], "std": [0.2]}}
    assert isinstance(build(normalised, 1, 3).linear, CosineLinear)
    assert Network.of(architecture, (1, 8, 8), 3).features == 4
