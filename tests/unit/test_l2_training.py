"""Training and tracking under the L2 threat, with one radius for all images and with one per class."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import tiny
import torch
from layers import shaken
from torch import Tensor

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.learning.method import Attacked
from robustlens.methods.sat import SAT
from robustlens.models.inference import InferenceModel
from robustlens.parameters import create, names
from robustlens.seeds import generator
from robustlens.training import classification
from robustlens.training.result import TrainedRun
from robustlens.training.run import Training

L2 = {"threat": {"norm": "l2", "epsilon": "3/4", "step_size": "1/4"}}
DATA = tiny.random_images((3, 8, 8))
RADII = torch.tensor([0.25, 0.5, 1.0])  # of the three classes
STEPS = 2 * tiny.STEPS_PER_EPOCH


@dataclass(frozen=True)
class Radii(SAT):
    """SAT with a radius and a step for each class, (B,)."""

    def threat(self, threat: Threat, y: Tensor, whole: Tensor, memory: torch.nn.Module) -> Threat:
        return replace(threat, epsilon=RADII[y], step_size=RADII[y] / 3)


def spec(method: str) -> dict:
    """Two epochs of three steps, weights by instance from the second on; slow, so that no network becomes so sure that
    its KL has no gradient."""
    parameters = tiny.NEEDED.get(method, {})
    if hasattr(create("methods", method, parameters), "start_epoch"):
        parameters = parameters | {"start_epoch": 1}
    return tiny.colour_spec(learning_rate=0.001) | L2 | {"method": {"name": method, "parameters": parameters}}


ONLY_LINF = ["off-centre-sat"]
WITH_NOISE = ("smoothing",)  # which knows no ball
ATTACKING = [
    name
    for name in names("methods")
    if create("methods", name, tiny.NEEDED.get(name, {})).attack(3) and name not in (*ONLY_LINF, *WITH_NOISE)
]


@pytest.fixture
def per_class(monkeypatch) -> None:
    """Whatever the specification names, `Radii` is trained."""
    monkeypatch.setattr(classification, "create", lambda *_: Radii())


def attacked(run: Training) -> list[tuple[Tensor, Tensor, Tensor, Threat]]:
    """(x, y, x_adv, the threat) of every step of a training, which is run to its end."""
    attack, seen = run.task.attack, []

    def watched(learner, x: Tensor, y: Tensor, threat: Threat, random: torch.Generator) -> Tensor | Attacked:
        found = attack(learner, x, y, threat, random)
        seen.append((x, y, getattr(found, "x_adv", found), threat))
        return found

    run.task.attack = watched
    shaken(run.task.network)  # fresh networks hardly feel an attack
    with run.loop.state:
        run.run()
    assert len(seen) == STEPS
    return seen


def sizes(x: Tensor, x_adv: Tensor) -> np.ndarray:
    pairs = zip(x.double().numpy(), x_adv.double().numpy(), strict=True)
    return np.array([np.sqrt(((after - before) ** 2).sum()) for before, after in pairs])


@pytest.mark.parametrize("method", ATTACKING)
def test_every_method_trains_on_images_of_the_l2_ball(method, tmp_path):
    """Three steps of 1/4 in a ball of 3/4, or in one that the method gives to the image."""
    of_method, given = tiny.with_networks(spec(method), tmp_path, spec(method)["architecture"])
    for x, _, x_adv, threat in attacked(tiny.made(of_method, DATA, tmp_path, weights=given)):
        moved, radii = sizes(x, x_adv), torch.as_tensor(threat.epsilon).double().flatten().numpy()
        assert threat.norm == "l2" and (moved <= radii + 1e-6).all() and (moved > 0.5).any()
        assert x_adv.min() >= 0 and x_adv.max() <= 1
        pixels = (x_adv - x).abs().flatten(1)  # they move as far as their slopes are steep, not all as far
        assert (pixels.amax(1) > 2.5 * pixels.median(1).values).all()


@pytest.mark.parametrize("method", ONLY_LINF)
def test_a_method_that_is_only_for_linf_is_refused(method, tmp_path):
    with pytest.raises(RobustlensError, match="only for L-inf"):
        tiny.train(spec(method), DATA, tmp_path)


def test_radii_and_steps_of_classes_hold_for_each_image(per_class, tmp_path):
    shares = []
    for x, y, x_adv, _ in attacked(tiny.made(spec("sat"), DATA, tmp_path)):
        radii, moved = RADII[y].double().numpy(), sizes(x, x_adv)
        assert (moved <= radii + 1e-6).all()
        shares.append(moved / radii)
    assert (np.concatenate(shares) > 0.7).all()  # of three steps of a third, cut with [0, 1]


def same(first: TrainedRun, second: TrainedRun) -> None:
    for part in ("best", "last"):
        for name, value in getattr(first, part).items():
            assert torch.equal(value, getattr(second, part)[name]), f"{part} {name}"
    assert first.history.equals(second.history) and first.energies.equals(second.energies)


@pytest.mark.parametrize("method", ["trades", "mart", "gairat", "mail-at"])
def test_a_training_in_l2_that_is_stopped_after_every_step_leaves_the_same_bytes(method, tmp_path):
    once = tiny.train(spec(method), DATA, tmp_path / "once")
    same(once, tiny.train(spec(method), DATA, tmp_path / "again", set(range(1, STEPS + 1))))


def test_so_does_one_with_a_radius_for_each_class(per_class, tmp_path):
    once = tiny.train(spec("sat"), DATA, tmp_path / "once")
    same(once, tiny.train(spec("sat"), DATA, tmp_path / "again", set(range(1, STEPS + 1))))


def tracked_by_hand(run: Training, split: str, threat: Threat) -> tuple[list[float], np.ndarray]:
    """The accuracies, natural and attacked, of the last network, and its marginal energies of attacked images."""
    images = {"train": 16, "validation": 12}[split]
    part = DATA.splits[split]
    x, y = torch.from_numpy(part.pixels()[:images]), torch.tensor(part.labels[:images])
    model = InferenceModel(run.task.network)
    x_adv = PGD(steps=2)(model, x, y, threat, generator(0, "track", split))
    with torch.no_grad():
        natural, adversarial = model(x), model(x_adv)
    return [float((z.argmax(1) == y).float().mean()) for z in (natural, adversarial)], -adversarial.logsumexp(1).numpy()


@pytest.mark.parametrize("method", ["sat", "per class"])
def test_what_is_tracked_is_of_the_l2_attack_with_the_run_s_own_radius(method, tmp_path, monkeypatch):
    if method == "per class":
        monkeypatch.setattr(classification, "create", lambda *_: Radii())
    run = tiny.made(spec("sat"), DATA, tmp_path)
    shaken(run.task.network)
    with run.loop.state:
        result = run.run()
    last = result.history[result.history["epoch"] == 2].set_index("split")
    for split in ("train", "validation"):
        accuracies, energies = tracked_by_hand(run, split, Threat("l2", 0.75, 0.25))
        assert last.loc[split, ["clean_accuracy", "robust_accuracy"]].tolist() == pytest.approx(accuracies)
        tracked = result.energies[(result.energies["epoch"] == 2) & (result.energies["split"] == split)]
        np.testing.assert_allclose(tracked["marginal_adversarial"], energies, rtol=1e-5)
        box = tracked_by_hand(run, split, Threat("linf", 0.75, 0.25))[1]
        assert np.abs(box - energies).max() > 0.01
