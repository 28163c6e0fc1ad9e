"""LBGAT with a teacher of its own and with shared weights: losses and gradients by hand, passes, BatchNorm's images."""

import copy

import pytest
import tiny
import torch
import torch.nn.functional as F
from configured import loaded
from layers import shaken
from test_methods import ADVERSARIAL, CLASSES, LABELS, NATURAL, PrescribedLogits, cross_entropy, kl
from torch import Tensor, nn
from written_out import WrittenOut
from written_out import cross_entropy as written_cross_entropy

from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, batch_of
from robustlens.methods.lbgat import Lbgat
from robustlens.methods.shared_lbgat import SharedLbgat
from robustlens.models.split_batchnorm import SplitBatchNorm, natural_batchnorm
from robustlens.models.weights import build
from robustlens.seeds import generator

# Of the teacher, for the natural images of `test_methods`.
TAUGHT = [[4.0, 0.2, -1.0, 0.5], [0.1, -0.3, 2.5, 0.2], [0.5, 1.7, -0.2, 0.3], [-1.0, -2.0, 0.4, 1.1]]
SMALL = {"family": "resnet", "blocks": [1, 1], "width": 4}
SEPARATE = {"family": "preact-resnet", "blocks": [1], "width": 4}
DATA = tiny.random_images((3, 8, 8))


def prescribed(natural: list, adversarial: list, taught: list, labels: list) -> tuple[Learner, Batch]:
    """A classifier and a teacher with these logits. Images are numbers: natural ones come first."""
    count = len(labels)
    student, teacher = PrescribedLogits(natural, adversarial), PrescribedLogits(taught, [])
    images = torch.arange(2 * count, dtype=torch.float64).view(-1, 1, 1, 1)
    learner = Learner(student, {"teacher": teacher})
    return learner, batch_of(images[:count], torch.tensor(labels), images[count:], epoch=1)


def total(terms: dict[str, Tensor]) -> Tensor:
    return sum(terms.values())


def by_hand(z: list, a: list, g: list, y: int, beta: float) -> float:
    distance = sum((u - v) ** 2 for u, v in zip(a, g, strict=True)) / len(g)
    return cross_entropy(g, y) + distance + beta * kl(z, a)


@pytest.mark.parametrize(("beta", "expected"), [(0, 2.178256), (6, 3.614665)])
def test_the_loss_of_the_worked_example(beta: float, expected: float):
    """As functions of the authors' code give it, in single precision."""
    learner, seen = prescribed([[2.0, 1.0, 0.0]], [[1.0, 1.5, 0.0]], [[3.0, 0.0, 0.0]], [0])
    terms = Lbgat(beta).loss(learner, seen)
    assert total(terms).item() == pytest.approx(expected, abs=1e-6)
    assert terms["distance"].item() == pytest.approx(2.083333, abs=1e-6)
    assert terms["teacher"].item() == pytest.approx(0.094923, abs=1e-6)


@pytest.mark.parametrize("beta", [0.0, 6.0])
def test_the_loss_and_its_gradients_are_those_of_the_equation(beta: float):
    learner, seen = prescribed(NATURAL, ADVERSARIAL, TAUGHT, LABELS)
    losses = total(Lbgat(beta).loss(learner, seen))
    expected = [by_hand(*each, beta) for each in zip(NATURAL, ADVERSARIAL, TAUGHT, LABELS, strict=True)]
    assert losses.tolist() == pytest.approx(expected, rel=1e-12)
    losses.sum().backward()
    step, tables = 1e-5, (NATURAL, ADVERSARIAL, TAUGHT)
    student, teacher = learner.network.logits.grad, learner.parts["teacher"].logits.grad
    for which, gradient in enumerate((student[: len(LABELS)], student[len(LABELS) :], teacher)):
        for row, y in enumerate(LABELS):
            for k in range(CLASSES):
                ends = []
                for sign in (1, -1):
                    moved = [list(table[row]) for table in tables]
                    moved[which][k] += sign * step
                    ends.append(by_hand(*moved, y, beta))
                assert float(gradient[row, k]) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-8)


