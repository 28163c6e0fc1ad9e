"""How training computes: fast paths against plain loops, averages of weights, several processes, shared devices."""

import contextlib
import copy
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
import torch.nn.functional as F
from filelock import FileLock, Timeout
from layers import shaken
from processes import REPOSITORY, Child, until
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from robustlens import device as devices
from robustlens.data.digits import Digits
from robustlens.data.prepared import PreparedDataset, Split
from robustlens.device import one_each, one_of, use_device
from robustlens.errors import RobustlensError
from robustlens.models.weights import build, save_weights
from robustlens.seeds import derive, generator
from robustlens.training import engine as engines
from robustlens.training import loop, parallel
from robustlens.training.engine import FORMATS, Engine
from robustlens.training.loop import Interrupted, Training, frozen
from robustlens.training.parallel import Processes, Questions
from robustlens.training.state import RunState

CPU = torch.device("cpu")
BATCH, STEPS_PER_EPOCH = 10, 3  # 10, 10 and 5 images
PADDING = 1


def in_memory(shape: tuple[int, int, int], train: int = 25) -> PreparedDataset:
    """Random images in three classes; 12 to validate with."""
    random = np.random.default_rng(0)
    splits = {}
    for split, count in (("train", train), ("validation", 12)):
        images = random.integers(0, 256, (count, *shape), dtype=np.uint8)
        splits[split] = Split(images, np.arange(count) % 3, np.arange(count), levels=255)
    return PreparedDataset({"classes": ["a", "b", "c"], "shape": list(shape), "sha256": {}}, splits)


def colour_spec(method: str = "sat", **training: object) -> dict:
    """Three attack steps, crops and flips, and a learning rate that falls after the first epoch."""
    augmentation = {"crop_padding": PADDING, "flip": True}
    ours = {"batch_size": BATCH, "attack_steps": 3, "schedule": tiny.STEP, "augmentation": augmentation}
    return tiny.spec(method, **(ours | training)) | {
        "threat": {"norm": "linf", "epsilon": "16/255", "step_size": "6/255"},
        "architecture": {"family": "resnet", "blocks": [1, 1], "width": 16},
    }


def made(spec: dict, data: PreparedDataset, folder: Path) -> Training:
    return tiny.training(spec, data, RunState(folder, "digest"))


def after_each_step(run: Training, epochs: int = 1) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """(epoch, a copy of the weights) after every step."""
    for epoch in range(1, epochs + 1):
        run.progress.epoch, run.progress.step = epoch - 1, 0
        for batch in run._batches(epoch):
            run._step(batch, epoch)
            run.progress.step += 1
            yield epoch, {name: t.clone() for name, t in run.model.state_dict().items()}


# Fast against plain -----------------------------------------------------------------------------------------------


def plain_crops(x: Tensor, random: torch.Generator) -> Tensor:
    side = 2 * PADDING + 1
    top, left = (torch.randint(0, side, (len(x), 1), generator=random).flatten().tolist() for _ in range(2))
    mirrored = (torch.rand(len(x), 1, generator=random) < 0.5).flatten().tolist()
    crops = []
    for image, row, column, mirror in zip(F.pad(x, (PADDING,) * 4), top, left, mirrored, strict=True):
        crop = image[:, row : row + x.shape[2], column : column + x.shape[3]]
        crops.append(crop.flip(2) if mirror else crop)
    return torch.stack(crops)


def plain_pgd(model: nn.Module, x: Tensor, y: Tensor, start: Tensor, method: str) -> Tensor:
    """Three steps in eval mode, one image after the other, gradients by backward()."""
    model.eval()
    results = []
    for image, label, point in zip(x.split(1), y.split(1), start.split(1), strict=True):
        natural = model(image).softmax(1).detach()
        for _ in range(3):
            point = point.detach().requires_grad_(True)
            log_q = model(point).log_softmax(1)
            loss = F.nll_loss(log_q, label) if method == "sat" else (natural * (natural.log() - log_q)).sum()
            loss.backward()
            point = point.detach() + 6 / 255 * point.grad.sign()
            point = torch.min(torch.max(point, image - 16 / 255), image + 16 / 255).clamp(0, 1)
        results.append(point)
    return torch.cat(results)


