"""Batches of training images and of a generator's images: which ones, and what each weighs."""

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from plain import crops, pgd, stream
from test_training_processes import two_processes
from torch import Tensor

from robustlens.data.prepared import Split
from robustlens.errors import RobustlensError
from robustlens.models.weights import build
from robustlens.training.images import Images
from robustlens.training.mixture import Mixture
from robustlens.training.parallel import Processes

DATA, POOL = tiny.random_images((3, 8, 8)), tiny.pool((3, 8, 8), count=17)
CPU = torch.device("cpu")


def spec(method: str = "sat", mix: dict | None = None, **settings: object) -> dict:
    return tiny.colour_spec(method, **settings) | {"mix": tiny.MIX | (mix or {})}


def in_order(count: int, per_epoch: int, epoch: int) -> list[int]:
    """Positions in the pool, for an epoch: one shuffled pass after another."""
    found, number = [], 0
    while len(found) < per_epoch:
        found += torch.randperm(count, generator=stream(f"0/pool/{epoch}/{number}")).tolist()
        number += 1
    return found[:per_epoch]


def pixels(split: Split, where: list[int]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(split.pixels(where)).double(), torch.from_numpy(split.labels[where])


def plain_steps(mix: dict, method: str = "sat") -> dict[str, Tensor]:
    """The weights after an epoch of three steps: every image and each of its losses by itself."""
    torch.manual_seed(0)
    run_spec = spec(method, mix)
    with torch.random.fork_rng():
        torch.manual_seed(int(stream("0/weights").initial_seed()))
        model = build(run_spec["architecture"], 3, 3)
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    ratio, gamma, augmented = (({**tiny.MIX, **mix})[key] for key in ("ratio", "gamma", "augmented"))
    order, per_batch = torch.randperm(25, generator=stream("0/order/1")).tolist(), round(10 * ratio)
    pool_order = in_order(17, 3 * per_batch, 1)
    for step in range(3):
        real = order[10 * step : 10 * step + 10]
        generated = pool_order[per_batch * step :][: max(1, round(ratio * len(real)))]
        random, images, labels, weights = stream(f"0/steps/{step}/0"), [], [], []
        if gamma > 0:
            x, y = pixels(DATA.splits["train"], real)
            images.append(crops(x, random))
            labels.append(y)
            weights += [gamma / len(real)] * len(real)
        if gamma < 1:
            x, y = pixels(POOL, generated)
            images.append(crops(x, random) if augmented else x)
            labels.append(y)
            weights += [(1 - gamma) / len(generated)] * len(generated)
        x, y = torch.cat(images), torch.cat(labels)
        noise = 2 * torch.rand(x.shape, generator=random) - 1
        x_adv = pgd(model, x, y, (x + 16 / 255 * noise).clamp(0, 1), "sat")
        model.train()
        logits = model(x_adv)
        loss = sum(w * F.cross_entropy(logits[n : n + 1], y[n : n + 1]) for n, w in enumerate(weights))
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for n, (p, g) in enumerate(zip(model.parameters(), gradients, strict=True)):
                velocity[n] = 0.9 * velocity[n] + g + 0.0005 * p
                p -= 0.1 * velocity[n]
    return model.state_dict()


MIXES = {
    "as many of both": {},
    "few generated ones": {"ratio": 0.3, "gamma": 0.8},
    "more of them than the pool has": {"ratio": 1.7, "gamma": 0.25},
    "not augmented": {"augmented": False},
    "generated alone": {"gamma": 0.0},
    "real alone": {"gamma": 1.0},
}


@pytest.mark.parametrize("case", MIXES)
@tiny.in_float64()
def test_a_step_weighs_each_image_as_its_source_says(case, tmp_path):
    run = tiny.training(spec(mix=MIXES[case]), DATA, tiny.RunState(tmp_path, "digest"), pool=POOL)
    *_, (_, weights) = tiny.after_each_step(run)
    for name, expected in plain_steps(MIXES[case]).items():
        torch.testing.assert_close(weights[name], expected, **tiny.EQUAL, msg=lambda m, n=name: f"{n}: {m}")


@tiny.in_float64()
def test_equal_parts_weighed_equally_are_the_plain_mean_of_a_batch(tmp_path):
    """As in the released code of PORT, whatever its option says."""
    run = tiny.training(spec(mix={"gamma": 0.5}), DATA, tiny.RunState(tmp_path, "digest"), pool=POOL)
    drawn = run.task._drawn(run.task.mixture.parts(run.task.train, torch.arange(10), 0), stream("any"))
    assert drawn.weights.tolist() == pytest.approx([1 / 20] * 20) and drawn.real == 10
    assert len(drawn.whole) == 20


@pytest.mark.parametrize(("count", "per_batch"), [(7, 4), (40, 4), (4, 4)])
def test_no_image_comes_again_before_all_others_have_come(count, per_batch):
    pool = Split(np.zeros((count, 1, 2, 2), dtype=np.uint8), np.zeros(count, dtype=int), np.arange(count), 255)
    mixture = Mixture(tiny.MIX | {"ratio": per_batch / 10}, pool, 10, 25, 0, Processes(CPU))
    train = Images(DATA.splits["train"], CPU)
    epochs = []
    for epoch in range(2):
        parts = [mixture.parts(train, torch.arange(n), 3 * epoch + step) for step, n in enumerate((10, 10, 5))]
        assert [len(part[1].where) for part in parts] == [per_batch, per_batch, per_batch // 2]
        epochs.append([w for part in parts for w in part[1].where.tolist()])
    for seen in epochs:
        often = np.bincount(seen, minlength=count)
        assert often.max() - often.min() <= 1
    assert epochs[0] != epochs[1]  # shuffled anew
    again = Mixture(tiny.MIX | {"ratio": per_batch / 10}, pool, 10, 25, 0, Processes(CPU))
    assert again.parts(train, torch.arange(10), 4)[1].where.tolist() == epochs[1][per_batch : 2 * per_batch]


def test_classes_are_counted_on_training_images_alone(tmp_path):
    for gamma, expected in ((0.4, np.bincount(DATA.splits["train"].labels).tolist()), (0.0, [0, 0, 0])):
        run = tiny.training(spec(mix={"gamma": gamma}), DATA, tiny.RunState(tmp_path, "digest"), pool=POOL)
        for _ in tiny.after_each_step(run):
            pass
        adversarial = run.task.counts.total[0, 1]
        assert adversarial.tolist() == expected


def test_a_run_resumes_to_the_same_bytes(tmp_path):
    settings = spec("trades", {"ratio": 0.7})
    once = tiny.train(settings, DATA, tmp_path / "once", pool=POOL)
    again = tiny.train(settings, DATA, tmp_path / "again", set(range(1, 6)), pool=POOL)
    for name, value in once.last.items():
        assert torch.equal(value, again.last[name]), name
    assert once.history.equals(again.history)
    other = tiny.train(settings, DATA, tmp_path / "other", pool=tiny.pool((3, 8, 8), count=16))
    assert not torch.equal(once.last["linear.weight"], other.last["linear.weight"])


@tiny.in_float64()
def test_statistics_of_an_swa_are_of_the_generated_images_too(tmp_path):
    """Of these alone here: those that an epoch after the last one would have."""
    swa = tiny.SWA | {"start_epoch": 1}
    run = tiny.training(
        spec("standard", {"gamma": 0, "augmented": False}, averaging=swa),
        DATA,
        tiny.RunState(tmp_path, "digest"),
        pool=POOL,
    )
    with run.loop.state:
        last = run.run().last
    order, first = in_order(17, 30, epoch=3), run.task.averaging.final(run.task.network).conv1
    with torch.no_grad():
        means = [
            first(pixels(POOL, order[n : n + count])[0]).mean((0, 2, 3)) for n, count in ((0, 10), (10, 10), (20, 5))
        ]
    torch.testing.assert_close(last["bn1.running_mean"], torch.stack(means).mean(0), **tiny.EQUAL)


@tiny.in_float64()
def test_two_processes_train_the_network_that_one_would(tmp_path):
    data, pool = tiny.random_images((1, 28, 28)), tiny.pool((1, 28, 28))
    settings = tiny.colour_spec("standard", augmentation={"crop_padding": 0, "flip": False})
    settings |= {"architecture": {"family": "small-cnn", "dropout": 0.0}, "mix": tiny.MIX | {"ratio": 0.5}}
    alone = tiny.train(settings, data, tmp_path / "alone", pool=pool)
    first, second = two_processes(settings, data, tmp_path / "two", pool=pool)
    for name, value in alone.last.items():
        torch.testing.assert_close(first[name], value, **tiny.EQUAL)
        assert torch.equal(first[name], second[name])


@tiny.in_float64()
def test_the_mean_over_a_batch_weighs_the_sources_as_the_loss_does(tmp_path):
    run = tiny.training(spec(mix={"ratio": 0.5, "gamma": 0.8}), DATA, tiny.RunState(tmp_path, "digest"), pool=POOL)
    drawn = run.task._drawn(run.task.mixture.parts(run.task.train, torch.arange(10), 0), stream("any"))
    values = torch.arange(15, dtype=torch.float64)
    expected = 0.8 * sum(range(10)) / 10 + 0.2 * sum(range(10, 15)) / 5
    assert float(run.task._mean(drawn, values)) == pytest.approx(expected, rel=1e-12)


def test_generated_images_alone_must_be_enough_for_all_processes():
    two = Processes(CPU)
    two.count = 2
    with pytest.raises(RobustlensError, match=r"the last batch of an epoch has 1 generated images for 2 processes"):
        Mixture(tiny.MIX | {"gamma": 0.0, "ratio": 0.2}, POOL, 10, 25, 0, two)
    Mixture(tiny.MIX | {"gamma": 0.0, "ratio": 0.4}, POOL, 10, 25, 0, two)


@pytest.mark.parametrize(("ratio", "needed"), [(2.0, 20), (0.04, 0)])
def test_a_pool_that_no_batch_can_be_filled_from_is_refused(ratio, needed, tmp_path):
    message = (
        rf"mix: a batch of 10 real images needs {needed} generated ones, of 17 in the pool of noise; change `ratio`"
    )
    with pytest.raises(RobustlensError, match=message):
        tiny.training(spec(mix={"ratio": ratio}), DATA, tiny.RunState(tmp_path, "digest"), pool=POOL)
