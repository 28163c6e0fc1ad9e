"""Attacks that search in bfloat16: PGD, stopped early or not, and the screen by the attacks of AutoAttack."""

import numpy as np
import pyautoattack
import pytest
import torch
from test_attack_library import guarded, library_seed, seeded
from torch import Tensor, nn

from robustlens.attacks.autoattack import COMPONENTS, AutoAttack, standard
from robustlens.attacks.early_stopped_pgd import EarlyStoppedPGD
from robustlens.attacks.early_stopped_pgd_bfloat16 import EarlyStoppedPGDInBfloat16
from robustlens.attacks.library import isolated_randomness
from robustlens.attacks.pgd import PGD
from robustlens.attacks.pgd_bfloat16 import PGDInBfloat16
from robustlens.attacks.screen import Screen
from robustlens.attacks.threat import Threat
from robustlens.configuration.precision import SEARCHES
from robustlens.data.prepared import Split
from robustlens.errors import RobustlensError
from robustlens.evaluation.run import attack_split
from robustlens.models import bfloat16
from robustlens.parameters import create

LINF = Threat("linf", 0.1, 0.025)
ATTACKS = {
    "pgd-bfloat16": PGDInBfloat16(steps=10),
    "early-stopped-pgd-bfloat16": EarlyStoppedPGDInBfloat16(steps=10),
    "screen": Screen(),
}


@pytest.fixture(autouse=True)
def emulated(monkeypatch) -> None:
    """Also on a processor without bfloat16, and with a few steps of each component."""
    monkeypatch.setattr(bfloat16, "has_bfloat16", lambda device: True)
    original = pyautoattack.AutoAttack._set_version

    def set_version(self: pyautoattack.AutoAttack, version: str = "standard") -> None:
        original(self, version)
        self.apgd.n_iter, self.apgd_targeted.n_iter, self.fab.n_iter, self.square.n_queries = 4, 2, 5, 60

    monkeypatch.setattr(pyautoattack.AutoAttack, "_set_version", set_version)


class Reduced(nn.Module):
    """A network in bfloat16, as the attacks should see it."""

    def __init__(self, classes: int):
        super().__init__()
        self.network = guarded(classes)[0].bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.bfloat16()).float()


class Brightness(nn.Module):
    """Four classes. That the second is above the first depends on an image's mean; both logits are about 256, where
    numbers in bfloat16 are 2 apart, so that a copy in bfloat16 takes the first as soon as the margin is below 1.

    least: what the margin is at least. slope: of the margin, which is 0 + least at a mean of 0.45.
    """

    def __init__(self, least: float, slope: float):
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([256.0, 256.0, 0.0, 0.0]), requires_grad=False)
        self.least, self.slope = least, slope

    def forward(self, x: Tensor) -> Tensor:
        margin = (self.slope * (x.flatten(1).mean(1) - 0.45)).clamp_min(0.0) + self.least
        return self.bias + torch.stack([torch.zeros_like(margin), margin, 0 * margin, 0 * margin], dim=1)


def grey(level: float, count: int = 6) -> tuple[Tensor, Tensor]:
    """Images around that level, all of the second class."""
    return level + 0.01 * torch.rand(count, 1, 8, 8, generator=seeded(0)), torch.ones(count).long()


def evaluated(model: nn.Module, x: Tensor, y: Tensor, family: str, threat: Threat = LINF):
    split = Split((255 * x).round().byte().numpy(), y.numpy(), np.arange(len(y)), levels=255)
    return attack_split(model.eval(), split, ATTACKS[family], family, threat, 0, batch_size=len(y))


# Verdicts are float32's -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ATTACKS)
@pytest.mark.parametrize(
    ("model", "natural"),
    [(Brightness(0.3, 40.0), 1), (Brightness(0.3, 0.0), 0)],
    ids=["where the search goes", "from the start"],
)
def test_an_image_that_is_broken_in_bfloat16_alone_counts_as_robust(model, natural, family):
    x, y = grey(0.5)
    seen = bfloat16.Bfloat16Model(model, "a test", "float32")
    assert (seen(x).argmax(1) == natural).all() and (seen(x - 0.1).argmax(1) == 0).all()
    assert (model(x).argmax(1) == 1).all() and (model(x - 0.1).argmax(1) == 1).all()
    table = evaluated(model, x, y, family)
    assert (table["prediction_adversarial"] == 1).all() and (table["broken_by"] == "").all()
    if family == "screen":
        assert (table["distance"] == 0).all()


def test_what_bfloat16_can_t_search_for_is_searched_for_in_float32():
    """The copy gets the images wrong before anything is done to them; the network does so where the attack leads."""
    model, (x, y) = Brightness(-0.5, 14.0), grey(0.5)
    assert (bfloat16.Bfloat16Model(model, "a test", "float32")(x).argmax(1) == 0).all()
    assert (model(x).argmax(1) == 1).all() and (model(x - 0.1).argmax(1) == 0).all()
    table = evaluated(model, x, y, "screen")
    assert (table["prediction_adversarial"] == 0).all() and (table["broken_by"] == "apgd-ce").all()


# What they find -------------------------------------------------------------------------------------------------------


