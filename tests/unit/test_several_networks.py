"""Methods with more than a classifier: two sets of BatchNorm statistics, predictors of features, averages of their own,
parts of other architectures."""

import contextlib
import copy
import dataclasses
from collections.abc import Iterator

import pytest
import tiny
import torch
import torch.nn.functional as F
from test_training_processes import two_processes
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.errors import RobustlensError
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Method
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import build, load_model, save_weights
from robustlens.planning import passes
from robustlens.seeds import generator
from robustlens.training import classification

DATA = tiny.random_images((3, 8, 8))
LAYERS = ("layer2.0.bn1", "layer2.0.bn2")


class TwoNorms(nn.Module):
    """One BatchNorm for adversarial images, another one for natural ones."""

    def __init__(self, norm: nn.BatchNorm2d):
        super().__init__()
        self.adversarial, self.clean, self.which = norm, copy.deepcopy(norm), "adversarial"

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self.which)(x)


def replaced(network: nn.Module, kind: type[nn.Module], by) -> nn.Module:
    for name, module in list(network.named_modules()):
        if isinstance(module, kind):
            network.set_submodule(name, by(module))
    return network


@contextlib.contextmanager
def clean_norms(network: nn.Module) -> Iterator[None]:
    norms = [module for module in network.modules() if isinstance(module, TwoNorms)]
    for norm in norms:
        norm.which = "clean"
    yield
    for norm in norms:
        norm.which = "adversarial"


def ordinary(network: nn.Module, which: str) -> nn.Module:
    return replaced(copy.deepcopy(network), TwoNorms, lambda norms: getattr(norms, which))


@dataclasses.dataclass(frozen=True)
class Split(Method):
    """Like AR-AT: split BatchNorm, a predictor of the last block's maps, and a distance to the natural ones."""

    ALSO = ("clean",)

    def network(self, build):
        return replaced(build(), nn.BatchNorm2d, TwoNorms)

    def deployed(self, learner):
        return ordinary(learner.network, "adversarial")

    def also_deployed(self, learner):
        return {"clean": ordinary(learner.network, "clean")}

    def parts(self, network, build):
        channels = network.get_submodule(LAYERS[0])
        channels = getattr(channels, "adversarial", channels).num_features
        return {
            "predictor": nn.Sequential(nn.Linear(channels, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, channels))
        }

    def attack(self, steps):
        return PGD(steps=steps)

    def loss(self, learner: Learner, batch: Batch) -> dict[str, Tensor]:
        with clean_norms(learner.network):
            natural, clean = learner.features(batch.x, LAYERS)
        adversarial, attacked = learner.features(batch.x_adv, LAYERS)
        distance = sum(
            (learner.run("predictor", z.relu().mean((2, 3))) - target.detach().relu().mean((2, 3))).square().mean(1)
            for z, target in zip(attacked, clean, strict=True)
        )
        return {
            "clean": F.cross_entropy(natural, batch.y, reduction="none"),
            "adversarial": F.cross_entropy(adversarial, batch.y, reduction="none"),
            "invariance": distance,
        }


@pytest.fixture
def split(monkeypatch):
    monkeypatch.setattr(classification, "create", lambda *_: Split())


def loaded(weights: dict[str, Tensor]) -> nn.Module:
    network = build(tiny.colour_spec()["architecture"], 3, 3)
    network.load_state_dict(weights)
    return network.eval()


def checkpoint(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): t for key, t in weights.items() if key.startswith(f"{name}.")}


