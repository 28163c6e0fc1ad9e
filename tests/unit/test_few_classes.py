"""Datasets of two, three and four classes: which attacks the configuration refuses, and what the others try."""

from collections import defaultdict

import pytest
import torch
import yaml
from configured import CONFIG, REPOSITORY, cohorts, digits, loaded, own, small
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from robustlens.attacks.apgd import APGD
from robustlens.attacks.apgd_t import APGDTargeted
from robustlens.attacks.fab import FAB
from robustlens.attacks.fab_targets import FABOnTargets
from robustlens.attacks.square import Square
from robustlens.attacks.threat import Threat
from robustlens.configuration import suite_attacks
from robustlens.configuration.few_classes import least
from robustlens.errors import RobustlensError
from robustlens.models import bfloat16
from robustlens.parameters import create, names, resolve

LINF = Threat("linf", 0.1, 0.025)
FAMILIES = [(name, {"inverse_temperature": 1.0} if name == "temperature-pgd" else {}) for name in names("attacks")]
FAMILIES.append(("apgd", {"loss": "dlr"}))


class Linear(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        generator = torch.Generator().manual_seed(classes)
        self.weight = nn.Parameter(torch.randn(classes, 64, generator=generator), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - 0.5).flatten(1) @ self.weight.T


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def library_seed() -> int:
    return int(torch.randint(2**31 - 1, (), generator=seeded()))


def example(classes: int, images: int = 12) -> tuple[nn.Module, Tensor, Tensor]:
    """A model, images and the labels that it gives them."""
    model, x = Linear(classes), torch.rand(images, 1, 8, 8, generator=seeded(0))
    return model, x, model(x).argmax(1)


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "parameters"), FAMILIES, ids=str)
def test_an_attack_is_refused_by_the_configuration_where_it_refuses_itself_and_nowhere_else(
    family, parameters, monkeypatch
):
    monkeypatch.setattr(bfloat16, "has_bfloat16", lambda device: True)
    needed = least({"family": family} | resolve("attacks", family, parameters, "a test"))
    for classes in (2, 3, 4):
        model, x, y = example(classes, images=2)
        attack, refused = create("attacks", family, parameters), False
        try:
            attack(model, x, y, Threat("linf", 0.5, 0.1), seeded())
        except RobustlensError as error:
            assert f"needs at least {needed} classes, the model has {classes}" in str(error)
            refused = True
        assert refused == (classes < needed)


def with_attacks(raw: dict, *attacks: str, classes: int) -> None:
    """A cohort that is evaluated by these attacks, beside the others, whose datasets have ten classes."""
    raw["attacks"] |= {
        "dlr": {"family": "apgd", "loss": "dlr"},
        "ce": {"family": "apgd", "restarts": 5},
        "targeted": {"family": "apgd-t"},
        "ten": {"family": "autoattack-10"},
        "screen": {"family": "screen"},
        "fab": {"family": "fab"},
        "fab-t": {"family": "fab", "targeted": True},
        "square": {"family": "square"},
    }
    small(raw)["suites"]["chosen"] = {"attacks": list(attacks)}
    small(raw)["datasets"]["fewer"] = {"like": "digits", "classes": list(range(classes)), "generation": None}
    cohorts(raw)["further"] = {"datasets": ["digits", "fewer"], "recipes": ["weat-adv"], "suite": "chosen"}


@pytest.mark.parametrize(
    ("attack", "needed"), [("autoattack", 4), ("ten", 4), ("screen", 4), ("targeted", 4), ("dlr", 3)]
)
def test_an_attack_that_needs_more_classes_than_a_dataset_has_is_refused_before_any_job(attack, needed):
    message = (
        f"config.studies.mine.cohorts.further.suite: chosen has the attack {attack}, which needs {needed} classes, and "
        f"fewer has {needed - 1}; evaluate it by a suite of attacks of the families apgd (loss ce, several restarts), "
        "fab and square"
    )
    with pytest.raises(RobustlensError) as error:
        loaded(lambda raw: with_attacks(raw, "pgd20", attack, classes=needed - 1))
    assert str(error.value) == message
    loaded(lambda raw: with_attacks(raw, "pgd20", attack, classes=needed))


def test_attacks_that_work_with_two_classes_are_accepted_and_so_is_a_suite_that_no_cohort_of_them_uses():
    loaded(lambda raw: with_attacks(raw, "pgd20", "ce", "fab", "fab-t", "square", classes=2))
    assert "autoattack" in loaded()["suites"]["robustness"]["attacks"]
    loaded(lambda raw: (digits(raw).update(classes=[0, 1]), cohorts(raw)["main"].update(suite="brief")))
    with pytest.raises(RobustlensError, match="autoattack, which needs 4 classes, and digits has 2; evaluate"):
        loaded(lambda raw: digits(raw).update(classes=[0, 1]))


