"""Observers of features and of BatchNorm against values by hand, on networks small enough for that, and on AR-AT."""

import itertools
import math
from collections.abc import Iterator

import pytest
import tiny
import torch
import torch.nn.functional as F
from test_arat import arat
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Epoch
from robustlens.learning.observer import Step
from robustlens.models.split_batchnorm import SplitBatchNorm, natural_batchnorm, split
from robustlens.parameters import create, resolve
from robustlens.training.result import statistics_table

pytestmark = pytest.mark.slow

DATA = tiny.random_images((3, 8, 8))
LAYERS = ["layer2.0.bn2", "penultimate"]


class Maps(nn.Module):
    """`norm` normalises the image, `linear` has two classes."""

    def __init__(self, channels: int):
        super().__init__()
        self.layer, self.norm, self.linear = nn.Identity(), nn.BatchNorm2d(channels), nn.Linear(channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(self.layer(x)).mean((2, 3)))


def step(learner: Learner, x: Tensor, x_adv: Tensor) -> Step:
    batch = Batch(x, x_adv, torch.zeros(len(x), dtype=torch.long), epoch=1)
    return Step(learner, batch, {}, lambda *_: [])


def numbers(found) -> dict[str, float]:
    return {name: float(value) for name, value in found.items()}


# Distances of features ----------------------------------------------------------------------------------------------


def test_distance_and_cosine_of_features_by_hand():
    """Two images of two channels and two positions. After ReLU and the mean: (1, 0) and (0, 2), attacked (1, 1) and
    (1.5, 2)."""
    x = torch.tensor([[[[1.0, 1.0]], [[-3.0, 0.0]]], [[[-1.0, 0.0]], [[4.0, -2.0]]]])
    x_adv = torch.tensor([[[[2.0, -5.0]], [[1.0, 1.0]]], [[[3.0, 0.0]], [[2.0, 2.0]]]])
    learner = Learner(Maps(2)).train()
    found = numbers(create("observers", "feature-distance", {"layers": ["layer"]}).of_step(step(learner, x, x_adv), {}))
    distance, cosine = (1 + 1.5) / 2, (1 / math.sqrt(2) + 4 / (2 * 2.5)) / 2
    assert found == pytest.approx(
        {"layer/distance": distance, "layer/cosine": cosine, "mean/distance": distance, "mean/cosine": cosine}
    )


def test_the_means_are_over_the_layers():
    x, x_adv = torch.rand(2, 5, 2, 3, 3)
    learner = Learner(Maps(2)).train()
    observer = create("observers", "feature-distance", {"layers": ["layer", "norm", "penultimate"]})
    found = numbers(observer.of_step(step(learner, x, x_adv), {}))
    for kind in ("distance", "cosine"):
        values = [found[f"{layer}/{kind}"] for layer in ("layer", "norm", "penultimate")]
        assert found[f"mean/{kind}"] == pytest.approx(sum(values) / 3) and len(set(values)) == 3


def test_each_branch_is_by_its_own_batchnorm():
    """The natural one is scaled by 5 and the adversarial one by 1: equal images have other features."""
    network = split(Maps(2))
    with torch.no_grad():
        network.norm.natural.weight.fill_(5.0)
    x = torch.rand(6, 2, 3, 3)
    observer = create("observers", "feature-distance", {"layers": ["layer", "norm"]})
    found = numbers(observer.of_step(step(Learner(network).train(), x, x), {}))
    normalised = F.batch_norm(x, None, None, training=True).relu().mean((2, 3))
    assert found["layer/distance"] == 0 and found["norm/cosine"] == pytest.approx(1)
    assert found["norm/distance"] == pytest.approx(float((4 * normalised).norm(dim=1).mean()), rel=1e-5)


# Drift of features --------------------------------------------------------------------------------------------------


class Shifted(nn.Module):
    """`layer` gives the image plus `shift` per channel. The first class is for bright first channels."""

    def __init__(self, shift: list[float]):
        super().__init__()
        self.layer, self.linear = nn.Identity(), nn.Linear(2, 2, bias=False)
        self.shift = nn.Parameter(torch.tensor(shift).view(2, 1, 1))
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.layer(x + self.shift).mean((2, 3)))


