"""Training of discriminators: what a step sees and does, the same bytes again, and what is refused."""

import math

import numpy as np
import pytest
import torch
from discriminating import Forgotten, perceptron, settings, two_sides
from torch import Tensor, nn

from robustlens.discrimination import discriminator
from robustlens.discrimination.accuracy import balanced_accuracy
from robustlens.discrimination.adam import Adam
from robustlens.discrimination.discriminator import Discriminator, Training, train
from robustlens.discrimination.sides import REAL
from robustlens.errors import RobustlensError
from robustlens.models.inference import InferenceModel
from robustlens.parameters import create, names, resolve
from robustlens.training.loop import Interrupted
from robustlens.training.state import RunState

EPSILONS, STEPS = (0, 0.1, 0.3), 6


def training(seed: int = 0, **more: object) -> Training:
    arguments = {"epsilons": EPSILONS, "steps": STEPS, "parts": two_sides(), "build": perceptron} | more
    return Training(arguments.pop("settings", settings()), seed=seed, **arguments)


def same(first: list[dict[str, Tensor]], second: list[dict[str, Tensor]]) -> bool:
    return [{name: t.numpy().tobytes() for name, t in weights.items()} for weights in first] == [
        {name: t.numpy().tobytes() for name, t in weights.items()} for weights in second
    ]


# Steps ------------------------------------------------------------------------------------------------------------


def test_adam_is_that_of_its_paper_by_hand():
    network, random = perceptron(), np.random.default_rng(0)
    start = [p.detach().numpy().astype(np.float64).ravel() for p in network.parameters()]
    gradients = [[random.standard_normal(w.size) for w in start] for _ in range(5)]
    adam = Adam(network)
    for number, given in enumerate(gradients):
        shaped = [torch.from_numpy(g).float().view_as(p) for g, p in zip(given, network.parameters(), strict=True)]
        adam.step(shaped, 0.1 / (number + 1))
    for parameter, weights, *given in zip(network.parameters(), start, *gradients, strict=True):
        for position, weight in enumerate(weights):
            mean = square = 0.0
            for number, gradient in enumerate(given):
                g = float(np.float32(gradient[position]))
                mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g * g
                corrected = mean / (1 - 0.9 ** (number + 1)), square / (1 - 0.999 ** (number + 1))
                weight -= 0.1 / (number + 1) * corrected[0] / (math.sqrt(corrected[1]) + 1e-8)
            assert parameter.flatten()[position].item() == pytest.approx(weight, abs=2e-6)


def test_batches_hold_as_many_real_as_generated_images_and_use_all_of_them_alike(monkeypatch):
    seen = []

    def unmoved(model, x, y, norm, epsilon, steps, noise):
        seen.append((x.clone(), y.clone(), norm, epsilon, steps))
        return x

    monkeypatch.setattr(discriminator, "attacked", unmoved)
    task = training(steps=15)
    train(task, Forgotten())
    assert [(norm, steps) for *_, norm, _, steps in seen] == [("l2", 2)] * 45
    assert [epsilon for *_, epsilon, _ in seen] == [0] * 15 + [0.1] * 15 + [0.3] * 15
    for label, side in enumerate(task.train):
        assert all((y == label).sum() == 8 for _, y, *_ in seen)
        own = {image.numpy().tobytes(): 0 for image in side.batch(torch.arange(len(side)))}
        for x, y, *_, epsilon, _ in seen:
            for image in x[y == label] if epsilon == 0 else ():
                own[image.numpy().tobytes()] += 1  # a KeyError: it is of the other side
        assert len(own) == len(side) == (24 if label == REAL else 40)
        assert max(own.values()) - min(own.values()) <= 1 and sum(own.values()) == 15 * 8
    assert len({y.numpy().tobytes() for _, y, *_ in seen}) == 1 and len({x.numpy().tobytes() for x, *_ in seen}) == 45


def test_few_steps_see_images_from_all_over_and_the_next_radius_sees_others(monkeypatch):
    """Images stand class after class, and fewer are drawn at a radius than there are."""
    seen = []

    def unmoved(model, x, y, norm, epsilon, steps, noise):
        seen.append((epsilon, {image.numpy().tobytes() for image in x[y != REAL]}))
        return x

    monkeypatch.setattr(discriminator, "attacked", unmoved)
    task = training(epsilons=(0.0, 0.1), steps=2)
    train(task, Forgotten())
    place = {image.numpy().tobytes(): n for n, image in enumerate(task.train.generated.batch(torch.arange(40)))}
    by_radius = [[place[image] for at, images in seen if at == radius for image in images] for radius in (0.0, 0.1)]
    assert [len(set(places)) for places in by_radius] == [16, 16] and not set(by_radius[0]) & set(by_radius[1])
    assert all(min(places) < 10 and max(places) >= 30 for places in by_radius)