def test_the_models_of_a_cohort_are_checked_as_its_runs_are():
    def change(raw: dict, suite: str) -> None:
        digits(raw)["classes"] = [0, 1, 2]
        weights = {"file": "w.pt", "md5": "0" * 32}
        small(raw)["models"] = {
            "theirs": {"dataset": "digits", "architecture": {"family": "resnet"}, "weights": weights}
        }
        cohorts(raw)["main"]["suite"] = "brief"
        cohorts(raw)["further"] = {"models": ["theirs"], "suite": suite}

    with pytest.raises(
        RobustlensError, match=r"cohorts.further.suite: robustness has the attack autoattack, which needs"
    ):
        loaded(lambda raw: change(raw, "robustness"))
    loaded(lambda raw: change(raw, "brief"))
    assert "classes" not in CONFIG["scales"]["small"]["datasets"]["digits"]


def test_the_suite_few_classes_is_for_two_classes():
    config = own(scale="paper")
    attacks = {one["family"]: one for one in suite_attacks(config, config["suites"]["few-classes"])}
    assert {"apgd", "fab", "square"} <= attacks.keys() and "autoattack" not in attacks
    assert attacks["apgd"]["parameters"] == {"loss": "ce", "steps": 100, "restarts": 5}
    assert attacks["fab"]["parameters"] == {"steps": 100, "restarts": 5, "targeted": False}
    assert attacks["square"]["parameters"] == {"queries": 5000}
    assert max(least(config["attacks"][name]) for name in config["suites"]["few-classes"]["attacks"]) == 2
    assert "few-classes" in yaml.safe_load((REPOSITORY / "config.yaml").read_text())["scales"]["paper"]["suites"]


# What the others do ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize(("attack", "library", "settings", "needed"), [
    (APGD(steps=5, restarts=3), APGDAttack, {"loss": "ce", "n_iter": 5, "n_restarts": 3}, 2),
    (APGD("dlr", steps=5), APGDAttack, {"loss": "dlr", "n_iter": 5}, 3),
    (APGDTargeted(steps=4), APGDAttack_targeted, {"n_iter": 4, "n_target_classes": 3}, 4),
    (FAB(steps=5, restarts=2), FABAttack_PT, {"n_iter": 5, "n_restarts": 2}, 2),
    (FAB(steps=4, targeted=True), FABAttack_PT, {"n_iter": 4, "targeted": True, "n_target_classes": None}, 2),
    (Square(queries=40), SquareAttack, {"n_queries": 40, "resc_schedule": False}, 2),
])  # fmt: skip
def test_with_few_classes_an_attack_is_that_of_the_library_with_the_targets_that_there_are(
    attack, library, settings, needed, classes
):
    if classes < needed:
        return
    model, x, y = example(classes)
    ours = attack(model, x, y, LINF, seeded())
    if "n_target_classes" in settings:
        settings = settings | {"n_target_classes": classes - 1}
    with torch.random.fork_rng():
        theirs = library(model, norm="Linf", eps=0.1, seed=library_seed(), device="cpu", **settings)
        assert torch.equal(ours, theirs.perturb(x.clone(), y.clone()))
    assert (model(ours).argmax(1) != y).any()


@pytest.mark.parametrize(("classes", "targeted"), [(2, False), (3, False), (4, True)])
def test_every_other_class_is_a_target_once(classes, targeted, monkeypatch):
    """Of images that nothing fools, so that no target is left out. CelebA's four classes leave three targets."""
    model, x, y = example(classes)
    tried: dict[str, list[Tensor]] = defaultdict(list)
    apgd, fab = APGDAttack_targeted.attack_single_run, FABOnTargets.boundary

    def apgd_run(self, x, y, *rest):
        tried["apgd-t"].append(self.y_target.clone())
        return apgd(self, x, y, *rest)

    def fab_step(self, images, labels, targets):
        tried["fab-t"] += targets.view(-1, len(x))  # all targets in one batch
        return fab(self, images, labels, targets)

    monkeypatch.setattr(APGDAttack_targeted, "attack_single_run", apgd_run)
    monkeypatch.setattr(FABOnTargets, "boundary", fab_step)
    nowhere = Threat("linf", 1e-6, 1e-7)
    FAB(steps=1, targeted=True)(model, x, y, nowhere, seeded())
    if targeted:
        APGDTargeted(steps=1)(model, x, y, nowhere, seeded())
    assert len(tried) == 1 + targeted
    for targets in tried.values():
        for image, label in enumerate(y.tolist()):
            assert sorted(int(target[image]) for target in targets) == [k for k in range(classes) if k != label]
