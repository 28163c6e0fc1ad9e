"""Runs that build on other runs: weights to start from, and frozen networks that a method is given."""

import dataclasses
from pathlib import Path

import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import nn

from robustlens.attacks.pgd import PGD
from robustlens.errors import RobustlensError
from robustlens.learning.method import Method
from robustlens.models.weights import build, load_model, save_weights
from robustlens.training import classification, networks
from robustlens.training.engine import Engine
from robustlens.training.run import run_digest

DATA = tiny.random_images((3, 8, 8))
OTHER = {"family": "preact-resnet", "blocks": [1], "width": 4}
ENGINE = Engine("float32", "contiguous", compile=False)


@dataclasses.dataclass(frozen=True)
class Distilled(Method):
    """Cross-entropy towards the class that a given helper sees in the adversarial image (as in HAT)."""

    GIVEN = ("helper",)

    def attack(self, steps):
        return PGD(steps=steps)

    def loss(self, learner, batch):
        with torch.no_grad():
            helped = learner.run("helper", batch.x_adv)
        assert not learner.training or not helped.requires_grad
        return F.cross_entropy(learner(batch.x_adv), helped.argmax(1), reduction="none")


def weights(folder: Path, architecture: dict, seed: int = 3) -> Path:
    torch.manual_seed(seed)
    network, path = build(architecture, 3, 3), folder / f"{seed}.safetensors"
    with torch.no_grad():
        for layer in network.modules():  # running statistics that tell eval mode from train mode
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.uniform_(-0.5, 0.5)
                layer.running_var.uniform_(0.5, 2)
    save_weights(network.state_dict(), path)
    return path


def restored(path: Path, architecture: dict) -> nn.Module:
    return load_model(path, architecture, 3, 3)


def distilling(monkeypatch) -> dict:
    monkeypatch.setattr(classification, "create", lambda *_: Distilled())
    return tiny.colour_spec() | {
        "given": {"helper": {"recipe": "standard", "checkpoint": "best", "architecture": OTHER}}
    }


@tiny.in_float64()
def test_a_given_network_is_frozen_in_eval_mode_and_no_part_of_the_state(monkeypatch, tmp_path):
    spec, file = distilling(monkeypatch), weights(tmp_path, OTHER)
    run = tiny.training(spec, DATA, tiny.RunState(tmp_path / "state", "digest"), weights={"helper": file})
    assert not any("helper" in name for name in (*run.task.tensors(), *run.task.descent.parameters))
    expected = restored(file, OTHER)
    x = torch.rand(4, 3, 8, 8)
    run.task.learner.train()
    before = run.task.learner.run("helper", x).clone()
    torch.testing.assert_close(before, expected(x), **tiny.EQUAL)
    for _ in tiny.after_each_step(run, epochs=2):
        pass
    run.task.learner.train()
    assert torch.equal(run.task.learner.run("helper", x), before)  # neither weights nor statistics have moved


def test_a_run_with_a_given_network_resumes_to_the_same_bytes_and_depends_on_it(monkeypatch, tmp_path):
    spec, file = distilling(monkeypatch), weights(tmp_path, OTHER)
    once = tiny.train(spec, DATA, tmp_path / "once", weights={"helper": file})
    again = tiny.train(spec, DATA, tmp_path / "again", set(range(1, 7)), weights={"helper": file})
    other = tiny.train(spec, DATA, tmp_path / "other", weights={"helper": weights(tmp_path, OTHER, seed=4)})
    assert all(torch.equal(t, again.last[name]) for name, t in once.last.items())
    assert any(not torch.equal(t, other.last[name]) for name, t in once.last.items())


def test_a_run_starts_from_weights_and_statistics_and_its_parts_do_not(tmp_path):
    spec = tiny.colour_spec() | {"start_from": {"recipe": "standard", "checkpoint": "last"}}
    file = weights(tmp_path, spec["architecture"])
    run = tiny.training(spec, DATA, tiny.RunState(tmp_path / "state", "digest"), weights={"start_from": file})
    expected = restored(file, spec["architecture"]).state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in run.task.network.state_dict().items())

    class Taught(Method):
        def parts(self, network, build):
            return {"teacher": build()}

        def loss(self, learner, batch):
            return learner(batch.x).square().mean(1)

    fresh_spec = {key: value for key, value in spec.items() if key != "start_from"}
    _, parts, _ = networks.fresh(spec, Taught(), DATA, torch.device("cpu"), file)
    assert not torch.equal(parts["teacher"].conv1.weight, expected["conv1.weight"])
    network, _, _ = networks.fresh(fresh_spec, Taught(), DATA, torch.device("cpu"))
    assert not torch.equal(network.conv1.weight, expected["conv1.weight"])


def test_a_run_that_starts_from_weights_resumes_to_the_same_bytes(tmp_path):
    spec = tiny.colour_spec() | {"start_from": {"recipe": "standard", "checkpoint": "last"}}
    file = {"start_from": weights(tmp_path, spec["architecture"])}
    once = tiny.train(spec, DATA, tmp_path / "once", weights=file)
    again = tiny.train(spec, DATA, tmp_path / "again", {1, 4}, weights=file)
    assert all(torch.equal(t, again.last[name]) for name, t in once.last.items())


def test_weights_of_another_architecture_are_refused_with_their_file(tmp_path):
    spec = tiny.colour_spec() | {"start_from": {"recipe": "standard", "checkpoint": "last"}}
    with pytest.raises(RobustlensError, match=r"3\.safetensors: not the weights of"):
        tiny.training(spec, DATA, tiny.RunState(tmp_path, "digest"), weights={"start_from": weights(tmp_path, OTHER)})


def test_the_digest_of_a_run_tells_what_it_was_made_from():
    digests = {
        run_digest(tiny.SPEC, DATA, ENGINE, 1, torch.device("cpu"), others)
        for others in ({}, {"helper": "a"}, {"helper": "b"}, {"start_from": "a"})
    }
    assert len(digests) == 4
