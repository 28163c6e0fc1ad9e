"""ARREST after its abstract: the angle of features, the loss by hand, what is replayed, and where a training starts."""

import math

import pytest
import tiny
import torch
import torch.nn.functional as F
from layers import shaken
from torch import Tensor, nn
from written_out import WrittenOut, cross_entropy

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.learning.learner import Learner
from robustlens.learning.method import Attacked, batch_of
from robustlens.methods.arrest import Arrest, angle
from robustlens.models.weights import build, save_weights
from robustlens.parameters import resolve
from robustlens.seeds import generator

DATA = tiny.random_images((3, 8, 8))
SMALL = {"family": "resnet", "blocks": [1], "width": 4}
THREAT = Threat("linf", 0.1, 0.04)


def tensor(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1.0, 0.0], [3.0, 0.0], 0.0),
        ([1.0, 0.0], [2.0, 2.0], 0.25),
        ([1.0, 0.0], [0.0, 0.1], 0.5),
        ([1.0, 0.0], [-2.0, 0.0], 1.0),
        ([1.0, 2.0, 2.0], [2.0, 1.0, 2.0], math.acos(8 / 9) / math.pi),
        ([1.0, 0.0], [1.0, 1e-9], 1e-9 / math.pi),  # whose cosine is 1 in float64
    ],
)
def test_the_angle_is_the_arc_cosine_in_units_of_pi(first: list, second: list, expected: float):
    assert angle(tensor(first), tensor(second)).item() == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert angle(tensor(second), tensor([5 * v for v in first])).item() == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_the_angle_s_gradient_is_finite_where_features_are_equal_opposite_or_zero():
    rows = tensor([1.0, 2.0], [1.0, 2.0], [0.0, 0.0], [1.0, 0.0]).requires_grad_(True)
    others = tensor([2.0, 4.0], [-1.0, -2.0], [1.0, 0.0], [0.0, 1.0])
    (gradient,) = torch.autograd.grad(angle(rows, others).sum(), rows)
    assert gradient.isfinite().all()
    assert gradient[3].tolist() == pytest.approx([0.0, -1 / math.pi], abs=1e-12)  # from (1, 0) towards (0, 1)
    zeros = torch.zeros(1, 2)
    assert angle(zeros, zeros).isfinite().all()


def networks() -> tuple[nn.Module, nn.Module]:
    """A classifier and a standard one."""
    torch.manual_seed(0)
    return shaken(build(SMALL, 3, 3)).double(), shaken(build(SMALL, 3, 3), 1).double()


def learner_of() -> Learner:
    network, standard = networks()
    return Learner(network, given={"standard": standard}).eval()


def images(count: int = 20) -> tuple[Tensor, Tensor]:
    x = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x, torch.arange(count) % 3


def feature(network: nn.Module, x: Tensor) -> Tensor:
    """The last layer's input, from its output: rows of the identity for its weights."""
    last, network.linear = network.linear, nn.Identity()
    with torch.no_grad():
        found = network(x)
    network.linear = last
    return found


def angles_by_hand(learner: Learner, x_adv: Tensor, x: Tensor) -> list[float]:
    standard = learner._given["standard"]
    found = []
    for u, v in zip(feature(learner.network, x_adv).tolist(), feature(standard, x).tolist(), strict=True):
        product = sum(a * b for a, b in zip(u, v, strict=True))
        lengths = math.sqrt(sum(a * a for a in u) * sum(b * b for b in v))
        found.append(math.acos(product / lengths) / math.pi)
    return found


def attacked(method: Arrest, learner: Learner, steps: int = 3) -> Attacked:
    x, y = images()
    return method.attack(steps)(learner, x, y, THREAT, generator(0))


@pytest.mark.parametrize("near", [1, 10, 19])
def test_images_whose_features_are_far_are_replaced_by_noisy_natural_ones(near: int):
    """Of 20 images so many are left as they are."""
    learner, (x, y) = learner_of(), images()
    random = generator(0)
    x_adv, noisy = PGD(steps=3)(learner, x, y, THREAT, random), THREAT.random_point(x, random)
    angles = angles_by_hand(learner, x_adv, x)
    threshold = sum(sorted(angles)[near - 1 : near + 1]) / 2
    far = [one > threshold for one in angles]
    found = attacked(Arrest(threshold=threshold), learner).x_adv
    assert far.count(False) == near and len(set(angles)) == 20
    for image, (one, replaced) in enumerate(zip(found, far, strict=True)):
        assert torch.equal(one, (noisy if replaced else x_adv)[image])


def test_a_threshold_of_1_replaces_none_and_one_of_0_all():
    learner, (x, y) = learner_of(), images()
    random = generator(0)
    x_adv, noisy = PGD(steps=3)(learner, x, y, THREAT, random), THREAT.random_point(x, random)
    assert torch.equal(attacked(Arrest(threshold=1.0), learner).x_adv, x_adv)
    assert torch.equal(attacked(Arrest(threshold=0.0), learner).x_adv, noisy)
    assert noisy.min() >= 0 and noisy.max() <= 1 and (THREAT.distance(noisy, x) <= THREAT.epsilon + 1e-12).all()