def epoch(number: int, batches: list[tuple[Tensor, Tensor]], seed: int = 0) -> Epoch:
    random = torch.Generator().manual_seed(seed)
    return Epoch(number, Threat("linf", 0.1, 0.1), random, {}, lambda: iter(batches), iter, iter)


IMAGES = [
    (torch.full((2, 2, 1, 1), 0.5), torch.tensor([0, 1])),
    (torch.full((2, 2, 1, 1), 0.3), torch.tensor([0, 0])),
]


def test_drift_by_hand():
    """Three images, at 0.5, 0.5 and 0.3 with classes 0, 1 and 0: the attack moves their first channel to 0.4, 0.6 and
    0.2, and leaves the second one. The network then shifts the channels by 0.1 and 0.3."""
    memory: dict[str, Tensor] = {}
    observer = create("observers", "feature-drift", {"layers": ["layer"], "images": 3, "attack_steps": 2})
    assert observer.of_epoch(Learner(Shifted([0.0, 0.0])), epoch(1, IMAGES), memory) == {}
    before = torch.tensor([[0.4, 0.5], [0.6, 0.5], [0.2, 0.3]])
    torch.testing.assert_close(memory["layer"], before)
    found = numbers(observer.of_epoch(Learner(Shifted([0.1, 0.3])), epoch(2, IMAGES, seed=1), memory))
    now = [(a + 0.1, b + 0.3) for a, b in before.tolist()]
    moved = math.sqrt(3 * (0.1**2 + 0.3**2)) / math.sqrt(sum(a * a + b * b for a, b in before.tolist()))
    cosines = [
        (a * c + b * d) / math.hypot(a, b) / math.hypot(c, d)
        for (a, b), (c, d) in zip(before.tolist(), now, strict=True)
    ]
    cosine = sum(cosines) / 3
    assert found == pytest.approx(
        {"layer/moved": moved, "layer/cosine": cosine, "mean/moved": moved, "mean/cosine": cosine}, rel=1e-5
    )
    torch.testing.assert_close(memory["layer"], torch.tensor(now))  # what the next epoch is compared with


@pytest.mark.parametrize(("images", "used"), [(1, 1), (2, 2), (4, 4), (9, 4)])
def test_the_drift_is_of_the_first_images_or_of_all(images, used):
    memory: dict[str, Tensor] = {}
    create("observers", "feature-drift", {"images": images}).of_epoch(
        Learner(Shifted([0.0, 0.0])), epoch(1, IMAGES), memory
    )
    assert list(memory) == ["penultimate"] and memory["penultimate"].shape == (used, 2)


def test_the_drift_of_a_run_is_that_between_the_networks_of_its_epochs(tmp_path):
    """Attacks and features by the adversarial BatchNorm in eval mode, here with the networks as they are deployed."""
    observers = {"feature-drift": {"layers": LAYERS, "images": 8, "attack_steps": 3}}
    run = tiny.made(arat() | {"observers": observers}, DATA, tmp_path)
    networks, after = [], run.task.observing.of_epoch

    def watched(moment: Epoch) -> None:
        after(moment)
        networks.append(run.task._deployed(run.task.network).tracked.eval())

    run.task.observing.of_epoch = watched
    with run.loop.state:
        found = run.run().statistics.query("epoch == 2").set_index("statistic")["value"]
    features = []
    x, y = torch.from_numpy(DATA.splits["train"].pixels()[:8]), torch.from_numpy(DATA.splits["train"].labels[:8])
    for network in networks:
        x_adv = PGD(steps=3, start="image")(network, x, y, run.task.threat, torch.Generator())
        with torch.no_grad():
            outputs = Learner(network).features(x_adv, LAYERS)[1]
        features.append([outputs[0].relu().mean((2, 3)), outputs[1]])
    for layer, before, now in zip(LAYERS, *features, strict=True):
        assert found[f"{layer}/moved"] == pytest.approx(float((now - before).norm() / before.norm()), rel=1e-4)
        assert found[f"{layer}/cosine"] == pytest.approx(float(F.cosine_similarity(now, before).mean()), rel=1e-5)
        assert found[f"{layer}/moved"] > 0.01


# The mixture of natural and attacked images in BatchNorm ------------------------------------------------------------


def by_hand(x: Tensor) -> list[tuple[float, float]]:
    """Mean and variance of each channel."""
    found = []
    for channel in range(x.shape[1]):
        values = x[:, channel].flatten().tolist()
        mean = sum(values) / len(values)
        found.append((mean, sum((v - mean) ** 2 for v in values) / len(values)))
    return found


