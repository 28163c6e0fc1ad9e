"""How training computes: what is chosen, and what reduced precision, memory formats and compilation change."""

import copy
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from layers import shaken
from torch import Tensor, nn

from robustlens.data.digits import Digits
from robustlens.data.prepared import PreparedDataset, Split
from robustlens.errors import RobustlensError
from robustlens.learning.learner import frozen
from robustlens.models.weights import build
from robustlens.seeds import derive, generator
from robustlens.training import engine as engines
from robustlens.training.engine import Engine

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")

# One step, or a few -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_format", ["contiguous", "channels-last"])
def test_a_step_in_float32_is_that_of_float64_but_for_its_rounding(memory_format, tmp_path):
    """With Swish: at the kink of a ReLU rounding decides which way the gradient goes."""
    data = tiny.random_images((3, 8, 8))
    spec = tiny.colour_spec(memory_format=memory_format)
    run = tiny.made(
        spec | {"architecture": {"family": "dm-wide-resnet", "depth": 10, "widen_factor": 1}}, data, tmp_path
    )
    exact = copy.deepcopy(shaken(run.task.network)).double().train()
    attack, attacked = run.task.attack, []
    run.task.attack = lambda *arguments: attacked.append(attack(*arguments)) or attacked[-1]
    where = run.loop.batches(1)[0]
    run.task.step(where, epoch=1, number=0)
    loss = F.cross_entropy(exact(attacked[0].double()), run.task.train.y[where])
    loss.backward()
    # The result passes through 16 convolutions, BatchNorms and other sums, and its gradient through as many. Each is
    # one of at most 640 terms (10 images of 8 x 8 pixels), whose roundings of 2^-24 are independent: they add up to
    # sqrt(640) of one, and over all the sums to 32 times as much where all of these err to the same side.
    rounding = 32 * 640**0.5 * 2**-24
    assert float(run.task.loss_sum) / len(where) == pytest.approx(loss.item(), rel=rounding)
    for name, parameter in exact.named_parameters():
        expected = parameter.grad + 0.0005 * parameter.detach()
        found = run.task.descent.velocities[f"network.{name}"]
        assert found.dtype == torch.float32
        assert float((found - expected).norm() / expected.norm()) < rounding, name


@pytest.mark.parametrize("method", ["sat", "trades"])
def test_bfloat16_stays_finite_and_near_float32_and_keeps_float32_weights(method, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "has_bfloat16", lambda device: True)  # emulated where the hardware lacks it
    data, losses, logits = tiny.random_images((3, 8, 8)), {}, {}
    for precision in ("float32", "bfloat16"):
        run = tiny.made(tiny.colour_spec(method, precision=precision), data, tmp_path)
        for _, weights in tiny.after_each_step(run):
            assert all(t.isfinite().all() for t in weights.values())
            assert {t.dtype for t in weights.values()} == {torch.float32, torch.int64}
        losses[precision] = float(run.task.loss_sum) / 25
        logits[precision] = run.task.learner.eval()(torch.full((2, 3, 8, 8), 0.5)).detach()
    assert logits["bfloat16"].dtype == torch.float32
    # 11 convolutions, BatchNorms and a last layer, each of which rounds at 2^-9: 2 % if all of them err to one side.
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    assert not torch.equal(logits["bfloat16"], logits["float32"])  # it did compute in another precision


@tiny.in_float64()
def test_a_compiled_network_computes_what_it_computes_uncompiled(tmp_path, monkeypatch):
    """Traced and differentiated as for any backend, but run by PyTorch's own kernels: no C++ compiler is needed."""
    graphs, compile = [], torch.compile

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable:
        graphs.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    monkeypatch.setattr(torch, "compile", lambda network: compile(network, backend=backend))
    x = torch.rand(tiny.BATCH, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    data, found = tiny.random_images((3, 8, 8)), {}
    for switch in ("off", "on"):
        run = tiny.made(tiny.colour_spec(compile=switch), data, tmp_path)
        shaken(run.task.network)
        point = x.clone().requires_grad_(True)
        with frozen(run.task.learner.eval()):
            logits = run.task.learner(point)
            (gradient,) = torch.autograd.grad(F.cross_entropy(logits, torch.arange(tiny.BATCH) % 3), point)
        run.task.step(run.loop.batches(1)[0], epoch=1, number=0)
        found[switch] = {
            "logits": logits,
            "gradient": gradient,
            "loss": run.task.loss_sum,
            **run.task.network.state_dict(),
        }
        assert bool(graphs) is (switch == "on")
    assert found["off"].keys() == found["on"].keys() and float(found["off"]["gradient"].abs().max()) > 1e-3
    for name, value in found["off"].items():
        torch.testing.assert_close(found["on"][name], value, **tiny.EQUAL, msg=lambda m, n=name: f"{n}: {m}")


# The end of training ----------------------------------------------------------------------------------------------

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
    images = torch.from_numpy(source.images[part]) / torch.tensor(16.0)
    return images, torch.from_numpy(source.labels[part])


def plainly_trained() -> dict[str, Tensor]:
    """Weights of a loop such as much published code has: contiguous, backward() in the attack."""
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


@pytest.fixture(scope="module")
def plain_in_float32() -> dict[str, Tensor]:
    return plainly_trained()


@pytest.fixture(scope="module")
def plain_in_float64() -> dict[str, Tensor]:
    with tiny.in_float64():
        return plainly_trained()


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


@pytest.mark.parametrize("memory_format", ["contiguous", "channels-last"])
@tiny.in_float64()
def test_a_trained_network_is_that_of_the_plain_loop(memory_format, plain_in_float64, tmp_path):
    """Each of the 154 steps makes what differs before it greater, to some thousand times the rounding of the first."""
    fast = fast_trained(tmp_path, memory_format=memory_format)
    for name, value in plain_in_float64.items():
        torch.testing.assert_close(fast[name], value, rtol=1e-9, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize(("precision", "memory_format"), [("float32", "channels-last"), ("bfloat16", "channels-last")])
def test_a_network_trained_fast_is_as_good_as_one_of_the_plain_loop(
    precision, memory_format, plain_in_float32, tmp_path, monkeypatch
):
    """Rounded otherwise, training takes another path, to an end that the images tested can't tell apart."""
    monkeypatch.setattr(engines, "has_bfloat16", lambda device: True)  # emulated where the hardware lacks it
    fast = fast_trained(tmp_path, precision=precision, memory_format=memory_format)
    (clean, robust), (plain_clean, plain_robust) = correct(fast), correct(plain_in_float32)
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


def test_every_version_of_a_compiled_network_is_compiled(monkeypatch):
    """By default PyTorch would run those after the eighth uncompiled; here it would fail."""
    compiled = []

    def count(graph, _inputs):
        compiled.append(graph)
        return graph.forward

    torch._dynamo.reset()
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 8)
    monkeypatch.setattr(torch._dynamo.config, "fail_on_recompile_limit_hit", True)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=count))
    network = build({"family": "resnet", "blocks": [1], "width": 4}, 1, 3)
    run = Engine("float32", "contiguous", compile=True).fast(network)
    for train, free, grad, images in product((True, False), (True, False), (True, False), (4, 3)):
        network.train(train).requires_grad_(free)
        with torch.set_grad_enabled(grad):
            run(torch.rand(images, 1, 8, 8))
    assert len(compiled) > 8