@pytest.mark.parametrize("strength", [0.0, 1.0, 5.0])
def test_the_loss_is_the_cross_entropy_and_the_angle_to_the_standard_network_s_natural_feature(strength: float):
    method, learner, (x, y) = Arrest(strength=strength), learner_of(), images()
    seen = batch_of(x, y, attacked(method, learner), epoch=1)
    terms = method.loss(learner, seen)
    angles = angles_by_hand(learner, seen.x_adv, x)
    assert terms["distance"].tolist() == pytest.approx([strength * a for a in angles], rel=1e-9)
    expected = F.cross_entropy(learner.network(seen.x_adv), y, reduction="none")
    torch.testing.assert_close(terms["adversarial"], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("strength", "threshold"), [(1.0, 1.0), (5.0, 1.0), (1.0, None)])
def test_the_loss_and_its_gradient_are_those_of_the_equation_on_networks_written_out(
    strength: float, threshold: float | None
):
    """The classifier in train mode and the standard one in eval mode. threshold: None is the median angle, so that half
    of the images are natural ones with noise."""
    learner, (x, y) = learner_of(), images()
    if threshold is None:
        x_adv = PGD(steps=3)(learner, x, y, THREAT, generator(0))
        threshold = sum(sorted(angles_by_hand(learner, x_adv, x))[9:11]) / 2
    method = Arrest(strength=strength, threshold=threshold)
    seen = batch_of(x, y, attacked(method, learner), epoch=1)
    tensors = {name: p.detach().clone().requires_grad_(True) for name, p in learner.named_parameters()}
    fixed = {f"network.{name}": t for name, t in learner._given["standard"].state_dict().items()}
    standard = WrittenOut(fixed, eval_mode=True).network(x)[1]["penultimate"]
    logits, features = WrittenOut(tensors).network(seen.x_adv)
    by_hand = {"adversarial": [], "distance": []}
    for row, (u, v) in enumerate(zip(features["penultimate"], standard, strict=True)):
        cosine = (u * v).sum() / ((u * u).sum() * (v * v).sum()).sqrt()
        by_hand["adversarial"].append(cross_entropy(logits[row], y[row]))
        by_hand["distance"].append(strength * cosine.acos() / math.pi)
    expected = {name: torch.stack(losses) for name, losses in by_hand.items()}
    found = method.loss(learner.train(), seen)
    assert found.keys() == expected.keys()
    for name, losses in found.items():
        torch.testing.assert_close(losses, expected[name], rtol=1e-9, atol=1e-12, msg=name)
    sum(expected.values()).mean().backward()
    sum(found.values()).mean().backward()
    for name, parameter in learner.named_parameters():
        torch.testing.assert_close(parameter.grad, tensors[name].grad, rtol=1e-7, atol=1e-11, msg=name)


def test_the_distance_has_a_gradient_in_the_classifier_s_features_and_none_in_the_standard_network():
    method, learner, (x, y) = Arrest(), learner_of(), images()
    method.loss(learner, batch_of(x, y, attacked(method, learner), epoch=1))["distance"].sum().backward()
    assert learner.network.conv1.weight.grad.any() and learner.network.linear.weight.grad is None
    assert all(p.grad is None for p in learner._given["standard"].parameters())


def test_a_standard_network_with_features_of_another_length_is_refused():
    network, _ = networks()
    wider = build(SMALL | {"width": 8}, 3, 3).double()
    message = r"arrest: the classifier has 4 features and the given network `standard` 8; give it a run of the same"
    with pytest.raises(RobustlensError, match=message):
        attacked(Arrest(), Learner(network, given={"standard": wider}).eval())


def test_a_training_starts_from_the_standard_network_and_leaves_it_as_it_is(tmp_path):
    """At the start, natural images have the very features of the standard network."""
    torch.manual_seed(2)
    architecture, file = tiny.colour_spec()["architecture"], tmp_path / "standard.safetensors"
    save_weights(shaken(build(architecture, 3, 3)).state_dict(), file)
    spec = tiny.colour_spec("arrest") | {
        "given": {"standard": {"architecture": architecture}},
        "start_from": {"recipe": "standard", "checkpoint": "best"},
    }
    weights = {"standard": file, "start_from": file}
    run = tiny.made(spec, DATA, tmp_path / "run", weights=weights)
    learner, standard = run.task.learner, run.task.learner._given["standard"]
    before = {name: t.clone() for name, t in standard.state_dict().items()}
    assert all(torch.equal(t, before[name]) for name, t in learner.network.state_dict().items())
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert angle(feature(learner.network.eval(), x), feature(standard, x)).max() == 0
    with run.loop.state:
        last = run.run().last
    assert all(torch.equal(t, before[name]) for name, t in standard.state_dict().items())
    assert not torch.equal(last["conv1.weight"], before["conv1.weight"])


@pytest.mark.parametrize(("key", "value"), [("threshold", 1.5), ("threshold", -0.1), ("strength", -1)])
def test_what_is_no_parameter_of_arrest_is_refused(key: str, value):
    with pytest.raises(RobustlensError, match=rf"recipes\.arrest\.{key}: must be "):
        resolve("methods", "arrest", {key: value}, "recipes.arrest")
