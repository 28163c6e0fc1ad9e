"""The attacks around pyautoattack against that library itself, and CW against a loop in float64."""

import logging
import math
import random
from collections import Counter

import numpy as np
import pyautoattack
import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from robustlens.attacks import fab_targets
from robustlens.attacks.apgd import APGD
from robustlens.attacks.apgd_t import APGDTargeted
from robustlens.attacks.autoattack import COMPONENTS, AutoAttack
from robustlens.attacks.cw import CW
from robustlens.attacks.fab import FAB
from robustlens.attacks.fab_targets import FABOnTargets
from robustlens.attacks.library import isolated_randomness
from robustlens.attacks.pgd import PGD
from robustlens.attacks.square import Square
from robustlens.attacks.square_patches import SquareOnPatches
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import Split
from robustlens.errors import RobustlensError
from robustlens.evaluation.guards import TOLERANCE
from robustlens.evaluation.run import attack_split
from robustlens.models.inference import InferenceModel
from robustlens.models.resnet import ResidualNetwork

THREATS = {"linf": Threat("linf", 0.1, 0.025), "l2": Threat("l2", 0.6, 0.15)}
NORMS = {"linf": "Linf", "l2": "L2"}
ATTACKS = {
    "apgd-ce": APGD(loss="ce", steps=10),
    "apgd-dlr": APGD(loss="dlr", steps=10, restarts=2),
    "apgd-t": APGDTargeted(steps=5),
    "fab": FAB(steps=10),
    "fab-t": FAB(steps=5, targeted=True),
    "square": Square(queries=100),
    "autoattack": AutoAttack(),
    "pgd": PGD(steps=10),
    "cw": CW(c=5.0, steps=30, learning_rate=0.02),
}
BOUNDED = [name for name in ATTACKS if name != "cw"]


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def global_randomness() -> tuple:
    """The states of the generators that a library may seed."""
    _, keys, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), keys.tolist(), rest, random.getstate()


def library_seed(seed: int = 3) -> int:
    """The 31-bit number that an attack draws first from its generator."""
    return int(torch.randint(2**31 - 1, (), generator=seeded(seed)))


@pytest.fixture(scope="module")
def undefended() -> tuple[nn.Module, Tensor, Tensor]:
    """A network made ready for attacks, images of three channels, and the labels that it gives them, but for three."""
    torch.manual_seed(0)
    x = torch.rand(20, 3, 8, 8)
    network = ResidualNetwork((1,), 4, 3, 5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(x)
        network.eval().linear.weight.normal_(std=2.0)
        network.linear.bias.sub_(network(x).mean(0))
        y = network(x).argmax(1)
    y[:3] = (y[:3] + 1) % 5
    return InferenceModel(network), x, y


@pytest.fixture
def short_budget(monkeypatch) -> None:
    """AutoAttack with a few steps of each component, for our cascade and for the library's own."""
    original = pyautoattack.AutoAttack._set_version

    def set_version(self: pyautoattack.AutoAttack, version: str = "standard") -> None:
        original(self, version)
        self.apgd.n_iter, self.apgd_targeted.n_iter, self.fab.n_iter, self.square.n_queries = 3, 1, 10, 60

    monkeypatch.setattr(pyautoattack.AutoAttack, "_set_version", set_version)


# What every attack promises ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", THREATS)
@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_fool_an_undefended_model_within_their_ball_and_leave_no_trace(name, norm, undefended, short_budget):
    model, x, y = undefended
    threat, original, labels = THREATS[norm], x.clone(), y.clone()
    before = global_randomness()

    x_adv = ATTACKS[name](model, x, y, threat, seeded()).detach()

    assert global_randomness() == before
    assert torch.equal(x, original) and torch.equal(y, labels)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in model.parameters())
    assert x_adv.shape == x.shape and x_adv.min() >= 0 and x_adv.max() <= 1
    moved = (x_adv - x).flatten(1)
    distance = moved.abs().amax(1) if norm == "linf" else moved.square().sum(1).sqrt()
    if name in BOUNDED:
        assert distance.max() <= threat.epsilon + TOLERANCE  # what an evaluation lets pass
    with torch.no_grad():
        clean, robust = ((model(images).argmax(1) == y).float().mean() for images in (x, x_adv))
    assert clean == pytest.approx(0.85) and robust < 0.6


