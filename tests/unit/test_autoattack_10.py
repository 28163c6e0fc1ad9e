"""The ensemble of ten iterations that the released code of AR-AT evaluates with: its budget, order and verdicts."""

import numpy as np
import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack
from test_attack_library import NORMS, global_randomness, guarded, seeded

from robustlens.attacks import autoattack_10
from robustlens.attacks.autoattack_10 import COMPONENTS, TenIterations, components
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import Split
from robustlens.errors import RobustlensError
from robustlens.evaluation.run import attack_split
from robustlens.parameters import create
from robustlens.planning.passes import NOWHERE, CountingNetwork, attack_passes

CPU = torch.device("cpu")
each_threat = pytest.mark.parametrize(
    ("norm", "epsilon", "classes"), [("linf", 0.07, 5), ("linf", 0.05, 11), ("l2", 0.3, 4)]
)


@pytest.fixture
def few_queries(monkeypatch) -> None:
    monkeypatch.setattr(autoattack_10, "QUERIES", 300)


def test_a_robust_image_costs_200_gradients_where_autoattack_has_1910():
    """torchattacks 3.5.1 has 200 gradients and 5,336 forward passes with 10 classes; ours asks for the classes, too,
    but for FAB-T's predictions of the image itself once, where the library does so twice for each of 9 targets."""
    found = attack_passes("autoattack-10", {}, classes=10)
    assert (found.gradients, found.forwards) == (200, 5336 + 1 - 2 * 9)
    assert attack_passes("autoattack", {}, classes=10).gradients == 1910
    missed = attack_passes("autoattack-10", {}, classes=10, robust=False)
    assert (missed.gradients, missed.forwards) == (0, 1)


def test_what_each_component_costs():
    """All K - 1 other classes are targets: 10 iterations and a first gradient each for APGD-T, 10 for FAB-T."""
    for classes, targets in ((4, 3), (12, 11)):
        network = CountingNetwork(classes).eval().requires_grad_(False)
        x = torch.full((1, 1, 4, 4), 0.5)
        y = network(x).argmax(1)
        network.read()
        found = {}
        for component, perturb in components(network, classes, CPU, NOWHERE, seeded()).items():
            perturb(x, y)
            found[component] = network.read()
        gradients = {component: gradients for component, (_, gradients) in found.items()}
        assert gradients == {"apgd-ce": 11, "apgd-t": 11 * targets, "fab-t": 10 * targets, "square": 0}
        assert found["square"][0] == 5003 and found["apgd-ce"][0] == 12


def test_budgets_and_schedules_are_those_of_torchattacks(monkeypatch):
    made = []
    for name in ("APGDAttack", "APGDAttack_targeted", "FABOnTargets", "SquareOnPatches"):
        original = getattr(autoattack_10, name)
        monkeypatch.setattr(autoattack_10, name, lambda *a, o=original, **k: made.append(o(*a, **k)) or made[-1])
    components(CountingNetwork(100), 100, CPU, Threat("linf", 8 / 255, 2 / 255), seeded())
    ce, targeted, fab, square = made
    assert (ce.n_iter, ce.n_restarts, ce.loss, ce.thr_decr, ce.norm, ce.eps) == (10, 1, "ce", 0.75, "Linf", 8 / 255)
    assert (targeted.n_iter, targeted.n_restarts, targeted.n_target_classes, targeted.thr_decr) == (10, 1, 99, 0.75)
    assert (fab.n_iter, fab.n_restarts, fab.targeted, fab.n_target_classes) == (10, 1, True, 99)
    assert (fab.alpha_max, fab.eta, fab.beta) == (0.1, 1.05, 0.9)
    assert (square.n_queries, square.n_restarts, square.p_init, square.loss) == (5000, 1, 0.8, "margin")
    # After half of the queries a share of 0.8 / 128 of the pixels; AutoAttack's own schedule would be at 0.8 / 64.
    assert square.rescale_schedule is True and square.p_selection(2500) == 0.8 / 128
    assert len({attack.seed for attack in made}) == 4


@each_threat
def test_each_component_attacks_what_the_ones_before_it_left(norm, epsilon, classes, few_queries):
    """Against a plain loop over the library's attacks. Each breaks some of the images."""
    model, x, y = guarded(classes)
    threat = Threat(norm, epsilon, 0.01)
    ours, broken_by = TenIterations().cascade(model, x, y, threat, seeded())
    generator = seeded()
    seeds = [int(torch.randint(2**31 - 1, (), generator=generator)) for _ in range(4)]
    settings = [{"norm": NORMS[norm], "eps": epsilon, "seed": seed, "device": "cpu"} for seed in seeds]
    library = [
        APGDAttack(model, n_iter=10, loss="ce", **settings[0]),
        APGDAttack_targeted(model, n_iter=10, n_target_classes=classes - 1, **settings[1]),
        FABAttack_PT(model, n_iter=10, targeted=True, n_target_classes=classes - 1, **settings[2]),
        SquareAttack(model, n_queries=300, resc_schedule=True, **settings[3]),
    ]
    expected, by = x.clone(), ["" if right else "misclassified" for right in model(x).argmax(1) == y]
    for component, attack in zip(COMPONENTS, library, strict=True):
        left = [image for image, broken in enumerate(by) if broken == ""]
        with torch.random.fork_rng():
            found = attack.perturb(x[left].clone(), y[left].clone())
        for place, image in enumerate(left):
            if int(model(found[place : place + 1]).argmax()) != int(y[image]):
                expected[image], by[image] = found[place], component
    assert torch.equal(ours, expected) and broken_by == by
    assert by[:4] == ["misclassified"] * 4 and {"apgd-ce", "apgd-t", "square"} <= set(by)
    assert torch.equal(TenIterations()(model, x, y, threat, seeded()), expected)


def test_an_image_is_moved_if_and_only_if_it_was_broken(few_queries):
    model, x, y = guarded(5)
    before, threat = global_randomness(), Threat("linf", 0.07, 0.01)
    found, broken_by = TenIterations().cascade(model, x, y, threat, seeded())
    assert global_randomness() == before and (threat.distance(found, x) <= 0.07 + 1e-6).all()
    wrong = (model(found).argmax(1) != y).tolist()
    for image, adversarial, component, fooled in zip(x, found, broken_by, wrong, strict=True):
        assert fooled == (component != "") and torch.equal(image, adversarial) == (component in ("", "misclassified"))


def test_an_evaluation_records_which_component_broke_an_image(few_queries):
    model, x, y = guarded(5)
    split = Split((x * 255).round().byte().numpy(), y.numpy(), np.arange(48), levels=255)
    found = attack_split(
        model, split, create("attacks", "autoattack-10", {}), "aa", Threat("linf", 0.07, 0.01), 0, batch_size=24
    )
    assert set(found["broken_by"]) <= {"", "misclassified", *COMPONENTS} and found["broken_by"].nunique() >= 3
    robust = found["prediction_adversarial"] == found["label"]
    assert ((found["broken_by"] == "") == robust).all()


def test_fewer_than_four_classes_are_refused():
    with pytest.raises(RobustlensError, match="autoattack-10 needs at least 4 classes, the model has 3"):
        TenIterations()(CountingNetwork(3), torch.zeros(1, 1, 4, 4), torch.tensor([0]), NOWHERE, seeded())


def test_it_does_not_call_itself_by_the_name_of_the_other():
    """Nothing that a table or a log could show of it is that name."""
    attack = create("attacks", "autoattack-10", {})
    assert type(attack).__name__ == "TenIterations" and not repr(attack).startswith("AutoAttack")
    assert not type(attack).__doc__.startswith("AutoAttack")