def test_each_discriminator_begins_with_the_weights_of_the_one_before_a_full_rate_and_a_fresh_adam(monkeypatch):
    task, rates, counts, starts = training(), [], [], []

    class Watched(Adam):
        def step(self, gradients, learning_rate):
            if task.adam.state["count.1.weight"] == 0:
                starts.append({name: t.clone() for name, t in task.network.state_dict().items()})
            super().step(gradients, learning_rate)
            rates.append(learning_rate)
            counts.append(int(task.adam.state["count.1.weight"]))

    monkeypatch.setattr(discriminator, "Adam", Watched)
    before = {name: t.clone() for name, t in task.network.state_dict().items()}
    finished = train(task, Forgotten())
    assert same(starts, [before, *finished[:-1]]) and not same(finished[:1], finished[1:2])
    assert rates == pytest.approx([0.002 * (6 - step) / 6 for step in range(6)] * 3)
    assert counts == [1, 2, 3, 4, 5, 6] * 3


def test_a_step_descends_the_cross_entropy_of_attacked_images_in_train_mode(monkeypatch):
    modes = []

    def shifted(model, x, y, norm, epsilon, steps, noise):
        modes.append(task.network.training)
        assert not any(p.requires_grad for p in task.network.parameters())
        return x.flip(3) * 0.5

    monkeypatch.setattr(discriminator, "attacked", shifted)
    task = training(epsilons=(0.1,), steps=1)
    network = perceptron()
    network.load_state_dict(task.network.state_dict())
    x = torch.cat([images.batch(order[:8]) for images, order in zip(task.train, task.orders, strict=True)])
    logits = network(x.flip(3) * 0.5)
    loss = sum(-logits[row].log_softmax(0)[int(row >= 8)] for row in range(16)) / 16
    loss.backward()
    task.step(torch.arange(8), 1, 0)
    assert modes == [False] and task.network.training
    for own, expected in zip(task.network.parameters(), network.parameters(), strict=True):
        # The first step of Adam moves every weight by the rate, against the sign of its gradient.
        clear = expected.grad.abs() > 1e-5
        moved = (own - expected).detach()[clear]
        torch.testing.assert_close(moved, -0.002 * expected.grad[clear].sign(), rtol=1e-2, atol=1e-6)


def test_given_weights_are_where_the_first_discriminator_begins():
    given = {name: t + 0.5 for name, t in training().network.state_dict().items()}
    assert same([training(start_from=given).network.state_dict()], [given])
    one = train(training(epsilons=(0.1,), start_from=given), Forgotten())
    assert len(one) == 1 and not same(one, train(training(epsilons=(0.1,)), Forgotten()))


def test_training_tells_the_sides_apart_and_measures_them_at_every_radius():
    chosen = settings(learning_rate=0.02)
    task = training(settings=chosen, steps=60)
    before = balanced_accuracy(InferenceModel(task.network), task.validation, "l2", 0, 2, 0)
    reports = []
    finished = train(task, Forgotten(), report=lambda *facts: reports.append(facts))
    assert task.measured[0][0] > max(before, 0.7)
    assert np.shape(task.measured) == (3, 3)
    for weights, row in zip(finished, task.measured, strict=True):
        network = perceptron()
        network.load_state_dict(weights)
        expected = [balanced_accuracy(InferenceModel(network), task.validation, "l2", e, 2, 0) for e in EPSILONS]
        assert row == expected
    assert reports == [(n + 1, 3, {"epsilon": EPSILONS[n], "accuracy": task.measured[n][n]}) for n in range(3)]


# The same bytes ---------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_whatever_was_drawn_before_and_another_seed_others():
    first, task = train(training(), Forgotten()), training()
    torch.manual_seed(9)
    kept = torch.get_rng_state()
    again = training()
    assert torch.equal(kept, torch.get_rng_state())
    assert same(first, train(again, Forgotten())) and same(first, train(task, Forgotten()))
    assert not same(first, train(training(seed=1), Forgotten()))