def test_nothing_that_a_library_seeds_is_felt_outside():
    before = global_randomness()
    with pytest.raises(ZeroDivisionError), isolated_randomness(torch.device("cpu")):
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        raise ZeroDivisionError
    assert global_randomness() == before


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_given_by_its_generator(name, undefended, short_budget):
    model, x, y = undefended
    torch.manual_seed(1)
    first = ATTACKS[name](model, x, y, THREATS["linf"], seeded())
    torch.manual_seed(2)
    np.random.seed(2)
    assert torch.equal(first, ATTACKS[name](model, x, y, THREATS["linf"], seeded()))
    if name not in ("fab", "fab-t", "cw"):  # those start at the image
        assert not torch.equal(first, ATTACKS[name](model, x, y, THREATS["linf"], seeded(4)))


def test_cw_alone_is_not_bounded():
    assert CW.bounded is False
    assert all(getattr(ATTACKS[name], "bounded", True) for name in BOUNDED)


@pytest.mark.parametrize("name", ["apgd-ce", "apgd-t", "fab", "square", "cw"])
def test_an_image_that_can_not_be_broken_is_returned_as_it_is(name):
    def certain(x: Tensor) -> Tensor:
        return 1e-3 * x.flatten(1)[:, :4] + torch.tensor([5.0, 0.0, 0.0, 0.0])

    x = torch.rand(3, 1, 8, 8, generator=seeded())
    x_adv = ATTACKS[name](certain, x, torch.zeros(3, dtype=torch.long), THREATS["linf"], seeded())
    assert torch.equal(x_adv, x)


# One attack, one class of the library -----------------------------------------------------------------------------


@pytest.mark.parametrize("norm", THREATS)
@pytest.mark.parametrize(("attack", "library", "settings"), [
    (APGD(loss="ce", steps=7, restarts=2), APGDAttack, {"loss": "ce", "n_iter": 7, "n_restarts": 2}),
    (APGD(loss="dlr", steps=7), APGDAttack, {"loss": "dlr", "n_iter": 7}),
    (APGDTargeted(steps=4), APGDAttack_targeted, {"n_iter": 4, "n_target_classes": 4}),
    (FAB(steps=6, restarts=2), FABAttack_PT, {"n_iter": 6, "n_restarts": 2}),
    (FAB(steps=4, targeted=True), FABAttack_PT, {"n_iter": 4, "targeted": True, "n_target_classes": 4}),
    (Square(queries=80), SquareAttack, {"n_queries": 80, "resc_schedule": False}),
])  # fmt: skip
def test_an_attack_is_that_of_the_library(attack, library, settings, norm, undefended):
    model, x, y = undefended
    threat = THREATS[norm]
    ours = attack(model, x, y, threat, seeded())
    with torch.random.fork_rng():
        theirs = library(model, norm=NORMS[norm], eps=threat.epsilon, seed=library_seed(), device="cpu", **settings)
        assert torch.equal(ours, theirs.perturb(x.clone(), y.clone()))
    assert not torch.equal(ours, x)


@pytest.mark.parametrize("norm", THREATS)
def test_fab_s_targets_in_one_batch_or_one_after_another_give_the_same(norm, undefended, monkeypatch):
    model, x, y = undefended
    batches = []
    original = FABOnTargets.nearest

    def nearest(self, images, labels, targets):
        batches.append(len(images))
        return original(self, images, labels, targets)

    monkeypatch.setattr(FABOnTargets, "nearest", nearest)
    attack, threat, found = FAB(steps=8, targeted=True), Threat(norm, THREATS[norm].epsilon / 6, 0.01), []
    for together in (1, 40, 1000):
        monkeypatch.setattr(fab_targets, "TOGETHER", together * x[0].numel())
        batches.append("more")
        found.append(attack(model, x, y, threat, seeded()))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    one, some, every = (part.strip(",").split(",") for part in ",".join(map(str, batches)).split("more")[1:])
    assert len(one) == 4 and len(some) == 2 and every == ["68"]  # 17 images are classified rightly
    assert 0 < (found[0] != x).flatten(1).any(1).sum() < 17


