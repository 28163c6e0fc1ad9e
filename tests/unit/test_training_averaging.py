"""Averages of the weights over training, and the BatchNorm statistics that go with them."""

import copy

import tiny
import torch
from plain import pgd
from torch import Tensor, nn

from robustlens.models.weights import build
from robustlens.seeds import generator


@tiny.in_float64()
def test_ema_is_the_recursion_over_all_steps_and_is_what_is_tracked_and_kept(tmp_path):
    data, spec = tiny.random_images((3, 8, 8)), tiny.colour_spec(averaging=tiny.EMA)
    average, at_epoch_end = None, {}
    for epoch, weights in tiny.after_each_step(tiny.made(spec, data, tmp_path / "steps"), epochs=2):
        weights = {name: t for name, t in weights.items() if t.is_floating_point()}
        average = weights if average is None else {name: 0.8 * average[name] + 0.2 * weights[name] for name in weights}
        at_epoch_end[epoch] = average
    run = tiny.train(spec, data, tmp_path / "run")
    for found, expected in ((run.last, average), (run.best, at_epoch_end[run.best_epoch])):
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, **tiny.EQUAL)


def batch_statistics(network: nn.Module, batches: list[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Of every BatchNorm: mean and variance of what it sees of each batch in train mode, averaged over the batches."""
    seen = {name: [] for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    network = copy.deepcopy(network).train()
    for name in seen:
        module = network.get_submodule(name)
        module.register_forward_pre_hook(lambda _, inputs, name=name: seen[name].append(inputs[0].detach()))
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


@tiny.in_float64()
def test_swa_is_the_mean_of_snapshots_with_batchnorm_statistics_of_attacked_training_images(tmp_path):
    data = tiny.random_images((3, 8, 8))
    spec = tiny.colour_spec(averaging=tiny.SWA, augmentation={"crop_padding": 0, "flip": False})
    steps = list(tiny.after_each_step(tiny.made(spec, data, tmp_path / "steps"), epochs=2))
    snapshots = [weights for number, (epoch, weights) in enumerate(steps, 1) if epoch >= 2 and number % 2 == 0]
    assert len(snapshots) == 2  # steps 4 and 6
    last = tiny.train(spec, data, tmp_path / "run").last

    network = build(spec["architecture"], 3, 3)
    parameters = [name for name, _ in network.named_parameters()]
    for name in parameters:
        mean = torch.stack([weights[name] for weights in snapshots]).mean(0)
        torch.testing.assert_close(last[name], mean, **tiny.EQUAL)
    network.load_state_dict({name: t for name, t in last.items() if name in parameters}, strict=False)

    images, labels = (torch.from_numpy(a) for a in (data.splits["train"].pixels(), data.splits["train"].labels))
    order = torch.randperm(25, generator=generator(0, "order", 3)).split(tiny.BATCH)
    natural = [images[where].double() for where in order]
    with_statistics(network, batch_statistics(network, natural))
    attacked = []
    for step, (x, where) in enumerate(zip(natural, order, strict=True)):
        noise = 2 * torch.rand(x.shape, generator=generator(0, "statistics", step, 0)) - 1
        start = (x + 16 / 255 * noise).clamp(0, 1)
        attacked.append(pgd(network, x, labels[where], start, "sat"))
    for name, (mean, variance) in batch_statistics(network, attacked).items():
        torch.testing.assert_close(last[f"{name}.running_mean"], mean, **tiny.EQUAL)
        torch.testing.assert_close(last[f"{name}.running_var"], variance, **tiny.EQUAL)


def test_an_swa_that_never_began_leaves_the_last_weights(tmp_path):
    data = tiny.random_images((3, 8, 8))
    late = tiny.train(tiny.colour_spec(averaging=tiny.SWA | {"start_epoch": 3}), data, tmp_path / "late")
    none = tiny.train(tiny.colour_spec(), data, tmp_path / "none")
    assert all(torch.equal(value, none.last[name]) for name, value in late.last.items())
