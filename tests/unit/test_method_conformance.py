"""What every method must do, whichever file it is in."""

import dataclasses

import pytest
import tiny
import torch
from layers import shaken
from torch import Tensor

from robustlens.attacks.threat import Threat
from robustlens.learning.learner import Learner
from robustlens.learning.method import Attacked, Batch, Method, batch_of
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import build
from robustlens.parameters import create, names
from robustlens.seeds import generator

THREAT = Threat("linf", 0.1, 0.04)
ARCHITECTURE = {"family": "resnet", "blocks": [1, 1], "width": 4}


def made(name: str) -> Method:
    """From the first epoch on with all that it does."""
    method = create("methods", name, tiny.NEEDED.get(name, {}))
    late = {"start_epoch": 0} if hasattr(method, "start_epoch") else {}
    return dataclasses.replace(method, **late)


def architecture_of(method: Method) -> dict:
    return ARCHITECTURE | ({"head": method.HEAD} if method.HEAD else {})


def learner_of(method: Method) -> Learner:
    def built(part: str | None = None):
        return build(architecture_of(method), 3, 3)

    torch.manual_seed(0)
    network = shaken(method.network(built))
    given = {name: shaken(built()).double() for name in method.GIVEN}
    return Learner(network, method.parts(network, built), method.memory(3), given).double()


def batch(method: Method, learner: Learner, size: int = 7) -> Batch:
    x = torch.rand(size, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y, attack = torch.arange(size) % 3, method.attack(3)
    threat = method.threat(THREAT, y, y, learner.memory)
    found = attack(learner.eval(), x, y, threat, generator(0, "x")) if attack else x
    return batch_of(x, y, found, epoch=1)


@pytest.mark.parametrize("name", names("methods"))
def test_a_method_is_a_frozen_dataclass_and_its_loss_one_number_per_image(name):
    method = made(name)
    assert isinstance(method, Method) and type(method).__dataclass_params__.frozen
    assert vars(method).keys() == {field.name for field in dataclasses.fields(method)}
    learner = learner_of(method)
    terms = method.loss(learner.train(), batch(method, learner))
    for losses in terms.values() if isinstance(terms, dict) else [terms]:
        assert losses.shape == (7,) and losses.isfinite().all() and losses.requires_grad


def part(whole: Batch, where: Tensor) -> Batch:
    """What one of two processes has of a batch. The means are of the whole batch, without gradient."""
    found = {name: values[where] for name, values in whole.found.items()}
    means: list[Tensor] = []

    def mean(values: Tensor) -> Tensor:
        return means.pop(0)

    piece = Batch(whole.x[where], whole.x_adv[where], whole.y[where], whole.epoch, found, _mean=mean)
    object.__setattr__(piece, "means", means)
    return piece


@pytest.mark.parametrize("name", names("methods"))
def test_the_gradients_of_two_processes_average_to_that_of_one(name):
    """In eval mode, in which BatchNorm does not know which images are in one batch."""
    method = made(name)
    learner = learner_of(method).eval()
    asked: list[Tensor] = []
    whole = batch(method, learner)
    object.__setattr__(whole, "_mean", lambda values: asked.append(values.detach().mean()) or asked[-1])
    total(method, learner, whole).mean().backward()
    expected = {name: p.grad.clone() for name, p in learner.named_parameters() if p.grad is not None}
    sums = {name: torch.zeros_like(g) for name, g in expected.items()}
    for rank in range(2):
        piece = part(whole, torch.arange(rank, 7, 2))
        piece.means.extend(asked)
        learner.zero_grad()
        (total(method, learner, piece).sum() * 2 / 7).backward()  # as the loop weighs it
        for name, parameter in learner.named_parameters():
            if parameter.grad is not None:
                sums[name] += parameter.grad / 2
    for name, gradient in expected.items():
        torch.testing.assert_close(sums[name], gradient, rtol=1e-9, atol=1e-12)


def total(method: Method, learner: Learner, seen: Batch) -> Tensor:
    terms = method.loss(learner, seen)
    return sum(terms.values()) if isinstance(terms, dict) else terms


@pytest.mark.parametrize("name", names("methods"))
def test_what_is_deployed_is_an_ordinary_classifier_that_folds_exactly(name):
    method = made(name)
    learner = learner_of(method)
    deployed = method.deployed(learner)
    assert deployed.state_dict().keys() == build(architecture_of(method), 3, 3).state_dict().keys()
    further = method.also_deployed(learner)
    assert sorted(further) == sorted(method.ALSO)
    x = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for network in (deployed, *further.values()):
        assert network.state_dict().keys() == deployed.state_dict().keys()
        with torch.no_grad():
            torch.testing.assert_close(InferenceModel(network)(x), network.eval()(x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", names("methods"))
def test_a_training_that_is_stopped_after_every_step_leaves_the_same_bytes(name, tmp_path):
    parameters = tiny.NEEDED.get(name, {})
    if hasattr(create("methods", name, parameters), "start_epoch"):
        parameters = parameters | {"start_epoch": 1}
    spec, data = tiny.colour_spec(method=name), tiny.random_images((3, 8, 8))
    method = create("methods", name, parameters)
    spec = spec | {"method": {"name": name, "parameters": parameters}, "architecture": architecture_of(method)}
    spec, given = tiny.with_networks(spec, tmp_path, spec["architecture"])
    once = tiny.train(spec, data, tmp_path / "once", weights=given)
    every_step = set(range(1, 2 * tiny.STEPS_PER_EPOCH + 1))
    again = tiny.train(spec, data, tmp_path / "again", every_step, weights=given)
    for weights in ("best", "last"):
        for key, value in getattr(once, weights).items():
            assert torch.equal(value, getattr(again, weights)[key]), (weights, key)
    assert once.history.equals(again.history) and once.energies.equals(again.energies)


def test_an_attack_may_change_what_counts_as_natural_and_find_more():
    x = torch.zeros(2, 1, 1, 1)
    seen = batch_of(x, torch.tensor([0, 1]), Attacked(x + 2, x + 1, {"kappa": torch.ones(2)}), epoch=3)
    assert (seen.x.flatten().tolist(), seen.x_adv.flatten().tolist(), seen.epoch) == ([1, 1], [2, 2], 3)
    assert seen.found["kappa"].tolist() == [1, 1] and float(seen.mean(torch.tensor([1.0, 3.0]))) == 2