class ByRows(nn.Linear):
    """A linear classifier whose logits of an image are the same to the last bit in a batch of any size."""

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1)[:, None] * self.weight).sum(-1) + self.bias


def square_of_the_library(model: nn.Module, x: Tensor, y: Tensor, settings: dict) -> tuple[Tensor, Tensor]:
    """After how many queries each image was given up or fooled, and where it was then."""
    with torch.random.fork_rng():
        library = SquareAttack(model, **settings)
        library.device = "cpu"
        library.init_hyperparam(x)
        torch.manual_seed(library_seed())
        return library.attack_single_run(x, y)


def our_square(model: nn.Module, x: Tensor, y: Tensor, settings: dict) -> Tensor:
    with torch.random.fork_rng():
        ours = SquareOnPatches(model, device="cpu", **settings)
        ours.init_hyperparam(x)
        torch.manual_seed(library_seed())
        return ours.attack_single_run(x, y)[1]


@pytest.mark.parametrize("shape", [(1, 6, 9), (3, 8, 8)])
@pytest.mark.parametrize(("queries", "rescaled"), [(1, False), (300, False), (300, True)])
@pytest.mark.parametrize("images", [0, 30, 10_000])
def test_square_s_images_are_those_of_the_library_however_many_queries_share_a_pass(shape, queries, rescaled, images):
    """Images leave the search at different times."""
    torch.manual_seed(1)
    model = ByRows(math.prod(shape), 6).requires_grad_(False)
    x = torch.rand(30, *shape)
    y = model(x).argmax(1)
    settings = {"norm": "Linf", "eps": 0.06, "n_queries": queries, "seed": 0, "resc_schedule": rescaled}
    taken, expected = square_of_the_library(model, x, y, settings)
    model.at_once, passes = images * math.prod(shape), []
    model.register_forward_hook(lambda _, inputs, output: passes.append(len(output)))
    assert torch.equal(our_square(model, x, y, settings), expected)
    assert passes[0] == 30 and max(passes) <= max(30, images)
    if queries == 300:
        assert len(taken.unique()) > 5 and taken.max() == 301  # some are never fooled
        assert len(passes) == 301 if images == 0 else len(passes) < (280 if images == 30 else 100)
        assert sum(passes) < 1.5 * (taken.sum() + (30 - len(taken)))  # few are made in vain
        robust = model(Square(queries=300)(model, x, y, Threat("linf", 0.06, 0.01), seeded())).argmax(1) == y
        assert rescaled or torch.equal(robust, model(expected).argmax(1) == y)


def test_square_leaves_an_image_whose_logits_are_no_numbers_where_the_library_does():
    torch.manual_seed(1)
    x = torch.rand(30, 1, 6, 9)
    linear = ByRows(54, 6).requires_grad_(False)

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return linear(x).masked_fill(x.flatten(1)[:, :1] > 0.9, torch.nan)

    model, y = Broken(), linear(x).argmax(1)
    settings = {"norm": "Linf", "eps": 0.06, "n_queries": 300, "seed": 0, "resc_schedule": False}
    taken, expected = square_of_the_library(model, x, y, settings)
    assert torch.equal(our_square(model, x, y, settings), expected)
    last = model(expected).isnan().any(1)
    assert last.any() and taken.max() == 301


def test_square_s_side_is_the_library_s_where_a_half_decides():
    """A patch of 29 x 145 x 0.05 pixels has a side of 14.5: the library rounds to the even number."""
    square = SquareOnPatches(None, norm="Linf", eps=0.1, resc_schedule=False)
    assert square.p_selection(700) == 0.05 and square.side(700, 29, 145) == 14
    assert square.side(700, 28, 145) == 14 and square.side(700, 30, 145) == 15