@pytest.mark.parametrize("halved", [False, True], ids=["shared", "split"])
def test_distances_of_means_and_variances_by_hand(halved):
    x, x_adv = torch.rand(2, 5, 2, 3, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 4.0]).view(
        2, 1, 1
    )
    network = split(Maps(2)) if halved else Maps(2)
    memory: dict[str, Tensor] = {}
    observer = create("observers", "batchnorm-mixture", {})
    found = numbers(observer.of_step(step(Learner(network).train(), x, x_adv), memory))
    pairs = list(zip(by_hand(x), by_hand(x_adv), strict=True))
    means = sum((b - a) ** 2 / ((v + w) / 2 + 1e-5) for (a, v), (b, w) in pairs) / 2
    variances = sum(abs(math.log((w + 1e-5) / (v + 1e-5))) for (_, v), (_, w) in pairs) / 2
    expected = {"norm/means": means, "norm/variances": variances, "mean/means": means, "mean/variances": variances}
    assert found == pytest.approx(expected, rel=1e-5)
    kinds = ["norm/adversarial", "norm/natural"] if halved else ["norm"]
    assert set(memory) == {f"{kind}/{what}" for kind in kinds for what in ("mean", "variance")}


def test_equal_images_have_no_distance_and_dead_channels_a_finite_one():
    x = torch.zeros(4, 2, 3, 3)
    x[:, 0] = torch.rand(4, 3, 3)
    observer = create("observers", "batchnorm-mixture", {})
    found = numbers(observer.of_step(step(Learner(Maps(2)).train(), x, x), {}))
    assert found["norm/means"] == 0 and found["norm/variances"] == 0
    found = numbers(observer.of_step(step(Learner(Maps(2)).train(), x, x + 0.5), {}))
    assert all(map(math.isfinite, found.values())) and found["norm/means"] > 1


def test_the_movement_of_running_statistics_by_hand():
    """Of each of a pair since the step before: means from (0, 1) to (0.3, 1.4) at variances of 4 and 0.25."""
    network, observer, memory = split(Maps(2)), create("observers", "batchnorm-mixture", {}), {}
    x = torch.rand(4, 2, 3, 3)
    norms = network.norm.adversarial, network.norm.natural
    norms[0].running_mean.copy_(torch.tensor([0.0, 1.0]))
    norms[0].running_var.copy_(torch.tensor([4.0, 0.25]))
    first = numbers(observer.of_step(step(Learner(network).train(), x, x), memory))
    assert not any("running" in name for name in first)
    norms[0].running_mean.copy_(torch.tensor([0.3, 1.4]))
    norms[0].running_var.copy_(torch.tensor([2.0, 0.5]))
    norms[1].running_mean.zero_()
    norms[1].running_var.fill_(1.0)
    found = numbers(observer.of_step(step(Learner(network).train(), x, x), memory))
    moved = math.sqrt((0.3**2 / (4 + 1e-5) + 0.4**2 / (0.25 + 1e-5)) / 2)
    assert found["norm/adversarial/running-mean"] == pytest.approx(moved, rel=1e-5)
    assert found["norm/adversarial/running-variance"] == pytest.approx(math.log(2), rel=1e-4)
    assert found["norm/natural/running-mean"] == 0 and found["norm/natural/running-variance"] == 0
    assert found["mean/adversarial/running-mean"] == found["norm/adversarial/running-mean"]
    assert memory["norm/adversarial/mean"].tolist() == pytest.approx([0.3, 1.4])


def steps(run, count: int) -> Iterator[tuple[int, dict[str, Tensor]]]:
    return itertools.islice(tiny.after_each_step(run, epochs=2), count)