SETTINGS = [
    {"averaging": {"name": "none"}, "weight_perturbation": tiny.AWP},
    {"averaging": tiny.EMA, "attack_batchnorm": "train"},
    {"averaging": tiny.SWA | {"start_epoch": 1}, "weight_perturbation": tiny.AWP, "attack_batchnorm": "batch"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["awp", "ema", "swa-awp"])
def test_split_batchnorm_is_trained_resumed_and_deployed_as_ordinary_networks(split, settings, tmp_path):
    spec = tiny.colour_spec(checkpoints=[1], **settings)
    once = tiny.train(spec, DATA, tmp_path / "once")
    again = tiny.train(spec, DATA, tmp_path / "again", {1, 2, 3, 4, 5})
    for weights in ("best", "last", "checkpoints"):
        ours, theirs = getattr(once, weights), getattr(again, weights)
        assert ours.keys() == theirs.keys() and all(torch.equal(t, theirs[name]) for name, t in ours.items()), weights
    assert {name.split(".")[0] for name in once.checkpoints} == {"1", "best-clean", "last-clean"}
    x = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for which in ("last", "best"):
        plain, clean = loaded(getattr(once, which)), loaded(checkpoint(once.checkpoints, f"{which}-clean"))
        for name, t in plain.state_dict().items():  # one set of weights, two of statistics
            equal = torch.equal(t, clean.state_dict()[name])
            assert equal is not ("bn" in name or "shortcut.1" in name) or "num_batches" in name, name
        with torch.no_grad():
            torch.testing.assert_close(InferenceModel(plain)(x), plain(x), rtol=1e-4, atol=1e-5)


def test_statistics_of_an_swa_of_split_batchnorm_are_those_of_their_own_images(split, tmp_path):
    """Of attacked ones for the classifier that is tracked, of natural ones for the other."""
    run = tiny.made(tiny.colour_spec(averaging=tiny.SWA | {"start_epoch": 1}), DATA, tmp_path)
    with run.loop.state:
        trained = run.run()
    task, seen = run.task, {"clean": [], "adversarial": []}
    batches = run.loop.batches(run.loop.epochs + 1)
    average = task.averaging.final(task.network)
    attacked_by = task.learner.with_network(task._with_statistics(average, batches, None)).eval()
    for step, batch in enumerate(batches):
        random = generator(0, "statistics", step, 0)
        drawn = task._drawn(task.mixture.parts(task.train, batch, 0), random)
        x_adv = PGD(steps=3)(attacked_by, drawn.x, drawn.y, task.threat, random)
        for which, x in (("clean", drawn.x), ("adversarial", x_adv)):
            seen[which].append(average.conv1(x).mean((0, 2, 3)))
    clean = checkpoint(trained.checkpoints, "last-clean")
    for which, found in (("clean", clean), ("adversarial", trained.last)):
        expected = torch.stack(seen[which]).mean(0)
        torch.testing.assert_close(found["bn1.running_mean"], expected, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(trained.last["bn1.running_mean"], clean["bn1.running_mean"], rtol=1e-4, atol=1e-6)


def test_further_checkpoints_are_networks_of_a_file(split, tmp_path):
    spec = tiny.colour_spec()
    trained = tiny.train(spec, DATA, tmp_path / "state")
    save_weights(trained.checkpoints, tmp_path / "checkpoints.safetensors")
    found = load_model(tmp_path / "checkpoints.safetensors", spec["architecture"], 3, 3, checkpoint="last-clean")
    assert torch.equal(found.bn1.running_mean, trained.checkpoints["last-clean.bn1.running_mean"])
    with pytest.raises(RobustlensError, match=r"no checkpoint '7'; it has best-clean, last-clean"):
        load_model(tmp_path / "checkpoints.safetensors", spec["architecture"], 3, 3, checkpoint="7")


def test_two_processes_keep_predictors_and_both_statistics_equal(split, tmp_path):
    first, second = two_processes(tiny.colour_spec(epochs=1, batch_size=9), DATA, tmp_path)  # 9, 9 and 7 images
    assert all(torch.equal(t, second[name]) for name, t in first.items())


def test_batches_that_leave_a_process_one_image_are_refused_where_features_are_normalised(split, tmp_path, monkeypatch):
    with pytest.raises(RobustlensError, match=r"batch_size: of the last batch of an epoch of 25 images, 1 is left"):
        tiny.made(tiny.colour_spec(batch_size=24), DATA, tmp_path)
    tiny.made(tiny.colour_spec(batch_size=23), DATA, tmp_path)
    monkeypatch.setattr(classification, "create", lambda *_: Averaged())  # BatchNorm of maps can
    tiny.made(tiny.colour_spec(batch_size=24), DATA, tmp_path)


def test_a_plan_counts_passes_of_methods_that_ask_for_layers_by_name(monkeypatch):
    monkeypatch.setattr(passes, "create", lambda *_: Split())
    attack, losses = passes.training_passes("split", {}, 10)
    assert (attack.forwards, attack.gradients, losses) == (10, 10, 2)


def test_further_classifiers_are_those_that_the_method_names(split, monkeypatch, tmp_path):
    monkeypatch.setattr(Split, "ALSO", ("clean", "other"))
    message = r"Split.also_deployed: gives \['clean'\], but its ALSO names \['clean', 'other'\]; make them agree"
    with pytest.raises(RobustlensError, match=message):
        tiny.made(tiny.colour_spec(), DATA, tmp_path)


# An average that the method keeps itself --------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Averaged(Method):
    """Like CFA's averages: a part that is not trained is what is deployed; every second epoch is refused."""

    def parts(self, network, build):
        return {"average": copy.deepcopy(network).requires_grad_(False)}

    def deployed(self, learner):
        return learner.parts["average"]

    def attack(self, steps):
        return PGD(steps=steps)

    def loss(self, learner, batch):
        return F.cross_entropy(learner(batch.x_adv), batch.y, reduction="none")

    def after_epoch(self, learner, epoch):
        if epoch.number % 2:
            ours = learner.network.state_dict()
            for name, t in learner.parts["average"].state_dict().items():
                t.copy_(0.5 * t + 0.5 * ours[name] if t.is_floating_point() else ours[name])


def test_an_average_that_a_method_deploys_is_tracked_saved_and_resumed(monkeypatch, tmp_path):
    monkeypatch.setattr(classification, "create", lambda *_: Averaged())
    spec = tiny.colour_spec(epochs=3, checkpoints=[1, 2, 3])
    once = tiny.train(spec, DATA, tmp_path / "once")
    again = tiny.train(spec, DATA, tmp_path / "again", set(range(1, 9)))
    assert all(torch.equal(t, again.last[name]) for name, t in once.last.items())
    of = [checkpoint(once.checkpoints, str(epoch)) for epoch in (1, 2, 3)]
    assert all(torch.equal(t, of[1][name]) for name, t in of[0].items())  # the second epoch was refused
    assert not torch.equal(of[1]["conv1.weight"], of[2]["conv1.weight"])
    measured = once.history[once.history["split"] == "validation"][["marginal_natural", "loss_adversarial"]].to_numpy()
    assert (measured[0] == measured[1]).all() and (measured[1] != measured[2]).all()
    first, second = two_processes(spec, DATA, tmp_path / "two")
    assert all(torch.equal(t, second[name]) for name, t in first.items())


def test_an_swa_leaves_the_statistics_of_the_method_s_own_average_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(classification, "create", lambda *_: Averaged())
    swa = tiny.SWA | {"start_epoch": 1}
    trained = tiny.train(tiny.colour_spec(averaging=swa, checkpoints=[2]), DATA, tmp_path)
    tracked = checkpoint(trained.checkpoints, "2")
    assert all(torch.equal(t, tracked[name]) for name, t in trained.last.items())


@dataclasses.dataclass(frozen=True)
class Shared(Averaged):
    """A part that has the classifier's own first layers, as in distillation with shared weights."""

    def parts(self, network, build):
        other = build()
        other.conv1, other.layer1 = network.conv1, network.layer1
        return {"other": other}

    def deployed(self, learner):
        return learner.network

    def after_epoch(self, learner, epoch):
        pass

    def loss(self, learner, batch):
        return super().loss(learner, batch) + F.cross_entropy(learner.run("other", batch.x), batch.y, reduction="none")


@pytest.mark.parametrize("memory_format", ["contiguous", "auto"])
def test_a_part_may_share_layers_with_the_classifier(memory_format, monkeypatch, tmp_path):
    monkeypatch.setattr(classification, "create", lambda *_: Shared())
    spec = tiny.colour_spec(memory_format=memory_format)
    once = tiny.train(spec, DATA, tmp_path / "once")
    again = tiny.train(spec, DATA, tmp_path / "again", {1, 4})
    assert all(torch.equal(t, again.last[name]) for name, t in once.last.items())


# Parts of other architectures -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Taught(Method):
    """Like LBGAT: the logits of attacked images come near to those of a teacher, which learns beside."""

    PARTS = ("teacher",)

    def parts(self, network, build):
        return {"teacher": build("teacher")}

    def attack(self, steps):
        return PGD(steps=steps)

    def loss(self, learner, batch):
        teacher, (seen,) = learner.features(batch.x, ["bn"], of="teacher")
        assert seen.dim() == 4 and seen.requires_grad
        return {
            "student": (learner(batch.x_adv) - teacher).square().mean(1),
            "teacher": F.cross_entropy(teacher, batch.y, reduction="none"),
        }


def test_a_part_has_the_architecture_that_the_recipe_gives_it(monkeypatch, tmp_path):
    monkeypatch.setattr(classification, "create", lambda *_: Taught())
    spec = tiny.colour_spec() | {"parts": {"teacher": {"family": "preact-resnet", "blocks": [1], "width": 4}}}
    once = tiny.train(spec, DATA, tmp_path / "once")
    again = tiny.train(spec, DATA, tmp_path / "again", {2, 5})
    assert all(torch.equal(t, again.last[name]) for name, t in once.last.items())
    monkeypatch.setattr(passes, "create", lambda *_: Taught())
    assert passes.training_passes("taught", {}, 10)[1] == 2