# AutoAttack -------------------------------------------------------------------------------------------------------


class Guarded(nn.Module):
    """A linear classifier with defences that images carry in two pixels, each good against other components.

    The first pixel makes logits so large that cross-entropy has no gradient; the second one rounds the image, so
    that no loss has one.
    """

    def __init__(self, classes: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, 64, generator=seeded(0)), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        loud, rounded = (x[:, 0, 0, pixel] > 0.5 for pixel in (0, 1))
        seen = torch.where(rounded.view(-1, 1, 1, 1), (x * 8).round() / 8, x)
        logits = ((seen - 0.5).flatten(1)[:, None] * self.weight).sum(-1)  # the same bits in a batch of any size
        return logits * torch.where(loud, 1e3, 1.0).unsqueeze(1)


def guarded(classes: int) -> tuple[nn.Module, Tensor, Tensor]:
    """48 images with no, one, the same and both defences; four have a wrong label."""
    model, x = Guarded(classes).eval(), torch.rand(48, 1, 8, 8, generator=seeded(0))
    kind = torch.arange(48) % 4
    x[:, 0, 0, 0], x[:, 0, 0, 1] = (kind >= 1).float(), (kind == 3).float()
    y = model(x).argmax(1)
    y[:4] = (y[:4] + 1) % classes
    return model, x, y


@pytest.mark.parametrize(("norm", "epsilon", "classes"), [("linf", 0.07, 5), ("linf", 0.05, 11), ("l2", 0.3, 4)])
def test_the_cascade_is_the_library_s_standard_version(norm, epsilon, classes, short_budget, caplog):
    caplog.set_level(logging.DEBUG, logger="auto-attack")
    model, x, y = guarded(classes)
    ours, broken_by = AutoAttack().cascade(model, x, y, Threat(norm, epsilon, 0.01), seeded())

    caplog.clear()
    with torch.random.fork_rng():
        library = pyautoattack.AutoAttack(model, norm=NORMS[norm], eps=epsilon, seed=library_seed(), version="standard")
        assert library.attacks_to_run == list(COMPONENTS)
        library.apgd_targeted.n_target_classes = library.fab.n_target_classes = min(9, classes - 1)
        theirs, _ = library.run_standard_evaluation(x, y, batch_size=48)
    assert torch.equal(ours, theirs)

    # The library logs the accuracy that each component leaves; broken_by adds up to the same.
    counts, left = Counter(broken_by), 48
    assert set(counts) == {"misclassified", "", *COMPONENTS}
    assert broken_by[:4] == ["misclassified"] * 4 and counts["misclassified"] == 4
    logged = dict(m.split("(")[0].split(": ") for m in caplog.messages if m.startswith("robust accuracy after"))
    left -= 4
    for component in COMPONENTS:
        left -= counts[component]
        assert logged[f"robust accuracy after {component.upper()}"].strip() == f"{left / 48:.2%}"
    with torch.no_grad():
        wrong = model(ours).argmax(1) != y
    for image, adversarial, component, fooled in zip(x, ours, broken_by, wrong, strict=True):
        assert bool(fooled) == (component != "")
        assert torch.equal(image, adversarial) == (component in ("", "misclassified"))


def test_the_cascade_gives_every_component_the_standard_budget(monkeypatch, undefended):
    budgets = {}

    def record(self: pyautoattack.AutoAttack, x: Tensor, y: Tensor, **_) -> tuple[Tensor, Tensor]:
        (component,) = self.attacks_to_run
        budgets[component] = {
            "apgd-ce": (self.apgd.n_iter, self.apgd.n_restarts, self.apgd.eps),
            "apgd-t": (self.apgd_targeted.n_iter, self.apgd_targeted.n_restarts, self.apgd_targeted.n_target_classes),
            "fab-t": (self.fab.n_iter, self.fab.n_restarts, self.fab.n_target_classes),
            "square": (self.square.n_queries, self.square.n_restarts, self.square.p_init),
        }[component]
        return x, y

    monkeypatch.setattr(pyautoattack.AutoAttack, "run_standard_evaluation", record)
    model, x, y = undefended
    _, broken_by = AutoAttack().cascade(model, x, y, THREATS["linf"], seeded())
    assert budgets == {"apgd-ce": (100, 1, 0.1), "apgd-t": (100, 1, 4), "fab-t": (100, 1, 4), "square": (5000, 1, 0.8)}
    assert broken_by == ["misclassified"] * 3 + [""] * 17