@pytest.mark.parametrize("stops", [(1,), (6,), (7, 12, 13), (17,)])
def test_a_training_that_is_stopped_and_resumed_gives_the_bytes_of_one_that_was_not(stops, tmp_path):
    whole = training()
    expected = train(whole, Forgotten())
    for stop in stops:
        task, asked = training(), iter(range(1, 100))
        with RunState(tmp_path, "digest") as state, pytest.raises(Interrupted):
            done = 0 if state.load() is None else state.load()[1]["progress"]
            done = done and done["epoch"] * STEPS + done["step"]
            train(task, state, stop=lambda asked=asked, left=stop - done: next(asked) >= left)
    with RunState(tmp_path, "digest") as state:
        task = training()
        assert same(train(task, state), expected) and task.measured == whole.measured


def channels_last() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3, padding=1), nn.Flatten(), nn.Linear(32, 2)
    )


def test_a_convolutional_network_goes_on_with_moments_laid_out_as_its_weights(tmp_path):
    """The fused form of Adam would take those of other weights, without a word."""
    expected = train(training(build=channels_last), Forgotten())
    asked = iter(range(1, 100))
    with RunState(tmp_path, "digest") as state, pytest.raises(Interrupted):
        train(training(build=channels_last), state, stop=lambda: next(asked) >= 4)
    with RunState(tmp_path, "digest") as state:
        task = training(build=channels_last)
        assert not task.network[2].weight.is_contiguous()
        assert same(train(task, state), expected)


def test_gradients_of_another_layout_give_the_same_step():
    gradient = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    stepped = []
    for laid_out in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(4, 8, 3, bias=False)).to(memory_format=torch.channels_last)
        Adam(network).step([gradient.contiguous(memory_format=laid_out)], 0.1)
        stepped.append(network[0].weight.detach())
    assert torch.equal(*stepped)


def test_finished_discriminators_are_kept_when_a_job_is_killed(tmp_path):
    class Killed(Exception):
        pass

    def kill(epoch, *_):
        if epoch == 2:
            raise Killed

    with RunState(tmp_path, "digest") as state, pytest.raises(Killed):
        train(training(), state, report=kill)
    with RunState(tmp_path, "digest") as state:
        task, reported = training(), []
        assert same(train(task, state, report=lambda epoch, *_: reported.append(epoch)), train(training(), Forgotten()))
        assert reported == [3]
        done, reported = training(), []
        assert same(train(done, state, report=lambda epoch, *_: reported.append(epoch)), task.finished)
        assert reported == []


# Parameters -------------------------------------------------------------------------------------------------------


def test_the_discriminator_is_the_only_component_and_is_made_of_its_parameters():
    assert names("discrimination") == ["discriminator"]
    made = create("discrimination", "discriminator", {"norm": "linf", "epsilons": [0, 0.01], "steps": [5, 9]})
    assert made == Discriminator("linf", (0, 0.01), (5, 9))


@pytest.mark.parametrize("epsilons", [(0.1, 0.2), (0, 0.2, 0.1), (0, 0.1, 0.1), (0,), (-0.1, 0.1)])
def test_radii_that_do_not_ascend_from_0_are_refused(epsilons):
    with pytest.raises(RobustlensError, match=r"^discriminator.epsilons: must be two or more radii, ascending from 0"):
        settings(epsilons=epsilons)


def test_numbers_of_steps_are_above_0_and_different():
    with pytest.raises(RobustlensError, match=r"^here.steps: must be a list of whole numbers above 0, got \[0, 5\]$"):
        resolve("discrimination", "discriminator", {"norm": "l2", "epsilons": [0, 1], "steps": [0, 5]}, "here")
    with pytest.raises(RobustlensError, match=r"^discriminator.steps: must be above 0, got 0$"):
        training(steps=0)
    with pytest.raises(
        RobustlensError, match=r"^discriminator.steps: names a number twice, got \[5, 5\]; take one out"
    ):
        settings(steps=(5, 5))


@pytest.mark.parametrize(("real", "generated", "side", "left"), [(15, 100, "real", 6), (60, 15, "generated", 6)])
def test_fewer_images_than_a_batch_are_refused(real, generated, side, left):
    with pytest.raises(
        RobustlensError,
        match=rf"^discriminator.batch_size: a batch has 8 {side} images, and there are only {left} to train on; lower",
    ):
        training(parts=two_sides(real=real, generated=generated))


def test_weights_that_are_not_finite_are_refused():
    with pytest.raises(RobustlensError, match=r"^the discriminator of radius 0 has weights that are not finite; lower"):
        train(training(settings=settings(learning_rate=1e38)), Forgotten())