def test_the_squares_draw_the_teacher_too():
    learner, seen = prescribed(NATURAL, ADVERSARIAL, TAUGHT, LABELS)
    Lbgat().loss(learner, seen)["distance"].sum().backward()
    expected = 2 / CLASSES * (torch.tensor(TAUGHT) - torch.tensor(ADVERSARIAL)).double()
    torch.testing.assert_close(learner.parts["teacher"].logits.grad, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("beta", [0.0, 6.0])
def test_the_passes_are_those_of_the_authors_code_in_their_order(beta: float):
    learner, seen = prescribed(NATURAL, ADVERSARIAL, TAUGHT, LABELS)
    order = []
    for name, network in (("classifier", learner.network), ("teacher", learner.parts["teacher"])):
        network.register_forward_hook(lambda _, inputs, __, name=name: order.append((name, int(inputs[0][0]))))
    Lbgat(beta).loss(learner, seen)
    assert order == [("classifier", len(LABELS)), ("classifier", 0), ("teacher", 0)]


def images(seed: int = 1, count: int = 6) -> tuple[Tensor, Tensor]:
    """Natural ones, and others that differ from them in mean and spread."""
    random = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 3, 8, 8, generator=random, dtype=torch.float64)
    return x, 0.2 + 0.5 * torch.rand(count, 3, 8, 8, generator=random, dtype=torch.float64)


def small(method: SharedLbgat) -> Learner:
    torch.manual_seed(0)
    return Learner(method.network(lambda: shaken(build(SMALL, 3, 3)))).double().train()


def seen_of(count: int = 6) -> Batch:
    x, x_adv = images(count=count)
    return batch_of(x, torch.arange(count) % 3, x_adv, epoch=1)


def after(mean: Tensor, start: Tensor, *batches: Tensor) -> Tensor:
    """A running mean after passes of these batches (B, C, H, W)."""
    for batch in batches:
        start = 0.9 * start + 0.1 * batch.mean((0, 2, 3))
    return torch.testing.assert_close(mean, start, rtol=1e-9, atol=1e-12)


def test_with_beta_0_the_classifier_s_statistics_are_of_natural_images_as_well():
    torch.manual_seed(0)
    student, teacher = (shaken(build(SMALL, 3, 3)).double().train() for _ in range(2))
    before = student.bn1.running_mean.clone(), teacher.bn1.running_mean.clone()
    seen = seen_of()
    Lbgat().loss(Learner(student, {"teacher": teacher}), seen)
    after(student.bn1.running_mean, before[0], student.conv1(seen.x_adv), student.conv1(seen.x))
    after(teacher.bn1.running_mean, before[1], teacher.conv1(seen.x))


# Shared weights -------------------------------------------------------------------------------------------------------


def test_shared_batchnorm_sees_both_kinds_of_images_and_split_ones_one_kind_each():
    seen = seen_of()
    shared, apart = (small(SharedLbgat(batchnorm=name)) for name in ("shared", "split"))
    before = shared.network.bn1.running_mean.clone()
    SharedLbgat("shared").loss(shared, seen)
    SharedLbgat("split").loss(apart, seen)
    natural, adversarial = (shared.network.conv1(x) for x in (seen.x, seen.x_adv))
    after(shared.network.bn1.running_mean, before, adversarial, natural)
    after(apart.network.bn1.adversarial.running_mean, before, adversarial)
    after(apart.network.bn1.natural.running_mean, before, natural)
    split = [module for module in apart.network.modules() if isinstance(module, SplitBatchNorm)]
    counts = [int(norm.num_batches_tracked) for pair in split for norm in (pair.adversarial, pair.natural)]
    assert len(split) == 6 and counts == [1] * 12


def expected_losses(network: nn.Module, seen: Batch, batchnorm: str) -> dict[str, Tensor]:
    """With plain networks: one for both kinds of images, or one for each of which the weights are copies."""
    if batchnorm == "split":
        adversarial = network(seen.x_adv)
        with natural_batchnorm(network):
            taught = network(seen.x)
    else:
        adversarial, taught = network(seen.x_adv), network(seen.x)
    rows = zip(adversarial, taught, seen.y, strict=True)
    return {
        "teacher": F.cross_entropy(taught, seen.y, reduction="none"),
        "distance": torch.stack([sum((a - g) ** 2 for a, g in zip(za, zg, strict=True)) / 3 for za, zg, _ in rows]),
    }


