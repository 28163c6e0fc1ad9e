"""HAT: its loss and gradient by hand, its helper points and their labels."""

import pytest
import tiny
import torch
from layers import shaken
from test_methods import CLASSES, cross_entropy, kl
from torch import Tensor, nn

from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, batch_of
from robustlens.methods.hat import Hat
from robustlens.methods.trades import Trades
from robustlens.models.weights import build, save_weights

DATA = tiny.random_images((3, 8, 8))
SMALL = {"family": "resnet", "blocks": [1], "width": 4}
OTHER = {"family": "preact-resnet", "blocks": [1], "width": 4}


class LinearLogits(nn.Module):
    """An image of K pixels has them as its logits, each with a shift that is the same for all images."""

    def __init__(self, shift: list[float]):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift, dtype=torch.float64))
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.detach())
        return images.flatten(1) + self.shift


def given(natural: list, adversarial: list, shift: list, helper: list, labels: list) -> tuple[Learner, Batch]:
    x, x_adv = (torch.tensor(rows, dtype=torch.float64).view(-1, 1, 1, len(shift)) for rows in (natural, adversarial))
    learner = Learner(LinearLogits(shift), given={"helper": LinearLogits(helper)})
    return learner, batch_of(x, torch.tensor(labels), x_adv, epoch=1)


def total(terms: dict[str, Tensor]) -> Tensor:
    return sum(terms.values())


def test_the_loss_of_the_worked_example():
    """As functions of the authors' code give it: the helper point has the logits (0, 2, 0), and the helper says 1."""
    learner, seen = given([[2.0, 1.0, 0.0]], [[1.0, 1.5, 0.0]], [0.0] * 3, [0.0] * 3, [0])
    terms = Hat().loss(learner, seen)
    assert total(terms).item() == pytest.approx(1.125882, abs=1e-6)
    assert terms["helper"].item() == pytest.approx(0.5 * 0.239545, abs=1e-6)
    assert terms["natural"].item() == pytest.approx(0.407606, abs=1e-6)
    assert terms["robust"].item() == pytest.approx(2.5 * 0.239401, abs=2.5e-6)


NATURAL = [[3.1, 0.4, -0.7, 1.2], [0.3, -1.5, 1.9, 0.8], [0.2, 0.1, -0.4, 0.9]]
ATTACKED = [[2.0, 0.9, -0.2, 1.1], [1.6, -0.8, 0.7, 1.3], [0.9, -0.6, 0.2, 0.5]]
SHIFT, HELPER, LABELS = [0.1, -0.2, 0.3, 0.0], [0.0, 1.5, -0.3, 0.4], [0, 2, 1]


def by_hand(z: list, a: list, y: int, shift: list[float], beta: float, gamma: float, reach: float) -> float:
    """The label of the helper point is what the helper says of x*."""
    helped = max(range(CLASSES), key=lambda k: a[k] + HELPER[k])
    beyond = [u + reach * (v - u) for u, v in zip(z, a, strict=True)]
    natural, attacked, further = ([v + s for v, s in zip(row, shift, strict=True)] for row in (z, a, beyond))
    return cross_entropy(natural, y) + beta * kl(natural, attacked) + gamma * cross_entropy(further, helped)


PARAMETERS = [(2.5, 0.5, 2.0), (1.0, 3.0, 3.5), (6.0, 0.0, 2.0), (0.0, 1.0, 1.0)]
each_setting = pytest.mark.parametrize("parameters", PARAMETERS)


@each_setting
def test_the_loss_and_its_gradient_are_those_of_the_equation(parameters):
    learner, seen = given(NATURAL, ATTACKED, SHIFT, HELPER, LABELS)
    losses = total(Hat(*parameters).loss(learner, seen))
    rows = list(zip(NATURAL, ATTACKED, LABELS, strict=True))
    assert losses.tolist() == pytest.approx([by_hand(*row, SHIFT, *parameters) for row in rows], rel=1e-12)
    losses.sum().backward()
    for k in range(CLASSES):
        ends = []
        for sign in (1, -1):
            moved = [s + sign * 1e-5 * (j == k) for j, s in enumerate(SHIFT)]
            ends.append(sum(by_hand(*row, moved, *parameters) for row in rows))
        assert float(learner.network.shift.grad[k]) == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-8)


def test_the_helper_s_labels_would_differ_at_the_natural_image_and_at_the_helper_point():
    """Otherwise the test above could not see of which image they are."""

    def says(row: list[float]) -> int:
        return max(range(CLASSES), key=lambda k: row[k] + HELPER[k])

    beyond = [[2 * a - z for z, a in zip(*rows, strict=True)] for rows in zip(NATURAL, ATTACKED, strict=True)]
    labels = [[says(row) for row in rows] for rows in (NATURAL, ATTACKED, beyond)]
    assert labels[0] != labels[1] != labels[2] and labels[1] != LABELS


def test_the_passes_are_natural_adversarial_and_helper_points_which_are_not_cut():
    learner, seen = given(NATURAL, ATTACKED, SHIFT, HELPER, LABELS)
    Hat().loss(learner, seen)
    natural, adversarial, beyond = learner.network.seen
    assert torch.equal(natural, seen.x) and torch.equal(adversarial, seen.x_adv)
    torch.testing.assert_close(beyond, seen.x + 2 * (seen.x_adv - seen.x), rtol=0, atol=1e-15)
    assert beyond.min() < 0 and beyond.max() > 1


@pytest.mark.parametrize("beta", [2.5, 6.0])
def test_with_a_gamma_of_0_it_is_trades(beta: float):
    torch.manual_seed(0)
    network = shaken(build(SMALL, 3, 3)).double().eval()  # in which further passes change nothing
    learner = Learner(network, given={"helper": shaken(build(SMALL, 3, 3), 1).double()})
    x, x_adv = torch.rand(2, 5, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    seen = batch_of(x, torch.tensor([0, 1, 2, 0, 1]), x_adv, epoch=1)
    gradients = []
    for method in (Hat(beta, gamma=0.0), Trades(beta)):
        network.zero_grad()
        total(method.loss(learner, seen)).mean().backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    for ours, trades in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, trades, rtol=1e-12, atol=1e-15)


def test_the_helper_of_the_recipe_stays_as_it_is_and_is_asked_in_eval_mode(tmp_path):
    """The helper may be of another architecture."""
    torch.manual_seed(1)
    helper = shaken(build(OTHER, 3, 3))
    save_weights(helper.state_dict(), tmp_path / "helper.safetensors")
    spec = tiny.colour_spec("hat") | {"given": {"helper": {"architecture": OTHER}}}
    run = tiny.made(spec, DATA, tmp_path, weights={"helper": tmp_path / "helper.safetensors"})
    learner, asked = run.task.learner, []
    ask = learner.run
    learner.run = lambda name, x: asked.append((name, ask(name, x), helper(x))) or asked[-1][1]
    with run.loop.state:
        run.run()
    assert len(asked) == 2 * tiny.STEPS_PER_EPOCH
    for name, found, expected in asked:
        assert name == "helper" and not found.requires_grad
        torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-5)
