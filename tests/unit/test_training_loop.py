"""The training loop against plain loops written here, in float64, where nothing but a wrong step is seen.

In float32 rounding would hide it: the gradient of a KL of almost equal distributions keeps three digits there, and
they differ from processor to processor.
"""

import copy
from collections.abc import Iterator

import pytest
import tiny
import torch
import torch.nn.functional as F
from layers import shaken
from plain import crops, one_cycle, pgd, seed, stream
from torch import Tensor, nn

from robustlens.data.prepared import PreparedDataset
from robustlens.models.resnet import ResidualNetwork
from robustlens.models.weights import build
from robustlens.training.augmentation import crop_and_flip
from robustlens.training.engine import FORMATS
from robustlens.training.loop import Interrupted
from robustlens.training.state import RunState


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> PreparedDataset:
    return tiny.dataset(tmp_path_factory.mktemp("digits"))


def train_images(data: PreparedDataset) -> tuple[Tensor, Tensor]:
    """float64 (N, C, H, W) and int64 (N,)."""
    split = data.splits["train"]
    return torch.from_numpy(split.pixels()).double(), torch.tensor(split.labels)


def plain_loss(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, method: str) -> Tensor:
    if method == "sat":
        return F.cross_entropy(model(x_adv), y)
    natural, adversarial = model(x), model(x_adv)
    kl = (natural.softmax(1) * (natural.log_softmax(1) - adversarial.log_softmax(1))).sum(1)
    return F.cross_entropy(natural, y) + 6 * kl.mean()


# Digits, an L2 ball, a one-cycle schedule -------------------------------------------------------------------------


def project(delta: Tensor, x: Tensor, epsilon: float) -> Tensor:
    """Image by image: shrink the perturbation to the L2 ball, then cut the image with [0, 1]."""
    images = []
    for one, image in zip(delta, x, strict=True):
        length = one.square().sum().sqrt().item()
        images.append((image + one * min(1.0, epsilon / max(length, 1e-12))).clamp(0, 1))
    return torch.stack(images)


def plain_attack(model: nn.Module, x: Tensor, y: Tensor, method: str, random: torch.Generator) -> Tensor:
    """PGD in an L2 ball of radius 1, two steps of 0.4."""
    if method == "sat":
        noise = torch.rand(x.shape, generator=random) * 2 - 1
        direction = torch.randn(x.shape, generator=random)
        start = []
        for u, d in zip(noise, direction, strict=True):
            radius = float(u.flatten()[0].abs()) ** (1 / 64)
            start.append(radius * d / d.square().sum().sqrt())
        x_adv = (x + torch.stack(start)).clamp(0, 1)
    else:
        x_adv = x + 0.001 * torch.randn(x.shape, generator=random)
        with torch.no_grad():
            p = model(x).softmax(1)
    for _ in range(2):
        x_adv = x_adv.detach().requires_grad_(True)
        logits = model(x_adv)
        if method == "sat":
            loss = F.cross_entropy(logits, y, reduction="sum")
        else:
            loss = F.kl_div(logits.log_softmax(1), p, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x_adv)
        stepped = [
            one + 0.4 * g / g.square().sum().sqrt().clamp_min(1e-12)
            for one, g in zip(x_adv.detach(), gradient, strict=True)
        ]
        x_adv = project(torch.stack(stepped) - x, x, 1.0)
    return x_adv.detach()


def plain_perturbation(model: nn.Module, loss: Tensor, gamma: float) -> dict[str, Tensor]:
    """AWP as its released code does it: a step of SGD up the loss, rescaled to gamma times the norm of the weights."""
    names = [name for name, w in model.named_parameters() if w.dim() > 1]
    weights = dict(model.named_parameters())
    found = {}
    for name, gradient in zip(names, torch.autograd.grad(loss, [weights[name] for name in names]), strict=True):
        before = weights[name].detach()
        difference = before + 0.01 * gradient - before
        found[name] = gamma * before.square().sum().sqrt() * difference / difference.square().sum().sqrt()
    return found


def plain_run(data: PreparedDataset, spec: dict, steps: int) -> tuple[dict[str, Tensor], float]:
    """Weights after so many steps, and the mean loss of the images of the first epoch."""
    method, settings = spec["method"]["name"], spec["training"]
    torch.manual_seed(seed("0/weights"))
    model = ResidualNetwork((1,), 4, 1, 10)
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    images, labels = train_images(data)
    first_epoch = 0.0
    for step in range(steps):
        epoch, batch = step // 3 + 1, step % 3
        order = torch.randperm(40, generator=stream(f"0/order/{epoch}"))
        where = order[16 * batch : 16 * batch + 16]
        x, y = images[where], labels[where]
        random = stream(f"0/steps/{step}/0")
        if settings["augmentation"]["flip"]:
            x = crops(x, random)
        if settings["attack_batchnorm"] == "train":
            model.train()
        else:
            model.eval()
        x_adv = plain_attack(model, x, y, method, random)
        model.train()
        awp = settings["weight_perturbation"]
        perturbation = {}
        if awp["name"] == "awp" and epoch > awp["start_epoch"]:
            proxy = copy.deepcopy(model)
            perturbation = plain_perturbation(proxy, plain_loss(proxy, x, x_adv, y, method), awp["gamma"])
        with torch.no_grad():
            for name, w in model.named_parameters():
                w += perturbation.get(name, 0.0)
        loss = plain_loss(model, x, x_adv, y, method)
        if epoch == 1:
            first_epoch += loss.item() * len(y) / 40
        rate, momentum = one_cycle(step, 6, 0.1, 0.25)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for n, (p, g) in enumerate(zip(model.parameters(), gradients, strict=True)):
                velocity[n] = momentum * velocity[n] + g + 0.0005 * p
                p -= rate * velocity[n]
            for name, w in model.named_parameters():
                w -= perturbation.get(name, 0.0)
    return model.state_dict(), first_epoch


