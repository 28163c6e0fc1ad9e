"""Class-wise methods in a training: their radii, their weights and what they leave, and how they resume."""

import math
from itertools import pairwise

import numpy as np
import pytest
import tiny
import torch
from classwise import dafa_by_loops
from torch import Tensor, nn

PARAMETERS = {
    "dafa": {"start_epoch": 1},
    "cfa": {"start_epoch": 1, "threshold": 0.0},
    "frl": {"rate": 2.0, "margin_rate": 4.0},
    "class-weighted-sat": {"strength": 3.0},
}
REMEMBERED = {
    "dafa": {"weight"},
    "cfa": {"radius", "beta", "accepted"},
    "frl": {"natural", "boundary", "margin"},
    "class-weighted-sat": {"weight"},
}
DATA, EPOCHS = tiny.random_images((3, 8, 8)), 3
each_method = pytest.mark.parametrize("name", PARAMETERS)


def spec(name: str) -> dict:
    return tiny.colour_spec(name, epochs=EPOCHS) | {"method": {"name": name, "parameters": PARAMETERS[name]}}


def factors(name: str, memory: nn.Module) -> list[float]:
    """Of the radii of the classes, from what the method remembers."""
    if name == "frl":
        return [min(max(math.exp(2 * v), 0.98), 3.0) for v in memory.margin.tolist()]
    return memory.get_buffer({"dafa": "weight", "cfa": "radius"}[name]).tolist()


@pytest.mark.parametrize("name", ["dafa", "cfa", "frl"])
def test_the_radii_of_classes_reach_the_attack_of_every_step(name, tmp_path):
    run = tiny.made(spec(name), DATA, tmp_path)
    attack, seen = run.task.attack, []

    def watched(learner, x, y, threat, random):
        x_adv = attack(learner, x, y, threat, random)
        radii = [16 / 255 * factors(name, learner.memory)[label] for label in y.tolist()]
        assert threat.epsilon.flatten().tolist() == pytest.approx(radii, rel=1e-6)
        moved = (x_adv - x).abs().flatten(1).amax(1).tolist()
        assert all(m <= r + 1e-6 for m, r in zip(moved, radii, strict=True))
        seen.append((radii, moved))
        return x_adv

    run.task.attack = watched
    with run.loop.state:
        run.run()
    assert len(seen) == EPOCHS * tiny.STEPS_PER_EPOCH
    radii, moved = (np.concatenate([step[k] for step in seen[-tiny.STEPS_PER_EPOCH :]]) for k in (0, 1))
    assert len(set(radii.tolist())) > 1 and (moved > min(radii) + 1e-4).any()  # some go farther than others may


@each_method
def test_what_a_method_remembers_is_part_of_the_state_and_changes(name, tmp_path):
    run = tiny.made(spec(name), DATA, tmp_path)
    state = run.task.learner.state_dict()
    before = {key.removeprefix("memory."): t.clone() for key, t in state.items() if key.startswith("memory.")}
    assert before.keys() == REMEMBERED[name]
    with run.loop.state:
        run.run()
    after = run.task.learner.memory.state_dict()
    assert not any(torch.equal(before[key], after[key]) for key in REMEMBERED[name])


@each_method
def test_a_training_that_is_stopped_in_the_middle_of_epochs_leaves_the_same_bytes(name, tmp_path):
    once = tiny.train(spec(name), DATA, tmp_path / "once")
    again = tiny.train(spec(name), DATA, tmp_path / "again", {2, 4, 8})
    for weights in ("best", "last"):
        for key, value in getattr(once, weights).items():
            assert torch.equal(value, getattr(again, weights)[key]), (weights, key)
    assert once.history.equals(again.history)


@tiny.in_float64()
def test_what_cfa_leaves_is_the_average_over_its_epochs(tmp_path):
    """Every epoch is accepted: w1, then 0.88 A + 0.12 w."""
    run = tiny.made(spec("cfa"), DATA, tmp_path)
    after_epoch, networks = run.task.after_epoch, []

    def watched(epoch: int) -> dict:
        networks.append({key: tensor.clone() for key, tensor in run.task.network.state_dict().items()})
        return after_epoch(epoch)

    run.task.after_epoch = watched
    with run.loop.state:
        left = run.run().last
    assert any(not torch.equal(first[key], second[key]) for first, second in pairwise(networks) for key in first)
    for key, tensor in left.items():
        expected = networks[0][key]
        for network in networks[1:]:
            expected = 0.88 * expected + 0.12 * network[key] if tensor.is_floating_point() else network[key]
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-12)


@tiny.in_float64()
def test_dafa_s_weights_are_those_of_the_softmaxes_of_the_epoch_s_own_passes(tmp_path):
    run = tiny.made(spec("dafa"), DATA, tmp_path)
    network, step, passes, seen = run.task.network, run.task.step, [], []
    network.register_forward_hook(lambda module, _, logits: passes.append((module.training, logits.detach())))

    def watched(batch: Tensor, epoch: int, number: int) -> None:
        passes.clear()
        step(batch, epoch, number)
        if epoch == 1:
            _, adversarial = (logits for training, logits in passes if training)  # the attack is in eval mode
            seen.extend(zip(run.task.train.y[batch].tolist(), adversarial.tolist(), strict=True))

    run.task.step = watched
    with run.loop.state:
        run.run()
    similarity = [[0.0] * 3 for _ in range(3)]
    for label, logits in seen:
        total = sum(math.exp(z) for z in logits)
        for k, z in enumerate(logits):
            similarity[label][k] += math.exp(z) / total / sum(y == label for y, _ in seen)
    assert len(seen) == 25
    assert run.task.learner.memory.weight.tolist() == pytest.approx(dafa_by_loops(similarity, 1.0), abs=1e-12)