@pytest.mark.parametrize("batchnorm", ["shared", "split"])
def test_the_shared_loss_is_the_equation(batchnorm: str):
    seen, method = seen_of(), SharedLbgat(batchnorm)
    learner = small(method)
    if batchnorm == "split":  # far apart, so that a pass through the wrong ones shows
        with torch.no_grad():
            for module in learner.network.modules():
                if isinstance(module, SplitBatchNorm):
                    module.natural.weight.mul_(1.5)
                    module.natural.bias.add_(0.3)
    twin = copy.deepcopy(learner.network)
    found, expected = method.loss(learner, seen), expected_losses(twin, seen, batchnorm)
    assert found.keys() == expected.keys()
    for name, losses in found.items():
        torch.testing.assert_close(losses, expected[name], rtol=1e-10, atol=1e-12)


def equation(tensors: dict[str, Tensor], method: SharedLbgat, seen: Batch, target: Tensor | None) -> dict[str, Tensor]:
    """The terms, image by image, on a network that is written out from these tensors. target: numbers in place of g(x)
    in the squares."""
    written = WrittenOut(tensors, split=method.batchnorm == "split")
    adversarial, taught = written.network(seen.x_adv, "adversarial")[0], written.network(seen.x, "natural")[0]
    target = taught if target is None else target
    return {
        "teacher": torch.stack([written_cross_entropy(g, y) for g, y in zip(taught, seen.y, strict=True)]),
        "distance": torch.stack([((a - g) ** 2).sum() / 3 for a, g in zip(adversarial, target, strict=True)]),
    }


SHARED = [SharedLbgat(batchnorm, stopped) for batchnorm in ("shared", "split") for stopped in (False, True)]