class Exact(nn.Module):
    """A classifier that is the same in bfloat16: it sees pixels rounded to bfloat16, and of these the eighths below
    them. Each pixel counts for one class, with weight 1 or -1, and gets that class's gradient. Images whose first pixel
    is white hide their gradients."""

    def __init__(self, classes: int):
        super().__init__()
        signs = torch.randint(2, (64,), generator=seeded(1)) * 2.0 - 1
        weight = torch.diag(signs)[torch.randperm(64, generator=seeded(2))]
        weight = weight.view(-1, 64)[: 64 // classes * classes].view(classes, -1, 64).sum(1)
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        eighths = ((x.detach().bfloat16() * 8).floor() / 8).to(self.weight.dtype)
        shown = (x[:, :1, :1, :1] < 0.9).to(self.weight.dtype)
        return (eighths + shown * (x - x.detach())).flatten(1) @ self.weight.T


def exact(classes: int) -> tuple[nn.Module, Tensor, Tensor]:
    model, x = Exact(classes).eval(), torch.rand(40, 1, 8, 8, generator=seeded(4))
    x[:, 0, 0, 0] = (torch.arange(40) % 3 == 0).float()
    y = model(x).argmax(1)
    y[:3] = (y[:3] + 1) % classes
    return model, x, y


@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize(
    ("reduced", "full"), [(PGDInBfloat16, PGD), (EarlyStoppedPGDInBfloat16, EarlyStoppedPGD)], ids=["whole", "stopped"]
)
def test_where_bfloat16_is_exact_pgd_is_that_of_float32(reduced, full, steps):
    model, x, y = exact(5)
    threat = Threat("linf", 0.06, 0.015)
    found = reduced(steps)(model, x, y, threat, seeded())
    assert torch.equal(found, full(steps)(model, x, y, threat, seeded()))
    assert 0 < (model(found).argmax(1) == y).float().mean() < (model(x).argmax(1) == y).float().mean()


@pytest.mark.parametrize(("classes", "epsilon"), [(4, 0.02), (4, 0.08)])
def test_where_bfloat16_is_exact_the_screen_finds_what_autoattack_finds(classes, epsilon):
    model, x, y = exact(classes)
    threat = Threat("linf", epsilon, 0.01)
    found, broken_by = Screen().cascade(model, x, y, threat, seeded())
    expected, by = AutoAttack().cascade(model, x, y, threat, seeded())
    assert torch.equal(found, expected) and broken_by == by
    assert {"", "misclassified", "apgd-ce", "square"} <= set(by)
    assert torch.equal(Screen()(model, x, y, threat, seeded()), expected)


@pytest.mark.parametrize(("norm", "epsilon", "classes"), [("linf", 0.07, 5), ("linf", 0.05, 11), ("l2", 0.3, 4)])
def test_each_component_searches_where_the_ones_before_it_failed(norm, epsilon, classes):
    """An independent loop, image by image: first on the copy; where it alone is fooled, on the network itself."""
    model, x, y = guarded(classes)
    threat = Threat(norm, epsilon, 0.01)
    found, broken_by = Screen().cascade(model, x, y, threat, seeded())

    def search(network: nn.Module, component: str, images: list[int]) -> Tensor:
        attack = standard(network, classes, threat, library_seed(), x.device)
        attack.attacks_to_run = [component]
        with isolated_randomness(x.device):
            return attack.run_standard_evaluation(x[images], y[images], batch_size=len(images))[0]

    copy, again = Reduced(classes), []
    expected, by = x.clone(), ["" if right else "misclassified" for right in model(x).argmax(1) == y]
    for component in COMPONENTS:
        left, claimed = [image for image, name in enumerate(by) if name == ""], []
        adversarial, fooled = search(copy, component, left), []
        fooled = (copy(adversarial).argmax(1) != y[left]).tolist()
        for place, image in enumerate(left):
            if int(model(adversarial[place : place + 1]).argmax()) != int(y[image]):
                expected[image], by[image] = adversarial[place], component
            elif fooled[place]:
                claimed.append(image)
        for place, image in enumerate(claimed):
            if place == 0:
                adversarial = search(model, component, claimed)
            if int(model(adversarial[place : place + 1]).argmax()) != int(y[image]):
                expected[image], by[image] = adversarial[place], component
        again += claimed
    assert torch.equal(found, expected) and broken_by == by
    assert by[:4] == ["misclassified"] * 4 and {"", "apgd-ce"} < set(by) and again
    assert (threat.distance(found, x) <= epsilon + 1e-6).all() and found.min() >= 0 and found.max() <= 1


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "instead"), SEARCHES.items())
def test_without_bfloat16_an_attack_names_the_one_in_float32(family, instead, monkeypatch):
    monkeypatch.setattr(bfloat16, "has_bfloat16", lambda device: False)
    model, x, y = guarded(5)
    message = rf"^{family}: bfloat16 is not supported by this cpu, or not with portable arithmetic; use {instead}$"
    with pytest.raises(RobustlensError, match=message):
        create("attacks", family, {})(model, x, y, LINF, seeded())


def test_fewer_than_four_classes_are_refused():
    with pytest.raises(RobustlensError, match="screen needs at least 4 classes, the model has 3"):
        Screen()(guarded(3)[0], *guarded(3)[1:], LINF, seeded())


def test_nothing_that_a_table_or_a_log_shows_of_it_is_called_autoattack():
    assert not repr(Screen()).startswith("AutoAttack") and not Screen.__doc__.startswith("AutoAttack")