@pytest.mark.parametrize("halved", [True, False], ids=["split", "shared"])
def test_of_a_run_inputs_and_running_statistics_are_those_of_its_layers(halved, tmp_path):
    """The inputs of the second BatchNorm and the movement of the first one's statistics, from the first step on, with
    statistics as they are between the loss and the descent."""
    spec = arat({"split_batchnorm": halved}) | {"observers": {"batchnorm-mixture": {"every": 2}}}
    run, seen = tiny.made(spec, DATA, tmp_path), []
    original = run.task.observing.of_step

    def watched(batch: Batch, terms, weights, number: int) -> None:
        state = {key: t.clone() for key, t in run.task.network.state_dict().items()}
        original(batch, terms, weights, number)
        seen.append((batch, state))

    run.task.observing.of_step = watched
    for _ in steps(run, 3):
        pass
    found = statistics_table(run.task.observing.rows).query("step == 3").set_index("statistic")["value"]
    (_, then), _, (batch, now) = seen
    kinds = ["/adversarial", "/natural"] if halved else [""]
    for kind in kinds:
        place = f"bn1{kind.replace('/', '.')}"
        mean, before, spread = now[f"{place}.running_mean"], then[f"{place}.running_mean"], then[f"{place}.running_var"]
        expected = float(((mean - before) ** 2 / (spread + 1e-5)).mean().sqrt())
        assert found[f"bn1{kind}/running-mean"] == pytest.approx(expected, rel=1e-5) and expected > 0
    network = run.task.network
    network.load_state_dict(now)
    given: list[Tensor] = []
    network.layer1[0].bn1.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach()))
    with torch.no_grad():
        network.train()(batch.x_adv)
        with natural_batchnorm(network):
            network(batch.x)
    pairs = list(zip(by_hand(given[1]), by_hand(given[0]), strict=True))
    means = sum((b - a) ** 2 / ((v + w) / 2 + 1e-5) for (a, v), (b, w) in pairs) / len(pairs)
    assert found["layer1.0.bn1/means"] == pytest.approx(means, rel=1e-3)
    norms = [name for name, m in network.named_modules() if isinstance(m, SplitBatchNorm if halved else nn.BatchNorm2d)]
    assert {name.split("/")[0] for name in found.index} == {*norms, "mean"}
    assert len(found) == (len(norms) + 1) * (2 + 2 * len(kinds))


def test_a_network_without_batchnorm_is_refused(tmp_path):
    images = tiny.random_images((1, 28, 28))
    spec = tiny.colour_spec() | tiny.SMALL_CNN | {"observers": {"batchnorm-mixture": {}}}
    with pytest.raises(RobustlensError, match="batchnorm-mixture: the network has no BatchNorm of maps"):
        tiny.train(spec, images, tmp_path)


# Together -----------------------------------------------------------------------------------------------------------


ALL = {
    "gradient-conflict": {"every": 2},
    "loss-terms": {"every": 2},
    "feature-distance": {"layers": LAYERS, "every": 2},
    "feature-drift": {"layers": LAYERS, "images": 12, "attack_steps": 2},
    "batchnorm-mixture": {"every": 2},
}


@pytest.mark.parametrize(
    "parameters", [{}, {"split_batchnorm": False, "start": "as-released"}], ids=["split", "shared"]
)
def test_a_training_by_ar_at_has_the_same_bytes_with_all_of_them_and_they_resume_with_it(parameters, tmp_path):
    settings = {"attack_batchnorm": "train"}
    plain = tiny.train(arat(parameters, **settings), DATA, tmp_path / "plain")
    spec = arat(parameters, **settings) | {"observers": ALL}
    watched = tiny.train(spec, DATA, tmp_path / "watched")
    resumed = tiny.train(spec, DATA, tmp_path / "resumed", {1, 2, 4, 5})
    for one in (watched, resumed):
        for weights in ("best", "last", "checkpoints"):
            ours, theirs = getattr(plain, weights), getattr(one, weights)
            assert ours.keys() == theirs.keys() and all(torch.equal(t, theirs[key]) for key, t in ours.items())
        assert plain.history.equals(one.history)
    assert watched.statistics.equals(resumed.statistics) and set(watched.statistics["observer"]) == set(ALL)
    assert watched.statistics["value"].map(math.isfinite).all()


@pytest.mark.parametrize("name", ["feature-distance", "feature-drift"])
def test_layers_must_be_there(name, tmp_path):
    with pytest.raises(RobustlensError, match=f"observers.{name}: layers is empty"):
        create("observers", name, {"layers": []})
    run = tiny.made(tiny.colour_spec() | {"observers": {name: {"layers": ["layer9"]}}}, DATA, tmp_path)
    with pytest.raises(RobustlensError, match="the network has no layer 'layer9'; did you mean 'layer"):
        next(tiny.after_each_step(run))
    assert resolve("observers", name, {}, "here")["layers"] == ["penultimate"]
