"""The diffusion model against its equations: schedule, loss, average, sampler; and fits that are resumed."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from robustlens.errors import RobustlensError
from robustlens.generators.ddpm import DDPM, Denoising, Fitted
from robustlens.generators.denoisers import MLP
from robustlens.generators.work import Work
from robustlens.seeds import generator
from robustlens.training.loop import Interrupted
from robustlens.training.state import RunState

SHAPE, CLASSES = (1, 2, 3), 3
SMALL = DDPM("mlp", width=16, depth=1, steps=30, batch_size=8, learning_rate=0.01, ema_decay=0.99, levels=50)
CPU = torch.device("cpu")


def images(count: int = 20) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.random((count, *SHAPE)).astype(np.float32), np.arange(count) % CLASSES


def kept(level: int, levels: int) -> float:
    """a of the cosine schedule (Nichol and Dhariwal, eq. 17), where a beta is at most 0.999; level from 0."""

    def f(t: float) -> float:
        return math.cos((t / levels + 0.008) / 1.008 * math.pi / 2) ** 2

    product = 1.0
    for step in range(level + 1):
        product *= 1 - min(1 - f(step + 1) / f(step), 0.999)
    return product


def test_the_schedule_is_the_cosine_s():
    task = Denoising(SMALL, *images(), CLASSES, 0, CPU)
    expected = [kept(level, 50) for level in range(50)]
    np.testing.assert_allclose(task.schedule.alphas_cumprod.numpy(), expected, rtol=1e-4, atol=1e-8)


def test_a_step_is_adamw_s_on_the_squared_error_of_the_noise():
    """By hand, in float64, with the noise and the levels that the step draws."""
    pixels, labels = images()
    settings = replace(SMALL, weight_decay=0.1, learning_rate=0.02)
    task = Denoising(settings, pixels, labels, CLASSES, 7, CPU)
    before = copy.deepcopy(task.network).double()
    task.step(torch.tensor([3, 1, 25]), 2, 5)
    order = torch.randperm(20, generator=generator(7, "images"))
    # The second of 15 rounds goes on where the first one ended: after 30 / 15 x 8 = 16 draws.
    where = [int(order[(16 + draw) % 20]) for draw in (3, 1, 25)]
    random = generator(7, "step", 5)
    noise = torch.randn((3, *SHAPE), generator=random).double()
    levels = torch.randint(50, (3,), generator=random)
    before.zero_grad()
    loss = torch.zeros((), dtype=torch.float64)
    for row, image in enumerate(where):
        a = kept(int(levels[row]), 50)
        x = 2 * torch.tensor(pixels[image], dtype=torch.float64) - 1
        noisy = math.sqrt(a) * x + math.sqrt(1 - a) * noise[row]
        found = before(noisy[None], levels[row : row + 1], torch.tensor([labels[image]]))
        loss = loss + ((found[0] - noise[row]) ** 2).sum() / (3 * 6)
    loss.backward()
    assert task.losses.tolist() == pytest.approx([loss.item(), 1.0], rel=1e-4)
    norm = math.sqrt(sum(float((p.grad**2).sum()) for p in before.parameters()))
    for (name, now), old in zip(task.network.named_parameters(), before.parameters(), strict=True):
        gradient = old.grad * min(1.0, 1.0 / norm)
        # Of AdamW's first step: m / (1 - b1) = g, v / (1 - b2) = g^2.
        expected = old * (1 - 0.02 * 0.1) - 0.02 * gradient / (gradient.abs() + 1e-8)
        moving = gradient.abs() > 1e-5  # elsewhere single precision and 1e-8 decide
        torch.testing.assert_close(now.double()[moving], expected[moving], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("steps", [1, 7, 20, 21, 23, 30, 130, 100000])
def test_all_rounds_together_have_the_steps_that_are_stated(steps):
    task = Denoising(replace(SMALL, steps=steps), *images(), CLASSES, 0, CPU)
    assert task.rounds * task.images == steps * SMALL.batch_size
    assert task.rounds <= 20 and (task.rounds == 20 or steps % 20)


def test_the_average_has_the_decay_that_is_stated():
    task = Denoising(replace(SMALL, ema_decay=0.3), *images(), CLASSES, 0, CPU)
    expected = [p.detach().clone().double() for p in task.average.parameters()]
    for number in range(4):
        task.step(torch.arange(8), 1, number)
        decay = min(0.3, (1 + number) / (10 + number))  # 0.1, 0.18, 0.25, 0.3
        expected = [
            decay * e + (1 - decay) * p.double() for e, p in zip(expected, task.network.parameters(), strict=True)
        ]
    for found, value in zip(task.average.parameters(), expected, strict=True):
        torch.testing.assert_close(found.double(), value.detach(), rtol=1e-5, atol=1e-7)


def test_half_of_the_images_are_mirrored_where_it_is_asked_for():
    seen = []

    class Remembering(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, x, level, label):
            seen.append(x.detach())
            return self.network(x, level, label)

    pixels, labels = images(1)
    task = Denoising(replace(SMALL, flip=True, levels=1000), pixels, labels, CLASSES, 0, CPU)
    task.schedule.add_noise = lambda x, noise, level: x
    task.network = Remembering(task.network)
    task.step(torch.zeros(400, dtype=torch.int64), 1, 0)
    x = torch.from_numpy(pixels) * 2 - 1
    as_it_is, mirrored = ((seen[0] == other).flatten(1).all(1) for other in (x, x.flip(-1)))
    assert (as_it_is | mirrored).all() and 150 < mirrored.sum() < 250


def test_ddim_with_eta_0_by_hand():
    """Song et al., eq. 12 with sigma 0, in float64: the image that is predicted is clipped, and the noise follows from
    it. The last step ends at the image."""
    settings = replace(SMALL, levels=50, sampling_steps=5)
    network = MLP(SHAPE, 16, 1, CLASSES)
    drawn = Fitted(settings, network, SHAPE, CPU).sample(2, 4, np.random.default_rng(3))
    x = np.random.default_rng(3).standard_normal((4, *SHAPE), np.float32).astype(np.float64)
    for level in (40, 30, 20, 10, 0):
        a, before = kept(level, 50), kept(level - 10, 50) if level else 1.0
        told = torch.full((4,), level), torch.full((4,), 2)
        noise = network(torch.tensor(x, dtype=torch.float32), *told).detach().double().numpy()
        image = np.clip((x - math.sqrt(1 - a) * noise) / math.sqrt(a), -1, 1)
        assert (abs(image) == 1).any()
        noise = (x - math.sqrt(a) * image) / math.sqrt(1 - a)
        x = math.sqrt(before) * image + math.sqrt(1 - before) * noise
    np.testing.assert_allclose(drawn, np.clip((x + 1) / 2, 0, 1), atol=2e-4)


def states(folder) -> RunState:
    return RunState(folder, "digest")


def weights(fitted: Fitted) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in fitted.state().items()}


@pytest.mark.parametrize("stops", [1, 7, 22])
def test_a_fit_that_was_stopped_and_resumed_gives_the_same_bytes(stops, tmp_path):
    pixels, labels = images()
    whole = SMALL.fit(pixels, labels, CLASSES, np.random.default_rng(4), Work())
    asked = iter(range(10_000))
    with states(tmp_path) as state, pytest.raises(Interrupted):
        SMALL.fit(
            pixels, labels, CLASSES, np.random.default_rng(4), Work(state=state, stop=lambda: next(asked) >= stops)
        )
    told = []
    with states(tmp_path) as state:
        resumed = SMALL.fit(
            pixels,
            labels,
            CLASSES,
            np.random.default_rng(4),
            Work(state=state, report=lambda *facts: told.append(facts)),
        )
    assert weights(resumed) == weights(whole)
    assert [part for part, _, _ in told][-1] == 15 and 0 < len(told) < 15 + (stops < 2)
    assert all(total == 15 and facts["loss"] > 0 for _, total, facts in told)


def test_samples_do_not_depend_on_how_many_are_drawn_at_once():
    pixels, labels = images()
    fitted = SMALL.fit(pixels, labels, CLASSES, np.random.default_rng(0), Work())
    random = np.random.default_rng(1)
    parts = np.concatenate([fitted.sample(1, count, random) for count in (3, 5, 2)])
    np.testing.assert_allclose(parts, fitted.sample(1, 10, np.random.default_rng(1)), atol=1e-5)


def test_without_classes_it_is_told_none_and_learns_all_images():
    pixels = np.concatenate([np.full((20, *SHAPE), 0.2), np.full((20, *SHAPE), 0.8)]).astype(np.float32)
    settings = replace(SMALL, conditional=False, steps=400, width=64, batch_size=32, ema_decay=0.98, levels=100)
    fitted = settings.fit(pixels, np.repeat([0, 1], 20), 2, np.random.default_rng(0), Work())
    assert not any("class" in name for name in fitted.state())
    drawn = fitted.sample(None, 200, np.random.default_rng(0)).mean(axis=(1, 2, 3))
    assert 0.25 < (drawn > 0.5).mean() < 0.75 and np.minimum(abs(drawn - 0.2), abs(drawn - 0.8)).mean() < 0.1
    again = settings.restored(fitted.state(), SHAPE, CPU).sample(None, 5, np.random.default_rng(2))
    assert again.tobytes() == fitted.sample(None, 5, np.random.default_rng(2)).tobytes()


def test_a_unet_learns_and_comes_back_from_its_file():
    pixels = np.random.default_rng(0).random((12, 3, 8, 8)).astype(np.float32)
    settings = DDPM("unet", width=8, depth=2, steps=4, batch_size=4, sampling_steps=3)
    fitted = settings.fit(pixels, np.arange(12) % 3, 3, np.random.default_rng(0), Work())
    drawn = fitted.sample(2, 2, np.random.default_rng(1))
    again = settings.restored(fitted.state(), (3, 8, 8), CPU).sample(2, 2, np.random.default_rng(1))
    assert drawn.shape == (2, 3, 8, 8) and drawn.tobytes() == again.tobytes()
    other = fitted.sample(1, 2, np.random.default_rng(1))
    assert other.tobytes() != drawn.tobytes()


@pytest.mark.parametrize(
    "settings, words",
    [
        (DDPM("unet", width=8, depth=3), r"^a unet of depth 3 halves images 2 times, which 6x4 pixels can't be; lower"),
        (DDPM("unet", width=12, depth=2), r"^the generator's `width` is 12, and a unet needs a multiple of 8"),
    ],
)
def test_a_unet_that_does_not_fit_is_refused_before_the_training(settings, words):
    with pytest.raises(RobustlensError, match=words):
        settings.network((1, 6, 4), 3)


def test_a_loss_that_is_not_finite_ends_the_fit():
    pixels, labels = images()
    with pytest.raises(RobustlensError, match=r"loss is nan in round \d+ of 15; lower the generator's `learning_rate`"):
        replace(SMALL, learning_rate=1e30).fit(pixels, labels, CLASSES, np.random.default_rng(0), Work())


def test_the_perceptron_passes_on_a_share_of_the_image_that_depends_on_the_level():
    network, x = MLP(SHAPE, 16, 1, CLASSES), torch.rand(2, *SHAPE)
    level, label = torch.tensor([3, 40]), torch.tensor([0, 2])
    whole = network(x, level, label)
    angles = level[:, None] * network.frequencies
    share = network.share(network.time(torch.cat([angles.sin(), angles.cos()], dim=1)))
    with torch.no_grad():
        network.share.weight.zero_()
        network.share.bias.zero_()
    torch.testing.assert_close(whole - network(x, level, label), (share * x.flatten(1)).view_as(x))
    assert not torch.allclose(share[0], share[1])
