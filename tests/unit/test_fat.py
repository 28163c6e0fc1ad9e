"""FAT: the attack of each base and its tau over the epochs; and CFA on FAT."""

import pytest
import tiny
import torch
from classwise import THREAT, learner_of, moment, statistics
from layers import shaken
from torch import Tensor

from robustlens.attacks.friendly_pgd import FriendlyPGD
from robustlens.attacks.pgd import PGD
from robustlens.errors import RobustlensError
from robustlens.learning.learner import Learner
from robustlens.methods.cfa import Cfa
from robustlens.methods.fat import Fat
from robustlens.models.weights import build
from robustlens.parameters import create, resolve

DATA = tiny.random_images((3, 8, 8))
SMALL = {"family": "resnet", "blocks": [1], "width": 4}
ATTACKS = {
    "sat": {"loss": "ce", "start": "uniform", "noise": 0.001},
    "trades": {"loss": "kl", "start": "gaussian", "noise": 0.0},
    "mart": {"loss": "ce", "start": "gaussian", "noise": 0.0},
}


def network(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return shaken(build(SMALL, 3, 3), seed)


def images(count: int = 30) -> tuple[Tensor, Tensor]:
    x = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return x, torch.arange(count) % 3


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(2)


@pytest.mark.parametrize("tau", [0, 1, 7])
@pytest.mark.parametrize("base", ATTACKS)
def test_the_attack_of_a_base_with_the_tau_that_the_epoch_has(base: str, tau: int):
    method, (x, y) = Fat(base, tau=tau, rises_after=(1,)), images()
    learner = Learner(network(), memory=method.memory(3)).eval()
    attack, found = method.attack(7), []
    for epoch in (1, 2):
        method.before_epoch(learner, moment(epoch))
        found.append(attack(learner, x, y, THREAT, seeded()))
        expected = FriendlyPGD(steps=7, tau=tau + epoch - 1, **ATTACKS[base])
        assert torch.equal(found[-1], expected(learner, x, y, THREAT, seeded()))
    assert torch.equal(*found) is (tau == 7)


def taus(method: Fat, epochs: int) -> list[int]:
    learner, found = learner_of(method), []
    for epoch in range(1, epochs + 1):
        method.before_epoch(learner, moment(epoch))
        found.append(int(learner.memory.tau))
    return found


@pytest.mark.parametrize(
    ("rises_after", "first", "epochs", "expected"),
    [
        ((50, 90), 0, 120, [0] * 50 + [1] * 40 + [2] * 30),
        ((30, 50, 70), 0, 85, [0] * 30 + [1] * 20 + [2] * 20 + [3] * 15),
        ((20, 40, 60, 80), 0, 90, [0] * 20 + [1] * 20 + [2] * 20 + [3] * 20 + [4] * 10),
        ((1000,), 3, 5, [3] * 5),
        ((4, 2), 1, 5, [1, 1, 2, 2, 3]),
        ((2, 2), 0, 3, [0, 0, 2]),
    ],
)
def test_tau_grows_after_the_epochs_of_the_authors_code(rises_after, first, epochs, expected):
    assert taus(Fat(tau=first, rises_after=rises_after), epochs) == expected


def test_tau_in_a_training_follows_its_epochs_and_its_memory_is_resumed(tmp_path):
    spec = tiny.colour_spec(epochs=4) | {"method": {"name": "fat", "parameters": {"rises_after": [1, 3]}}}
    run = tiny.made(spec, DATA, tmp_path / "watched")
    attack, seen = run.task.attack, []

    def watched(learner, *rest):
        seen.append(int(learner.memory.tau))
        return attack(learner, *rest)

    run.task.attack = watched
    with run.loop.state:
        run.run()
    assert seen == [0] * 3 + [1] * 6 + [2] * 3
    once = tiny.train(spec, DATA, tmp_path / "once")
    again = tiny.train(spec, DATA, tmp_path / "again", {2, 4, 7, 11})
    assert all(torch.equal(value, again.last[name]) for name, value in once.last.items())
    sat = tiny.train(tiny.colour_spec(epochs=4), DATA, tmp_path / "sat")
    assert any(not torch.equal(value, sat.last[name]) for name, value in once.last.items())


@pytest.mark.parametrize(("key", "value"), [("rises_after", [0]), ("rises_after", [50.5]), ("tau", -1), ("base", "he")])
def test_what_is_no_parameter_of_fat_is_refused(key: str, value):
    with pytest.raises(RobustlensError, match=rf"recipes\.fat\.{key}: must be "):
        resolve("methods", "fat", {key: value}, "recipes.fat")


# CFA on FAT -----------------------------------------------------------------------------------------------------------


def test_cfa_on_fat_attacks_with_its_counter_within_the_radius_of_each_class():
    method, (x, y) = Cfa(base="fat", radius_offset=0.7), images()
    assert method.attack(7) == FriendlyPGD(7, 3, "ce", "uniform", 0.0, "spent")
    assert Cfa(base="fat", tau=1).attack(7).tau == 1
    learner = Learner(network(), method.parts(network(), None), method.memory(3)).eval()
    method.before_epoch(learner, moment(11, statistics([60, 6, 45], [100, 20, 100])))
    threat = method.threat(THREAT, y, y, learner.memory)
    x_adv = method.attack(20)(learner, x, y, threat, seeded())
    radii = torch.tensor([10.4, 8.0, 9.2])[y] / 255  # (0.7 + t) 8 / 255, t as above
    moved = (x_adv - x).abs().flatten(1).amax(1)
    assert (moved <= radii + 1e-6).all() and (moved > 0.9 * radii).all()


def test_cfa_on_fat_learns_of_friendly_images_alone_and_on_sat_as_before():
    """The attacks of the other bases are PGD's."""
    assert Cfa(base="sat").attack(5) == PGD(5, "ce", "uniform")
    assert Cfa(base="trades").attack(5) == PGD(5, "kl", "gaussian")
    assert create("methods", "cfa", {"base": "fat"}).tau == 3


def test_a_training_of_cfa_on_fat_resumes(tmp_path):
    parameters = {"base": "fat", "start_epoch": 1, "threshold": 0.0, "tau": 1}
    spec = tiny.colour_spec(epochs=3) | {"method": {"name": "cfa", "parameters": parameters}}
    once = tiny.train(spec, DATA, tmp_path / "once")
    again = tiny.train(spec, DATA, tmp_path / "again", {2, 4, 8})
    assert all(torch.equal(value, again.last[name]) for name, value in once.last.items())
    assert once.history.equals(again.history)