def test_the_cascade_keeps_the_library_s_warnings(short_budget, caplog):
    model, x, y = guarded(5)
    AutoAttack().cascade(model, x, y, Threat("linf", 0.07, 0.01), seeded())
    assert any("points with zero gradient" in message for message in caplog.messages)
    assert any("Square Attack has decreased the robust accuracy" in message for message in caplog.messages)


def test_broken_by_is_written_into_the_evaluation(short_budget):
    model, x, y = guarded(5)
    split = Split(x.numpy(), y.numpy(), np.arange(48), levels=1)
    table = attack_split(model, split, AutoAttack(), "autoattack", Threat("linf", 0.07, 0.01), seed=0, batch_size=20)
    assert set(table["broken_by"]) <= {"misclassified", "", *COMPONENTS} and (table["broken_by"] == "square").any()
    robust = table["prediction_adversarial"] == table["label"]
    assert (robust == (table["broken_by"] == "")).all()


def test_a_model_that_is_always_wrong_costs_no_attack(undefended, monkeypatch):
    monkeypatch.delattr(pyautoattack.AutoAttack, "run_standard_evaluation")
    model, x, _ = undefended
    wrong = (model(x).argmax(1) + 1) % 5
    x_adv, broken_by = AutoAttack().cascade(model, x, wrong, THREATS["linf"], seeded())
    assert torch.equal(x_adv, x) and broken_by == ["misclassified"] * 20


def test_restarts_of_apgd_go_on_with_the_images_that_are_left():
    model, x, y = guarded(5)
    left = []
    for restarts in (1, 4):
        attack = APGD(steps=2, restarts=restarts)
        left.append((model(attack(model, x, y, Threat("linf", 0.05, 0.01), seeded())).argmax(1) == y).sum())
    assert left[1] < left[0]


# Few classes ------------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, 64, generator=seeded(classes)), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - 0.5).flatten(1) @ self.weight.T


@pytest.mark.parametrize(("name", "least"), [("apgd-dlr", 3), ("apgd-t", 4), ("autoattack", 4)])
def test_an_attack_that_is_not_defined_for_so_few_classes_is_refused(name, least, short_budget):
    title = {"apgd-dlr": "APGD-DLR", "apgd-t": "APGD-T", "autoattack": "AutoAttack"}[name]
    x = torch.rand(6, 1, 8, 8, generator=seeded())
    for classes in range(2, least):
        message = f"^{title} needs at least {least} classes, the model has {classes}; use PGD and Square instead$"
        with pytest.raises(RobustlensError, match=message):
            ATTACKS[name](Linear(classes), x, torch.zeros(6, dtype=torch.long), THREATS["linf"], seeded())
    model = Linear(least)
    y = model(x).argmax(1)
    x_adv = ATTACKS[name](model, x, y, THREATS["linf"], seeded())
    assert (model(x_adv).argmax(1) != y).any()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ["pgd", "apgd-ce", "fab", "fab-t", "square", "cw"])
def test_other_attacks_work_with_two_and_three_classes(name, classes):
    model, x = Linear(classes), torch.rand(6, 1, 8, 8, generator=seeded())
    y = model(x).argmax(1)
    assert (model(ATTACKS[name](model, x, y, THREATS["linf"], seeded())).argmax(1) != y).any()