@pytest.mark.parametrize("method", SHARED, ids=str)
def test_the_shared_loss_and_its_gradient_are_those_of_the_equation_on_a_network_written_out(method: SharedLbgat):
    """With numbers in place of the target where its gradient is stopped."""
    seen, learner = seen_of(), small(method)
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():  # affine maps of their own, so that a pass through the other BatchNorm shows
        for norm in (module for module in learner.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.weight.copy_(torch.rand(norm.weight.shape, generator=random) + 0.5)
            norm.bias.copy_(torch.rand(norm.bias.shape, generator=random) - 0.3)
    tensors = {name: p.detach().clone().requires_grad_(True) for name, p in learner.named_parameters()}
    constant = None
    if method.stop_gradient:
        written = WrittenOut(tensors, split=method.batchnorm == "split")
        constant = torch.tensor(written.network(seen.x, "natural")[0].tolist(), dtype=torch.float64)
    expected, found = equation(tensors, method, seen, constant), method.loss(learner, seen)
    assert found.keys() == expected.keys()
    for name, losses in found.items():
        torch.testing.assert_close(losses, expected[name], rtol=1e-11, atol=1e-12, msg=name)
    total(expected).mean().backward()
    total(found).mean().backward()
    for name, parameter in learner.named_parameters():
        torch.testing.assert_close(parameter.grad, tensors[name].grad, rtol=1e-8, atol=1e-11, msg=name)


def reached(network: nn.Module, loss: Tensor) -> dict[str, bool]:
    """Of each parameter, whether the loss has a gradient in it."""
    named = dict(network.named_parameters())
    gradients = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
    return {name: g is not None and bool(g.any()) for name, g in zip(named, gradients, strict=True)}


@pytest.mark.parametrize("stop_gradient", [False, True])
def test_a_stopped_gradient_leaves_the_natural_batchnorms_to_the_cross_entropy(stop_gradient: bool):
    method = SharedLbgat("split", stop_gradient=stop_gradient)
    learner = small(method)
    terms = method.loss(learner, seen_of())
    distance, teacher = (reached(learner.network, terms[name].sum()) for name in ("distance", "teacher"))
    natural = {name for name in distance if ".natural." in name or name.startswith("natural.")}
    adversarial = {name for name in distance if ".adversarial." in name}
    assert len(natural) == len(adversarial) == 12
    assert {distance[name] for name in natural} == {not stop_gradient}
    assert all(distance[name] for name in adversarial) and distance["conv1.weight"]
    assert all(teacher[name] for name in natural) and not any(teacher[name] for name in adversarial)


def test_a_stopped_gradient_is_that_of_a_constant_target():
    seen = seen_of()
    learner = small(SharedLbgat())
    twin = copy.deepcopy(learner.network)
    loss = total(SharedLbgat(stop_gradient=True).loss(learner, seen)).mean()
    found = torch.autograd.grad(loss, list(learner.network.parameters()))
    adversarial, natural = twin(seen.x_adv), twin(seen.x)
    constant = torch.tensor(natural.tolist(), dtype=torch.float64)
    by_hand = ((adversarial - constant) ** 2).mean() + F.cross_entropy(natural, seen.y)
    for ours, theirs in zip(found, torch.autograd.grad(by_hand, list(twin.parameters())), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("stop_gradient", [False, True])
def test_a_stopped_gradient_lets_the_shared_last_layer_grow_where_attacked_features_are_shorter(stop_gradient: bool):
    """Why training with it diverges. The squares are of degree 2 in the last layer's weights W, so that steps along
    their gradient shorten W, unless the target, which has W in it, too, counts as a constant."""
    torch.manual_seed(0)
    last, features = nn.Linear(5, 3, bias=False, dtype=torch.float64), torch.randn(7, 5, dtype=torch.float64)
    batch = batch_of(features, torch.arange(7) % 3, features / 2, epoch=1)
    distance = SharedLbgat(stop_gradient=stop_gradient).loss(Learner(last), batch)["distance"].mean()
    (gradient,) = torch.autograd.grad(distance, [last.weight])
    along = float((gradient * last.weight.detach()).sum())
    square = float(
        ((features @ last.weight.detach().T) ** 2).mean()
    )  # of the natural logits; the attacked ones are half of them
    assert distance.item() == pytest.approx(square / 4)
    assert along == pytest.approx(-square / 2 if stop_gradient else 2 * distance.item())


def test_the_classifier_that_is_attacked_and_deployed_is_the_adversarial_one():
    method = SharedLbgat("split")
    learner = small(method)
    for _ in range(3):
        method.loss(learner, seen_of())
    learner.eval()
    deployed = method.deployed(learner)
    assert not any(isinstance(module, SplitBatchNorm) for module in deployed.modules())
    x, _ = images(seed=5)
    with torch.no_grad():
        torch.testing.assert_close(deployed(x), learner(x), rtol=1e-12, atol=1e-12)
        with natural_batchnorm(learner.network):
            assert not torch.allclose(deployed(x), learner(x), rtol=1e-3)
    y, threat = torch.arange(6) % 3, Threat("linf", 0.05, 0.02)
    found = [method.attack(3)(model, x, y, threat, generator(0)) for model in (learner, deployed)]
    assert torch.equal(*found)


@pytest.mark.parametrize("stop_gradient", [False, True])
@pytest.mark.parametrize("batchnorm", ["shared", "split"])
def test_each_of_them_trains_and_resumes(batchnorm: str, stop_gradient: bool, tmp_path):
    parameters = {"batchnorm": batchnorm, "stop_gradient": stop_gradient}
    spec = tiny.colour_spec("shared-lbgat") | {"method": {"name": "shared-lbgat", "parameters": parameters}}
    once, again = (tiny.train(spec, DATA, tmp_path / str(n), stop) for n, stop in enumerate((set(), {1, 4})))
    assert all(torch.equal(value, again.last[name]) for name, value in once.last.items())
    plain = build(spec["architecture"], 3, 3)
    plain.load_state_dict(once.last)


# The recipe -----------------------------------------------------------------------------------------------------------


def test_the_teacher_has_the_architecture_of_the_recipe_and_the_run_s_classes(tmp_path):
    spec = tiny.colour_spec("lbgat") | {"parts": {"teacher": SEPARATE}}
    run = tiny.made(spec, DATA, tmp_path)
    teacher = run.task.learner.parts["teacher"]
    assert teacher.state_dict().keys() == build(SEPARATE, 3, 3).state_dict().keys()
    assert teacher.linear.out_features == run.task.classes == 3
    before = {name: t.clone() for name, t in teacher.named_parameters()}
    with run.loop.state:
        last = run.run().last
    assert not any(torch.equal(t, before[name]) for name, t in teacher.named_parameters())
    assert last.keys() == run.task.network.state_dict().keys()


def test_a_recipe_without_a_teacher_is_refused_before_any_job():
    def change(raw: dict) -> None:
        raw["recipes"]["lbgat"] = {"method": "lbgat"}
        raw["scales"]["small"]["studies"]["mine"]["cohorts"]["main"]["recipes"] += ["lbgat"]

    with pytest.raises(RobustlensError, match=r"lbgat needs the architecture of its 'teacher'; add `parts: \{teacher"):
        loaded(change)