PLAIN = {
    "sat": tiny.spec(),
    "trades": tiny.spec("trades"),
    "train-mode attack": tiny.spec(attack_batchnorm="train"),
    "augmented": tiny.spec(augmentation={"crop_padding": 1, "flip": True}),
    "sat with AWP": tiny.spec(weight_perturbation={"name": "awp", "gamma": 0.01, "start_epoch": 0}),
    "trades with AWP from epoch 2": tiny.spec(
        "trades", weight_perturbation={"name": "awp", "gamma": 0.05, "start_epoch": 1}
    ),
}


@pytest.mark.parametrize("case", PLAIN)
@tiny.in_float64()
def test_the_loop_does_what_a_plain_loop_does(case, data, tmp_path):
    spec = PLAIN[case] | {"threat": {"norm": "l2", "epsilon": 1.0, "step_size": 0.4}}
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(spec, data, state)
        done, original = [], run.task.step
        run.task.step = lambda *batch: done.append(original(*batch))
        run.loop.stop = lambda: len(done) == 5
        with pytest.raises(Interrupted):
            run.run()
    expected, first_epoch = plain_run(data, spec, 5)
    for name, value in run.task.network.state_dict().items():
        torch.testing.assert_close(value, expected[name], **tiny.EQUAL, msg=lambda m, n=name: f"{n}: {m}")
    for row in run.task.following.history:
        assert row["train_loss"] == pytest.approx(first_epoch, rel=1e-12)


# Colour images, an L-inf ball, both memory formats ----------------------------------------------------------------


def plain_training(
    data: PreparedDataset, method: str, attacked: list[Tensor], width: int
) -> Iterator[tuple[dict, float]]:
    """Weights and loss after each step of the first epoch.

    attacked: the adversarial images of the run to compare with, after each of its steps.
    """
    torch.manual_seed(seed("0/weights"))
    model = shaken(build({"family": "resnet", "blocks": [1, 1], "width": width}, 3, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.0005)
    images, labels = train_images(data)
    for step, where in enumerate(torch.randperm(25, generator=stream("0/order/1")).split(tiny.BATCH)):
        random = stream(f"0/steps/{step}/0")
        x, y = crops(images[where], random), labels[where]
        if method == "sat":
            start = (x + 16 / 255 * (2 * torch.rand(x.shape, generator=random) - 1)).clamp(0, 1)
        else:
            start = x + 0.001 * torch.randn(x.shape, generator=random)
        x_adv = pgd(model, x, y, start, method)
        torch.testing.assert_close(attacked[step], x_adv, **tiny.EQUAL)
        model.train()
        loss = plain_loss(model, x, x_adv, y, method)
        optimizer.zero_grad()  # what the attack left there too
        loss.backward()
        optimizer.step()
        yield {name: t.clone() for name, t in model.state_dict().items()}, loss.item()


@pytest.mark.parametrize(("memory_format", "width"), [("contiguous", 8), ("channels-last", 16)])
@pytest.mark.parametrize("method", ["sat", "trades"])
@tiny.in_float64()
def test_three_steps_are_those_of_a_plain_loop(method, memory_format, width, tmp_path):
    data = tiny.random_images((3, 8, 8))
    architecture = {"family": "resnet", "blocks": [1, 1], "width": width}
    spec = tiny.colour_spec(method, memory_format=memory_format) | {"architecture": architecture}
    run = tiny.made(spec, data, tmp_path)
    shaken(run.task.network)  # fresh networks hardly feel an attack
    assert run.task.network.layer2[0].conv1.weight.is_contiguous(memory_format=FORMATS[memory_format])
    attack, attacked = run.task.attack, []
    run.task.attack = lambda *arguments: attacked.append(attack(*arguments)) or attacked[-1]
    total = 0.0
    steps = zip(tiny.after_each_step(run), plain_training(data, method, attacked, width), (10, 10, 5), strict=True)
    for (_, weights), (expected, loss), count in steps:
        total += loss * count
        assert float(run.task.loss_sum) == pytest.approx(total, rel=1e-12)
        for name, value in weights.items():
            torch.testing.assert_close(value, expected[name], **tiny.EQUAL, msg=lambda m, n=name: f"{n}: {m}")


# Augmentation -----------------------------------------------------------------------------------------------------


def test_crops_and_flips_are_those_of_a_loop_over_images():
    x = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    fast = crop_and_flip(x, 1, True, torch.Generator().manual_seed(5))
    assert torch.equal(fast, crops(x, torch.Generator().manual_seed(5)))
    assert crop_and_flip(x, 0, False, torch.Generator()) is x


def test_flips_alone_and_crops_alone_keep_every_channel_together():
    x = torch.rand(60, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    flipped = crop_and_flip(x, 0, True, torch.Generator().manual_seed(1))
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(flipped, x, strict=True)]
    assert all(m or torch.equal(a, b) for m, a, b in zip(mirrored, flipped, x, strict=True))
    assert 15 < sum(mirrored) < 45
    padded = F.pad(x, (2, 2, 2, 2))
    offsets = set()
    for crop, image in zip(crop_and_flip(x, 2, False, torch.Generator().manual_seed(1)), padded, strict=True):
        found = [(i, j) for i in range(5) for j in range(5) if torch.equal(crop, image[:, i : i + 4, j : j + 5])]
        assert found
        offsets.add(found[0])
    assert {i for i, _ in offsets} == {j for _, j in offsets} == set(range(5))