@pytest.mark.parametrize(("classes", "targets"), [(4, 3), (5, 4), (10, 9), (12, 9)])
def test_targeted_attacks_try_all_other_classes_up_to_nine(classes, targets, monkeypatch, short_budget):
    tried = []
    for library in (APGDAttack_targeted, FABOnTargets):
        original = library.perturb

        def perturb(self, *rest, original=original):
            tried.append(self.n_target_classes)
            return original(self, *rest)

        monkeypatch.setattr(library, "perturb", perturb)
    model, x = Guarded(classes), torch.rand(8, 1, 8, 8, generator=seeded())
    x[:, 0, 0, :2] = 1  # both defences: images are left for every component
    y = model(x).argmax(1)
    for attack in (APGDTargeted(steps=2), FAB(steps=2, targeted=True), AutoAttack()):
        attack(model, x, y, Threat("linf", 0.01, 0.01), seeded())
    assert tried == [targets] * 4


# CW ---------------------------------------------------------------------------------------------------------------

CW_SHAPE, CW_CLASSES = (1, 3, 3), 4
CW_WEIGHT = np.random.default_rng(2).normal(size=(CW_CLASSES, 9))
CW_BIAS = np.random.default_rng(3).normal(size=CW_CLASSES) * 0.1


def linear(x: Tensor) -> Tensor:
    return x.flatten(1) @ torch.from_numpy(CW_WEIGHT).to(x.dtype).T + torch.from_numpy(CW_BIAS).to(x.dtype)


def cw_by_hand(image: np.ndarray, label: int, c: float, kappa: float, steps: int, rate: float) -> np.ndarray:
    """One image in float64: gradients of the linear model by the chain rule, Adam with its usual constants."""
    image = image.astype(np.float64).ravel()
    w = np.arctanh(np.clip(2 * image - 1, -1 + 1e-6, 1 - 1e-6))
    m, v = np.zeros(9), np.zeros(9)
    nearest, found = math.inf, image
    for step in range(1, steps + 1):
        candidate = (np.tanh(w) + 1) / 2
        logits = CW_WEIGHT @ candidate + CW_BIAS
        other = max((k for k in range(CW_CLASSES) if k != label), key=lambda k: logits[k])
        margin = logits[label] - logits[other]
        distance = ((candidate - image) ** 2).sum()
        if margin < -kappa and distance < nearest:
            nearest, found = distance, candidate
        gradient = 2 * (candidate - image)
        if margin > -kappa:
            gradient = gradient + c * (CW_WEIGHT[label] - CW_WEIGHT[other])
        gradient = gradient * (1 - np.tanh(w) ** 2) / 2
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        w = w - rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return found


@pytest.mark.parametrize(
    ("c", "kappa", "steps", "rate"), [(1.0, 0.0, 40, 0.05), (3.0, 0.5, 60, 0.1), (0.05, 0.0, 20, 0.01)]
)
def test_cw_is_what_a_loop_in_float64_finds(c, kappa, steps, rate):
    x = np.random.default_rng(1).uniform(0.05, 0.95, size=(12, *CW_SHAPE))
    x[0, 0, 0] = [0.0, 1.0, 0.5]  # pixels at the ends of the range
    y = np.array([np.argmax(CW_WEIGHT @ image.ravel() + CW_BIAS) for image in x])
    y[1] = (y[1] + 1) % CW_CLASSES
    expected = np.stack([cw_by_hand(image, label, c, kappa, steps, rate) for image, label in zip(x, y, strict=True)])
    attack = CW(c=c, kappa=kappa, steps=steps, learning_rate=rate)
    found = attack(linear, torch.from_numpy(x), torch.from_numpy(y), THREATS["l2"], seeded())
    np.testing.assert_allclose(found.numpy().reshape(12, 9), expected, rtol=0, atol=1e-12)
    moved = np.abs(expected - x.reshape(12, 9)).max(1)
    assert (moved > 0.01).any() and moved[1] < 1e-6  # image 1 is misclassified as it is
    logits = linear(found).numpy()
    for one, label, far in zip(logits, y, moved, strict=True):
        assert far == 0 or one[label] < np.delete(one, label).max() - kappa + 1e-12