def plain_training(
    data: PreparedDataset, method: str, attacked: list[Tensor], width: int
) -> Iterator[tuple[dict, float]]:
    """Weights and loss after each step of the first epoch: NCHW, float32, no tricks.

    attacked: the adversarial images of the run to compare with, after each of its steps. The signs of TRADES' first,
    almost vanishing gradients are rounding, so some pixels may differ; the step then goes on from the given ones.
    """
    torch.manual_seed(derive(0, "weights"))
    model = shaken(build({"family": "resnet", "blocks": [1, 1], "width": width}, 3, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.0005)
    images, labels = (torch.from_numpy(a) for a in (data.splits["train"].images, data.splits["train"].labels))
    order = torch.randperm(len(labels), generator=generator(0, "order", 1)).split(BATCH)
    for step, where in enumerate(order):
        random = generator(0, "steps", step, 0)
        x, y = plain_crops(images[where].float() / 255, random), labels[where]
        if method == "sat":
            start = (x + 16 / 255 * (2 * torch.rand(x.shape, generator=random) - 1)).clamp(0, 1)
        else:
            start = x + 0.001 * torch.randn(x.shape, generator=random)
        x_adv = attacked[step]
        same = (plain_pgd(model, x, y, start, method) - x_adv).abs() < 1e-6
        assert same.float().mean() > (0.999 if method == "sat" else 0.99)
        model.train()
        if method == "sat":
            loss = F.cross_entropy(model(x_adv), y)
        else:
            natural, adversarial = model(x), model(x_adv)
            p = natural.softmax(1)
            kl = (p * (p.log() - adversarial.log_softmax(1))).sum(1)
            loss = F.cross_entropy(natural, y) + 6.0 * kl.mean()
        optimizer.zero_grad()  # what the attack left there too
        loss.backward()
        optimizer.step()
        yield {name: t.clone() for name, t in model.state_dict().items()}, loss.item()


@pytest.mark.parametrize(("memory_format", "width"), [("contiguous", 8), ("channels-last", 16)])
@pytest.mark.parametrize("method", ["sat", "trades"])
def test_three_steps_in_float32_are_those_of_a_plain_loop(method, memory_format, width, tmp_path):
    data = in_memory((3, 8, 8))
    architecture = {"family": "resnet", "blocks": [1, 1], "width": width}
    run = made(colour_spec(method, memory_format=memory_format) | {"architecture": architecture}, data, tmp_path)
    shaken(run.model)  # fresh networks hardly feel an attack
    assert run.model.layer2[0].conv1.weight.is_contiguous(memory_format=FORMATS[memory_format])
    attack, attacked = run.attack, []
    run.attack = lambda *arguments: attacked.append(attack(*arguments)) or attacked[-1]
    total = 0.0
    steps = zip(after_each_step(run), plain_training(data, method, attacked, width), (10, 10, 5), strict=True)
    for (_, weights), (expected, loss), count in steps:
        total += loss * count
        assert float(run.loss_sum) == pytest.approx(total, rel=1e-5)
        for name, value in weights.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("method", ["sat", "trades"])
def test_bfloat16_stays_finite_and_near_float32_and_keeps_float32_weights(method, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "has_bfloat16", lambda device: True)  # emulated where the hardware lacks it
    data, losses, logits = in_memory((3, 8, 8)), {}, {}
    for precision in ("float32", "bfloat16"):
        run = made(colour_spec(method, precision=precision), data, tmp_path)
        for _, weights in after_each_step(run):
            assert all(t.isfinite().all() for t in weights.values())
            assert {t.dtype for t in weights.values()} == {torch.float32, torch.int64}
        losses[precision] = float(run.loss_sum) / 25
        logits[precision] = run.fast.eval()(torch.full((2, 3, 8, 8), 0.5)).detach()
    assert logits["bfloat16"].dtype == torch.float32
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    assert not torch.equal(logits["bfloat16"], logits["float32"])  # it did compute in another precision


def test_a_compiled_network_computes_what_it_computes_uncompiled(tmp_path, monkeypatch):
    """Traced and differentiated as for any backend, but run by PyTorch's own kernels: no C++ compiler is needed."""
    graphs, compile = [], torch.compile

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable:
        graphs.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    monkeypatch.setattr(torch, "compile", lambda network: compile(network, backend=backend))
    x = torch.rand(BATCH, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    data, found = in_memory((3, 8, 8)), {}
    for switch in ("off", "on"):
        run = made(colour_spec(compile=switch), data, tmp_path)
        shaken(run.model)
        point = x.clone().requires_grad_(True)
        with frozen(run.fast.eval()):
            logits = run.fast(point)
            (gradient,) = torch.autograd.grad(F.cross_entropy(logits, torch.arange(BATCH) % 3), point)
        run._step(run._batches(1)[0], epoch=1)
        found[switch] = {"logits": logits, "gradient": gradient, "loss": run.loss_sum, **run.model.state_dict()}
        assert bool(graphs) is (switch == "on")
    assert found["off"].keys() == found["on"].keys() and float(found["off"]["gradient"].abs().max()) > 1e-3
    for name, value in found["off"].items():
        torch.testing.assert_close(found["on"][name], value, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


# Fast against plain, at the end of training -----------------------------------------------------------------------

IMAGES, EPOCHS, RADIUS, STEP_LENGTH = 700, 7, 2 / 16, 1 / 16
LATER = 5  # epochs at 0.1, and then at 0.01
ARCHITECTURE = {"family": "resnet", "blocks": [1], "width": 12}


def backward_pgd(network: nn.Module, x: Tensor, y: Tensor, start: Tensor, steps: int) -> Tensor:
    network.eval()
    point = start
    for _ in range(steps):
        point = point.detach().requires_grad_(True)
        F.cross_entropy(network(point), y).backward()  # the gradients of the weights, too
        point = point.detach() + STEP_LENGTH * point.grad.sign()
        point = torch.min(torch.max(point, x - RADIUS), x + RADIUS).clamp(0, 1)
    return point


def pictures(part: slice) -> tuple[Tensor, Tensor]:
    source = Digits().read(Path(), Path())
    return torch.from_numpy(source.images[part]).float() / 16, torch.from_numpy(source.labels[part])


@pytest.fixture(scope="module")
def plainly_trained() -> dict[str, Tensor]:
    """Weights of a loop such as much published code has: contiguous float32, backward() in the attack."""
    torch.manual_seed(derive(0, "weights"))
    network = build(ARCHITECTURE, 1, 10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.0005)
    images, labels = pictures(slice(IMAGES))
    step = 0
    for epoch in range(1, EPOCHS + 1):
        optimizer.param_groups[0]["lr"] = 0.1 if epoch <= LATER else 0.01
        for where in torch.randperm(IMAGES, generator=generator(0, "order", epoch)).split(32):
            x, y = images[where], labels[where]
            noise = 2 * torch.rand(x.shape, generator=generator(0, "steps", step, 0)) - 1
            x_adv = backward_pgd(network, x, y, (x + RADIUS * noise).clamp(0, 1), steps=2)
            network.train()
            optimizer.zero_grad()
            F.cross_entropy(network(x_adv), y).backward()
            optimizer.step()
            step += 1
    return network.state_dict()


def fast_trained(folder: Path, **settings: str) -> dict[str, Tensor]:
    """The same training by the loop of this project."""
    source = Digits().read(Path(), Path())
    parts = {"train": slice(IMAGES), "validation": slice(IMAGES, IMAGES + 10)}
    splits = {
        name: Split(source.images[part], source.labels[part], np.arange(1797)[part], levels=16)
        for name, part in parts.items()
    }
    data = PreparedDataset({"classes": source.classes, "shape": [1, 8, 8], "sha256": {}}, splits)
    schedule = {"name": "step", "milestones": [LATER], "factor": 0.1}
    spec = tiny.spec("sat", epochs=EPOCHS, batch_size=32, attack_steps=2, schedule=schedule, **settings)
    threat = {"norm": "linf", "epsilon": "2/16", "step_size": "1/16"}
    return tiny.train(spec | {"architecture": ARCHITECTURE, "threat": threat}, data, folder).last


def correct(weights: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Which of the 1,087 other images are classified correctly: as they are, and after ten steps of PGD."""
    network = build(ARCHITECTURE, 1, 10)
    network.load_state_dict(weights)
    x, y = pictures(slice(IMAGES + 10, None))
    attacked = backward_pgd(network, x, y, x, steps=10)
    return tuple((network.eval()(images).argmax(1) == y).double() for images in (x, attacked))


def test_a_network_trained_in_contiguous_float32_is_that_of_the_plain_loop(plainly_trained, tmp_path):
    """Each of the 154 steps makes what differs before it greater: only equal steps lead to equal classifiers."""
    fast = fast_trained(tmp_path, memory_format="contiguous")
    for found, expected in zip(correct(fast), correct(plainly_trained), strict=True):
        assert (found == expected).double().mean() > 0.99


@pytest.mark.parametrize(("precision", "memory_format"), [("float32", "channels-last"), ("bfloat16", "channels-last")])
def test_a_network_trained_fast_is_as_good_as_one_of_the_plain_loop(
    precision, memory_format, plainly_trained, tmp_path, monkeypatch
):
    """Rounded otherwise, training takes another path, to an end that the images tested can't tell apart."""
    monkeypatch.setattr(engines, "has_bfloat16", lambda device: True)  # emulated where the hardware lacks it
    fast = fast_trained(tmp_path, precision=precision, memory_format=memory_format)
    (clean, robust), (plain_clean, plain_robust) = correct(fast), correct(plainly_trained)
    assert plain_clean.mean() > 0.85 and 0.35 < plain_robust.mean() < 0.65  # it is trained, and the attack attacks
    for found, expected in ((clean, plain_clean), (robust, plain_robust)):
        error = float((2 * expected.mean() * (1 - expected.mean()) / len(expected)).sqrt())  # binomial, of a difference
        assert abs(float(found.mean() - expected.mean())) < 3 * error
        assert (found == expected).double().mean() > 0.8


# What is chosen ---------------------------------------------------------------------------------------------------

AUTO = {"precision": "auto", "memory_format": "auto", "compile": "auto"}


def wide() -> nn.Module:
    return build({"family": "resnet", "blocks": [1, 1], "width": 16}, 3, 10)


def narrow() -> nn.Module:
    return build({"family": "resnet", "blocks": [1, 1], "width": 8}, 3, 10)


@pytest.mark.parametrize("hardware", [True, False])
def test_auto_on_a_processor_is_float32_and_channels_last(hardware, monkeypatch):
    monkeypatch.setattr(engines, "has_bfloat16", lambda device: hardware)
    chosen = Engine.choose(AUTO, CPU, wide())
    assert chosen.facts() == {"precision": "float32", "memory_format": "channels-last", "compile": False}


@pytest.mark.parametrize(("hardware", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_auto_on_a_gpu_is_bfloat16_where_the_gpu_has_it(hardware, precision, monkeypatch):
    monkeypatch.setattr(engines, "has_bfloat16", lambda device: hardware)
    assert Engine.choose(AUTO, torch.device("cuda"), narrow()).precision == precision


@pytest.mark.parametrize(("capability", "has"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_have_bfloat16_from_capability_8_on(capability, has, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert engines.has_bfloat16(torch.device("cuda")) is has


@pytest.mark.parametrize(("features", "has"), [((), False), (("avx512_bf16",), True), (("amx_tile",), True)])
def test_processors_have_bfloat16_with_avx512_bf16_or_amx(features, has, monkeypatch):
    for feature in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{feature}_supported", lambda f=feature: f in features, raising=False)
    assert engines.has_bfloat16(CPU) is has


def test_bfloat16_is_refused_where_the_hardware_lacks_it(monkeypatch):
    monkeypatch.setattr(engines, "has_bfloat16", lambda device: False)
    with pytest.raises(RobustlensError, match=r"training\.precision: bfloat16 .* use float32 or auto"):
        Engine.choose(AUTO | {"precision": "bfloat16"}, CPU, wide())


def test_what_is_asked_for_is_taken(monkeypatch):
    monkeypatch.setattr(engines, "has_bfloat16", lambda device: True)
    asked = {"precision": "bfloat16", "memory_format": "contiguous", "compile": "on"}
    assert Engine.choose(asked, CPU, wide()) == Engine("bfloat16", "contiguous", True)
    assert Engine.choose(asked | {"compile": "off"}, CPU, wide()).compile is False


def test_narrow_networks_are_contiguous_on_a_processor_where_channels_last_is_computed_wrongly():
    assert Engine.choose(AUTO, CPU, narrow()).memory_format == "contiguous"
    with pytest.raises(RobustlensError, match=r"training\.memory_format: channels-last is computed wrongly"):
        Engine.choose(AUTO | {"memory_format": "channels-last"}, CPU, narrow())
    assert Engine.choose(AUTO | {"memory_format": "contiguous"}, CPU, narrow()).memory_format == "contiguous"
    assert (
        Engine.choose(AUTO | {"precision": "float32"}, torch.device("cuda", 0), narrow()).memory_format
        == "channels-last"
    )


# Averages of weights ----------------------------------------------------------------------------------------------

EMA = {"name": "ema", "decay": 0.8}
SWA = {"name": "swa", "start_epoch": 2, "every_steps": 2}


def test_ema_is_the_recursion_over_all_steps_and_is_what_is_tracked_and_kept(tmp_path):
    data, spec = in_memory((3, 8, 8)), colour_spec(averaging=EMA)
    average, at_epoch_end = None, {}
    for epoch, weights in after_each_step(made(spec, data, tmp_path / "steps"), epochs=2):
        weights = {name: t.double() for name, t in weights.items() if t.is_floating_point()}
        average = weights if average is None else {name: 0.8 * average[name] + 0.2 * weights[name] for name in weights}
        at_epoch_end[epoch] = average
    run = tiny.train(spec, data, tmp_path / "run")
    for found, expected in ((run.last, average), (run.best, at_epoch_end[run.best_epoch])):
        for name, value in expected.items():
            torch.testing.assert_close(found[name].double(), value, rtol=1e-5, atol=1e-6)


def batch_statistics(network: nn.Module, batches: list[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Of every BatchNorm: mean and variance of what it sees of each batch in train mode, averaged over the batches."""
    seen = {name: [] for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    network = copy.deepcopy(network).train()
    for name in seen:
        module = network.get_submodule(name)
        module.register_forward_pre_hook(lambda _, inputs, name=name: seen[name].append(inputs[0].detach().double()))
    for x in batches:
        network(x)
    return {
        name: (
            torch.stack([t.mean((0, 2, 3)) for t in inputs]).mean(0),
            torch.stack([t.transpose(0, 1).flatten(1).var(1) for t in inputs]).mean(0),
        )
        for name, inputs in seen.items()
    }


def with_statistics(network: nn.Module, statistics: dict[str, tuple[Tensor, Tensor]]) -> nn.Module:
    for name, (mean, variance) in statistics.items():
        network.get_submodule(name).running_mean.copy_(mean)
        network.get_submodule(name).running_var.copy_(variance)
    return network


def test_swa_is_the_mean_of_snapshots_with_batchnorm_statistics_of_attacked_training_images(tmp_path):
    data, spec = in_memory((3, 8, 8)), colour_spec(averaging=SWA, augmentation={"crop_padding": 0, "flip": False})
    steps = list(after_each_step(made(spec, data, tmp_path / "steps"), epochs=2))
    snapshots = [weights for number, (epoch, weights) in enumerate(steps, 1) if epoch >= 2 and number % 2 == 0]
    assert len(snapshots) == 2  # steps 4 and 6
    last = tiny.train(spec, data, tmp_path / "run").last

    network = build(spec["architecture"], 3, 3)
    parameters = [name for name, _ in network.named_parameters()]
    for name in parameters:
        mean = torch.stack([weights[name].double() for weights in snapshots]).mean(0)
        torch.testing.assert_close(last[name].double(), mean, rtol=1e-5, atol=1e-6)
    network.load_state_dict({name: t for name, t in last.items() if name in parameters}, strict=False)

    images, labels = (torch.from_numpy(a) for a in (data.splits["train"].images, data.splits["train"].labels))
    order = torch.randperm(25, generator=generator(0, "order", 3)).split(BATCH)
    natural = [images[where].float() / 255 for where in order]
    with_statistics(network, batch_statistics(network, natural))
    attacked = []
    for step, (x, where) in enumerate(zip(natural, order, strict=True)):
        noise = 2 * torch.rand(x.shape, generator=generator(0, "statistics", step, 0)) - 1
        start = (x + 16 / 255 * noise).clamp(0, 1)
        attacked.append(plain_pgd(network, x, labels[where], start, "sat"))
    for name, (mean, variance) in batch_statistics(network, attacked).items():
        torch.testing.assert_close(last[f"{name}.running_mean"].double(), mean, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(last[f"{name}.running_var"].double(), variance, rtol=1e-3, atol=1e-5)


def test_an_swa_that_never_began_leaves_the_last_weights(tmp_path):
    data = in_memory((3, 8, 8))
    late = tiny.train(colour_spec(averaging=SWA | {"start_epoch": 3}), data, tmp_path / "late")
    none = tiny.train(colour_spec(), data, tmp_path / "none")
    assert all(torch.equal(value, none.last[name]) for name, value in late.last.items())


SMALL_CNN = {"architecture": {"family": "small-cnn", "dropout": 0.5}}
RESUMED = {
    "ema": (colour_spec(averaging=EMA), (3, 8, 8)),
    "swa": (colour_spec(averaging=SWA), (3, 8, 8)),
    "dropout": (colour_spec(attack_steps=1, attack_batchnorm="train") | SMALL_CNN, (1, 28, 28)),
}


def test_dropout_draws_from_a_stream_of_its_own_in_every_step(tmp_path):
    data, spec = in_memory((1, 28, 28)), colour_spec() | SMALL_CNN
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(spec, data, state)
        layer, passes = run.model.classifier.drop, []
        layer.register_forward_hook(lambda layer, x, out: passes.append((x[0], out)) if layer.training else None)
        run.run()
    assert [len(x) for x, _ in passes] == 2 * [10, 10, 5]
    for step, (x, out) in enumerate(passes):
        torch.manual_seed(derive(0, "dropout", step, 0))
        assert torch.equal(out, x * 2 * torch.empty_like(x).bernoulli_(0.5)) and out.any()


@pytest.mark.parametrize("case", RESUMED)
def test_a_run_resumed_after_every_step_gives_the_same_bytes(case, tmp_path):
    spec, data = RESUMED[case][0], in_memory(RESUMED[case][1])
    torch.manual_seed(1)
    once = tiny.train(spec, data, tmp_path / "once")
    torch.manual_seed(2)
    resumed = tiny.train(spec, data, tmp_path / "resumed", stop_after=set(range(1, 2 * STEPS_PER_EPOCH + 1)))
    for part in ("best", "last"):
        for name, value in getattr(once, part).items():
            assert torch.equal(value, getattr(resumed, part)[name]), f"{part} {name}"
    assert once.history.equals(resumed.history) and once.energies.equals(resumed.energies)


# Several processes ------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def one_of_two(rank: int, port: int, spec: dict, data: PreparedDataset, folder: Path, stop_after: int | None) -> None:
    """Process 1 alone is asked to stop; process 0 alone holds the state."""
    os.environ.update(WORLD_SIZE="2", RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    state = RunState(folder / "state", "digest")
    with state if rank == 0 else contextlib.nullcontext():
        run = tiny.training(spec, data, state)
        run.stop = lambda: rank == 1 and run._steps_done(run.progress.epoch + 1) == stop_after
        try:
            finished = run.run()
        except Interrupted:
            assert stop_after
            return
    assert not stop_after
    save_weights(finished.last, folder / f"{rank}.safetensors")
    if rank == 0:
        finished.history.to_parquet(folder / "history.parquet")


def two_processes(
    spec: dict, data: PreparedDataset, folder: Path, stop_after: int | None = None
) -> list[dict[str, Tensor]]:
    """The last weights of both, where they come to the end."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    children = [Child(folder / f"{r}.txt", one_of_two, r, port, spec, data, folder, stop_after) for r in range(2)]
    for child in children:
        code, output = child.wait()
        assert code == 0, output
    return [] if stop_after else [load_file(folder / f"{rank}.safetensors") for rank in range(2)]


def test_two_processes_train_the_network_that_one_would(tmp_path):
    """Without an attack or BatchNorm, which would see other random numbers or other batches."""
    data = in_memory((1, 28, 28))  # batches of 5 + 5, 5 + 5, 3 + 2 images
    spec = colour_spec("standard", augmentation={"crop_padding": 0, "flip": False})
    spec |= {"architecture": {"family": "small-cnn", "dropout": 0.0}}
    alone = tiny.train(spec, data, tmp_path / "alone")
    first, second = two_processes(spec, data, tmp_path / "two")
    for name, value in alone.last.items():
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-6)
        assert torch.equal(first[name], second[name])
    losses = [run["train_loss"] for run in (alone.history, pd.read_parquet(tmp_path / "two" / "history.parquet"))]
    assert list(losses[1]) == pytest.approx(list(losses[0]), rel=1e-5)


def test_two_processes_stay_equal_and_leave_the_same_bytes_after_one_of_them_was_told_to_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_QUESTIONS", 0.0)  # after every step
    data, spec = in_memory((3, 8, 8)), colour_spec(averaging=SWA)
    once = two_processes(spec, data, tmp_path / "once")
    two_processes(spec, data, tmp_path / "resumed", stop_after=4)
    resumed = two_processes(spec, data, tmp_path / "resumed")
    for name, value in once[0].items():
        assert all(torch.equal(value, other[name]) for other in (once[1], *resumed)), name
    histories = [pd.read_parquet(tmp_path / name / "history.parquet") for name in ("once", "resumed")]
    assert histories[0].equals(histories[1])


def test_shares_of_a_batch_are_disjoint_and_whole_and_their_weighted_means_give_its_mean():
    losses = torch.rand(7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = 0.0
    shares = []
    for rank in range(3):
        processes = Processes.__new__(Processes)
        processes.count, processes.rank = 3, rank
        shares.append(processes.share(torch.arange(7)))
        mean += losses[shares[-1]].mean() * processes.loss_weight(len(shares[-1]), 7) / 3
    assert sorted(torch.cat(shares).tolist()) == list(range(7))
    assert float(mean) == pytest.approx(float(losses.mean()))


class Slow:
    """The second of two processes, whose own clock says that a step takes ages; the first one's answers are given."""

    count = 2

    def __init__(self, answers: list[int]):
        self.answers, self.own = iter(answers), []

    def of_first(self, number: int) -> int:
        self.own.append(number)
        return next(self.answers)


def test_the_first_process_s_clock_decides_after_how_many_steps_all_ask_again(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(parallel.time, "monotonic", lambda: now[0])
    processes = Slow([3, 1, 2, 9])
    questions, asked = Questions(processes, seconds=5.0), []
    for step in range(1, 9):
        now[0] += 2.0 if step < 5 else 0.5
        if questions.due():
            asked.append(step)
    assert asked == [1, 4, 5, 7]
    # What it would have said itself: 5 s hold two steps of 2 s, and ten of half a second.
    assert processes.own == [2, 2, 10, 10]


def test_one_process_asks_itself_after_every_step_and_a_step_that_takes_ages_is_followed_by_a_question():
    processes = Processes(CPU)
    assert processes.count == 1 and processes.of_first(7) == 7
    questions = Questions(processes, seconds=1e9)
    assert all(questions.due() for _ in range(3))
    slow = Slow([1])
    assert Questions(slow, seconds=0.0).due() and slow.own == [1]


def epochs_done(states: Path) -> int:
    """Finished epochs in the saved state; 0 without one."""
    for file in states.glob("*/state.safetensors"):
        with safe_open(file, framework="np") as state:
            return json.loads(state.metadata()["record"])["progress"]["epoch"]
    return 0


def from_command_line(command: list[str], folder: Path, number: int | None) -> tuple[int, str]:
    """Exit code and output, after a signal as soon as an epoch more than before is saved."""
    before = epochs_done(folder / "state")
    with open(folder / "output.txt", "w+") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        try:
            if number:
                until(lambda: epochs_done(folder / "state") > before or process.poll() is not None, seconds=200)
                process.send_signal(number)
            code = process.wait(200)
        finally:
            process.kill()
        output.seek(0)
        return code, output.read()


def test_torchrun_s_processes_that_were_stopped_go_on_to_the_bytes_of_undisturbed_ones(tmp_path):
    """From the command line, as the workflow starts them: SIGTERM, and SLURM's warning, are for all of them."""
    data = tiny.dataset(tmp_path / "data")
    spec = tiny.spec("trades", epochs=40, augmentation={"crop_padding": 1, "flip": True})
    undisturbed = two_processes(spec, data, tmp_path / "undisturbed")[0]
    command = [sys.executable, str(REPOSITORY / "scripts" / "train.py"), "--spec", json.dumps(spec), "--data", "data"]
    command += ["--state", "state", "--run", "run", "--log", "log/train.log", "--certificate", "train.json"]
    command += ["--processes", "2"]
    for number in (signal.SIGTERM, signal.SIGUSR1, None):
        before = epochs_done(tmp_path / "state")
        code, said = from_command_line(command, tmp_path, number)
        if number:
            assert code != 0 and "FAILED: asked to stop in epoch" in said, said
            assert before < epochs_done(tmp_path / "state") < 40
        else:
            assert code == 0, said
    resumed = load_file(tmp_path / "run" / "last.safetensors")
    assert all(torch.equal(value, resumed[name]) for name, value in undisturbed.items())
    history = pd.read_parquet(tmp_path / "run" / "history.parquet")
    assert history.equals(pd.read_parquet(tmp_path / "undisturbed" / "history.parquet"))
    assert {path.name for path in (tmp_path / "log").iterdir()} == {"train.log", "train.process1.log"}


# Devices ----------------------------------------------------------------------------------------------------------


def hold(names: list[str], jobs_each: int, taken: Path, release: Path, ranks: tuple[int, int] | None) -> None:
    logging.basicConfig(force=True)  # to the child's output
    if ranks:
        os.environ.update(LOCAL_RANK=str(ranks[0]), LOCAL_WORLD_SIZE=str(ranks[1]))
    with (one_each if ranks else one_of)(names, jobs_each) as number:
        taken.with_suffix(".part").write_text(str(number))
        taken.with_suffix(".part").rename(taken)
        until(release.exists)


class Holder:
    """A job in a process of its own that holds a device until it is let go.

    ranks: of a process of torchrun, its local rank and the number of them.
    """

    def __init__(
        self, folder: Path, name: str, names: list[str], jobs_each: int = 1, ranks: tuple[int, int] | None = None
    ):
        self.taken, self.release = folder / f"{name}.taken", folder / f"{name}.release"
        self.child = Child(folder / f"{name}.txt", hold, names, jobs_each, self.taken, self.release, ranks)

    def waits(self) -> bool:
        return self.child.output.exists() and "waiting for one" in self.child.output.read_text()

    def device(self) -> int:
        until(self.taken.exists)
        return int(self.taken.read_text())

    def let_go(self) -> None:
        self.release.touch()
        code, output = self.child.wait()
        assert code == 0, output


@pytest.fixture
def slots(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(devices, "POLL_SECONDS", 0.02)
    return tmp_path


def test_two_jobs_get_different_devices_and_a_third_waits_for_one(slots):
    first, second = Holder(slots, "first", ["gpu-a", "gpu-b"]), Holder(slots, "second", ["gpu-a", "gpu-b"])
    assert {first.device(), second.device()} == {0, 1}
    third = Holder(slots, "third", ["gpu-a", "gpu-b"])
    until(third.waits)
    assert not third.taken.exists()
    second.let_go()
    assert third.device() == second.device()
    third.let_go()
    first.let_go()


def test_the_device_of_a_killed_job_is_free(slots):
    killed = Holder(slots, "killed", ["gpu-a"])
    assert killed.device() == 0
    killed.child.signal(signal.SIGKILL)
    with one_of(["gpu-a"], 1) as number:
        assert number == 0


def test_jobs_that_may_share_devices_go_to_the_emptiest(slots):
    holders = []
    for name in ("first", "second", "third"):
        holders.append(Holder(slots, name, ["gpu-a", "gpu-b"], jobs_each=2))
        holders[-1].device()
    assert [holder.device() for holder in holders] == [0, 1, 0]
    for holder in holders:
        holder.let_go()


def test_a_device_is_free_again_after_a_job_that_failed(slots):
    with pytest.raises(ValueError), one_of(["gpu-a"], 1):
        raise ValueError
    with one_of(["gpu-a"], 1) as number:
        assert number == 0


def test_the_processes_of_torchrun_hold_the_devices_of_their_ranks_against_other_jobs(slots):
    names = ["gpu-b", "gpu-a", "gpu-c"]
    first, second = (Holder(slots, f"rank{rank}", names, ranks=(rank, 2)) for rank in range(2))
    assert (first.device(), second.device()) == (0, 1)
    alone, late = Holder(slots, "alone", names), Holder(slots, "late", names[:2])
    assert alone.device() == 2
    until(late.waits)
    first.let_go()
    assert late.device() == 0
    for holder in (second, alone, late):
        holder.let_go()


def test_jobs_of_torchrun_that_see_the_devices_in_other_orders_do_not_wait_for_each_other(slots):
    """One takes both, and only then the other; each with one of them would wait for ever."""
    alone = Holder(slots, "alone", ["gpu-a"])
    alone.device()
    jobs = [
        Holder(slots, name, names, ranks=(0, 2))
        for name, names in (("ab", ["gpu-a", "gpu-b"]), ("ba", ["gpu-b", "gpu-a"]))
    ]
    until(lambda: all(job.waits() for job in jobs))
    alone.let_go()
    until(lambda: any(job.taken.exists() for job in jobs))
    jobs.sort(key=lambda job: not job.taken.exists())
    assert not jobs[1].taken.exists()
    for job in jobs:
        assert job.device() == 0
        job.let_go()


def test_more_processes_than_devices_are_refused(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(RobustlensError, match=r"2 processes for 1 GPUs: ask for fewer `processes`"), one_each(["a"], 1):
        pass


@pytest.mark.parametrize("ranks", [None, ("0", "2"), ("1", "2")])
def test_a_job_on_a_gpu_computes_on_the_device_that_it_holds(ranks, slots, monkeypatch):
    """Two GPUs that are not there."""
    chosen, names = [], ["gpu-a", "gpu-b"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=names[number]))
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch, "set_deterministic_debug_mode", lambda mode: None)  # not for the tests after this one
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for name, value in zip(("LOCAL_RANK", "LOCAL_WORLD_SIZE"), ranks or (None, None), strict=True):
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name, raising=False)
    with use_device(torch.get_num_threads()) as device:
        assert chosen == [device] == [torch.device("cuda", 1 if ranks == ("1", "2") else 0)]
        held = {None: {0}, ("0", "2"): {0, 1}, ("1", "2"): set()}[ranks]
        for number, name in enumerate(names):
            lock = FileLock(slots / f"robustlens-devices-{os.getuid()}" / f"{name}-0")
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
            assert lock.is_locked is (number not in held)
            lock.release()
