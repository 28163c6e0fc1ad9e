"""Weights files: ours, and third-party ones in the layouts in which they are published."""

import argparse
import gzip
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from layers import shaken
from safetensors.torch import save, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.package import PackageExporter

from robustlens.errors import RobustlensError
from robustlens.models.published import load_published
from robustlens.models.published_layouts import to_plain
from robustlens.models.weights import build, load_model, save_weights

RESNET = {"family": "resnet", "blocks": [1, 1], "width": 4}
WIDE = {"family": "wide-resnet", "depth": 10, "widen_factor": 1}
DM = {"family": "dm-wide-resnet", "depth": 10, "widen_factor": 1}
CIFAR = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2471, 0.2435, 0.2616]}
X = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def trained(architecture: dict = RESNET) -> nn.Module:
    torch.manual_seed(1)
    network = build(architecture, 3, 5)
    shaken(network.network if "normalisation" in architecture else network)
    return network.eval()


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + key: tensor for key, tensor in state.items()}


def constants(mean: str, std: str, shape: tuple[int, ...] = (1, 3, 1, 1)) -> dict[str, Tensor]:
    return {name: torch.tensor(CIFAR[key]).reshape(shape) for name, key in ((mean, "mean"), (std, "std"))}


def same_function(path: Path, network: nn.Module, architecture: dict, part: str | int | None = None) -> None:
    loaded = load_published(path, architecture, channels=3, classes=5, part=part)
    assert not any(module.training for module in loaded.modules())
    with torch.no_grad():
        assert torch.equal(loaded(X), network(X))


def refused(path: Path, architecture: dict, message: str, part: str | None = None) -> None:
    with pytest.raises(RobustlensError, match=message) as caught:
        load_published(path, architecture, channels=3, classes=5, part=part)
    assert str(path) in str(caught.value)


# Files that fit ---------------------------------------------------------------------------------------------------

LAYOUTS = {
    "plain": lambda s: s,
    "data parallel": lambda s: prefixed(s, "module."),
    "module and model": lambda s: prefixed(s, "module.model."),
    "backbone": lambda s: prefixed(s, "backbone."),
    "state_dict": lambda s: {"state_dict": prefixed(s, "module."), "epoch": 76, "best": 0.5},
    "model": lambda s: {"model": s, "optimizer": {"lr": 0.1}},
    "net": lambda s: {"net": prefixed(s, "module."), "acc": 95.0},
    "model in state_dict": lambda s: {"state_dict": {"model": s}},
    "model_state_dict": lambda s: {"model_state_dict": prefixed(s, "module.0.")},
    "averaged alone": lambda s: {"ema_state_dict": s, "epoch": 3},
    "LightningModule": lambda s: {"state_dict": prefixed(s, "model."), "epoch": 3, "hyper_parameters": {"lr": 0.1}},
    "LightningModule of its own words": lambda s: {"state_dict": prefixed(s, "classifier.resnet.")},
    "pytorch-cifar": lambda s: {"net": s, "acc": 95.0, "epoch": 7},
    "with an optimiser by names": lambda s: {"model": s, "optimizer": {"exp_avg": s}, "optim_sd": s},
    "beside other tensors": lambda s: {"model": s, "rng_state": [torch.get_rng_state()] * 2, "acc": torch.tensor(0.9)},
    "between numbers": lambda s: s | {"epoch": 3, "acc": torch.tensor(0.5).item()},
    "in a tuple": lambda s: (3, s),
    "before torch 0.4.1": lambda s: {key: t for key, t in s.items() if not key.endswith("num_batches_tracked")},
    "attacker's copy": lambda s: {
        "model": prefixed(s, "module.model.") | prefixed({k: 0 * t for k, t in s.items()}, "module.attacker.model.")
    },
    "a normalisation of nothing": lambda s: s | {"mu": torch.zeros(1, 3, 1, 1), "sigma": torch.ones(1, 3, 1, 1)},
    "half precision": lambda s: {key: t.half() if t.is_floating_point() else t for key, t in s.items()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_published_layout_gives_the_same_network(layout: str, tmp_path: Path):
    network = trained()
    if layout == "half precision":
        network.load_state_dict(network.half().state_dict())
        network.float()
    torch.save(LAYOUTS[layout](network.state_dict()), tmp_path / "published.pt")
    same_function(tmp_path / "published.pt", network, RESNET)


@pytest.mark.parametrize("architecture", [RESNET, WIDE, DM, {"family": "preact-resnet", "blocks": [1], "width": 4}])
def test_every_family_survives_a_wrapper(architecture: dict, tmp_path: Path):
    network = trained(architecture)
    torch.save({"state_dict": prefixed(network.state_dict(), "module.")}, tmp_path / "w.pt")
    same_function(tmp_path / "w.pt", network, architecture)


WRAPPERS = {
    "compile": torch.compile,
    "data parallel": nn.DataParallel,
    "averaged": AveragedModel,
    "sequence": nn.Sequential,
}


@pytest.mark.parametrize("wrappers", [*permutations(WRAPPERS, 1), *permutations(WRAPPERS, 2), *permutations(WRAPPERS)])
def test_wrappers_of_torch_may_be_nested_in_any_order(wrappers: tuple[str, ...], tmp_path: Path):
    network = trained()
    wrapped = network
    for name in wrappers:
        wrapped = WRAPPERS[name](wrapped)
    torch.save(wrapped.state_dict(), tmp_path / "w.pt")
    assert not set(wrapped.state_dict()) & set(network.state_dict())
    same_function(tmp_path / "w.pt", network, RESNET)


@pytest.mark.parametrize("wrappers", [("compile",), ("data parallel",), ("compile", "data parallel")])
@pytest.mark.parametrize("architecture", [RESNET, RESNET | {"normalisation": CIFAR}], ids=["plain", "normalised"])
def test_a_part_of_a_network_may_be_wrapped(architecture: dict, wrappers: tuple[str, ...], tmp_path: Path):
    network, partly = trained(architecture), trained(architecture)
    inside = partly.network if "normalisation" in architecture else partly
    for place in ("conv1", "layer1"):
        for name in wrappers:
            inside.set_submodule(place, WRAPPERS[name](inside.get_submodule(place)))
    torch.save(nn.DataParallel(partly).state_dict(), tmp_path / "w.pt")
    assert any("._orig_mod." in name or ".module." in name for name in inside.state_dict())
    same_function(tmp_path / "w.pt", network, architecture)


def test_the_unused_stage_of_wide_networks_is_dropped(tmp_path: Path):
    network = trained(WIDE)
    state = prefixed(network.state_dict(), "module.")
    state |= {key.replace("block1", "sub_block1"): torch.ones(3) for key in state if "block1" in key}
    torch.save(state, tmp_path / "w.pt")
    same_function(tmp_path / "w.pt", network, WIDE)


def test_a_file_in_the_format_before_torch_1_6(tmp_path: Path):
    network = trained()
    torch.save(network.state_dict(), tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    assert (tmp_path / "w.pt").read_bytes()[:2] != b"PK"
    same_function(tmp_path / "w.pt", network, RESNET)


def test_a_published_safetensors_file(tmp_path: Path):
    network = trained()
    save_file(prefixed(network.state_dict(), "module."), tmp_path / "w.safetensors")
    same_function(tmp_path / "w.safetensors", network, RESNET)


@pytest.mark.parametrize("architecture", [RESNET, RESNET | {"normalisation": CIFAR}], ids=["plain", "normalised"])
def test_our_own_file_comes_back(architecture: dict, tmp_path: Path):
    network = trained(architecture)
    save_weights(network.state_dict(), tmp_path / "w.safetensors")
    same_function(tmp_path / "w.safetensors", network, architecture)


# Several state dicts in one file ------------------------------------------------------------------------------------

E = {name: 2 * tensor for name, tensor in trained().state_dict().items()}  # what is not meant
SEVERAL = {
    "last and best": (lambda s: {"last": s, "best": E}, "last", "'last', 'best'"),
    "best and last, wrapped": (
        lambda s: {"best": prefixed(E, "module."), "last": prefixed(s, "module.model.")},
        "last",
        "'best', 'last'",
    ),
    "timm": (lambda s: {"model": E, "model_ema": s, "epoch": 3}, "model_ema", "'model', 'model_ema'"),
    "Lightning": (
        lambda s: {"state_dict": E, "ema_state_dict": s, "optimizer_states": [{"state": {0: {"step": torch.ones(1)}}}]},
        "ema_state_dict",
        "'state_dict', 'ema_state_dict'",
    ),
    "DM-Improves-AT": (
        lambda s: {
            "model_state_dict": prefixed(s, "module.0."),
            "unaveraged_model_state_dict": prefixed(E, "module.0."),
        },
        "model_state_dict",
        "'model_state_dict', 'unaveraged_model_state_dict'",
    ),
    "deeper": (
        lambda s: {"checkpoint": {"raw": E, "ema": {"decay": 0.9, "shadow": s}}},
        "checkpoint.ema",
        "'checkpoint.raw', 'checkpoint.ema'",
    ),
    "prefixes": (
        lambda s: {"state_dict": prefixed(E, "model.") | prefixed(s, "ema_model.module.")},
        "state_dict.ema_model",
        "'state_dict.model', 'state_dict.ema_model'",
    ),
    "one inside the other": (
        lambda s: prefixed(E, "model.ema.") | prefixed(s, "model."),
        "model",
        "'model', 'model.ema'",
    ),
    "the inner one": (lambda s: prefixed(E, "model.") | prefixed(s, "model.ema."), "model.ema", "'model', 'model.ema'"),
    "without a prefix": (lambda s: s | prefixed(E, "ema."), "", r"one without a name \(''\), 'ema'"),
    "epochs": (lambda s: {"epochs": {3: E, 5: s}}, "epochs.5", "'epochs.3', 'epochs.5'"),
    "our own epochs": (lambda s: prefixed(E, "3.") | prefixed(s, "5."), 5, "'3', '5'"),
    "a list": (lambda s: {"models": [E, s]}, "models.1", "'models.0', 'models.1'"),
    "an average without names": (
        lambda s: {"model": s, "ema": {"shadow_params": list(E.values())}},
        "model",
        "'model', 'ema'",
    ),
    "another network": (lambda s: {"net": s, "D": {"fc.weight": torch.ones(1, 2)}}, "net", "'net', 'D'"),
    "a loss of its own": (
        lambda s: {"state_dict": prefixed(s, "model.") | {"loss.weight": torch.ones(5)}, "ema": E},
        "state_dict.model",
        "'state_dict', 'ema'",
    ),
}


@pytest.mark.parametrize("layout", SEVERAL)
def test_of_several_state_dicts_the_named_one_is_loaded_and_none_without_a_name(layout: str, tmp_path: Path):
    network, (make, part, names) = trained(), SEVERAL[layout]
    torch.save(make(network.state_dict()), tmp_path / "w.pt")
    same_function(tmp_path / "w.pt", network, RESNET, part)
    refused(tmp_path / "w.pt", RESNET, rf"holds 2 state dicts, {names}: say which one is meant, as `part` beside")
    refused(tmp_path / "w.pt", RESNET, rf"has no part 'first'; its state dicts are {names}$", "first")


def test_a_part_whose_name_is_the_beginning_of_several_is_refused(tmp_path: Path):
    torch.save({"a": {"last": E, "best": E}, "b": E}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", RESNET, "has several parts in 'a'; its state dicts are 'a.last', 'a.best'", "a")


def test_by_naming_a_part_one_leaves_out_what_has_another_prefix(tmp_path: Path):
    network = trained(RESNET | {"normalisation": CIFAR})
    state = prefixed(network.network.state_dict(), "model.") | {"metric.weight": torch.ones(1)}
    torch.save(state | constants("normalizer.mean", "normalizer.std"), tmp_path / "w.pt")
    refused(tmp_path / "w.pt", RESNET | {"normalisation": CIFAR}, "unexpected entries: 1 .metric.weight.")
    same_function(tmp_path / "w.pt", network, RESNET | {"normalisation": CIFAR}, "model")
    refused(tmp_path / "w.pt", RESNET, "normalises inputs by", "model")


def test_a_part_without_names_fits_nothing(tmp_path: Path):
    torch.save({"model": E, "ema": {"shadow_params": list(E.values())}}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", RESNET, r"missing entries: \d+ \(conv1.weight, .*unexpected entries: ", "ema")


def test_a_file_that_holds_itself_is_refused(tmp_path: Path):
    content: dict = {"model": E}
    content["again"] = content
    torch.save(content, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", RESNET, "holds 6 state dicts, 'model', 'again.model', 'again.again")


# Normalisation ----------------------------------------------------------------------------------------------------

NORMALISED_LAYOUTS = {
    "not in the file": lambda s: s,
    "mu and sigma": lambda s: s | constants("mu", "sigma"),
    "mean and std": lambda s: s | constants("mean", "std", (3, 1, 1)),
    "a layer before": lambda s: prefixed(s, "model.") | constants("normalize.mean", "normalize.std"),
    "in a sequence": lambda s: prefixed(s, "module.1.") | constants("module.0.mean", "module.0.std", (3,)),
    "MadryLab": lambda s: {
        "model": prefixed(s, "module.model.")
        | prefixed(s, "module.attacker.model.")
        | constants("module.normalizer.new_mean", "module.normalizer.new_std", (3, 1, 1))
        | constants("module.attacker.normalize.new_mean", "module.attacker.normalize.new_std", (3, 1, 1))
    },
}


@pytest.mark.parametrize("layout", NORMALISED_LAYOUTS)
def test_a_normalisation_is_that_of_the_architecture(layout: str, tmp_path: Path):
    architecture = RESNET | {"normalisation": CIFAR}
    network = trained(architecture)
    torch.save(NORMALISED_LAYOUTS[layout](network.network.state_dict()), tmp_path / "w.pt")
    same_function(tmp_path / "w.pt", network, architecture)


@pytest.mark.parametrize("layout", [name for name in NORMALISED_LAYOUTS if name != "not in the file"])
@pytest.mark.parametrize("normalisation", [None, CIFAR | {"std": [0.2023, 0.1994, 0.2010]}], ids=["none", "another"])
def test_a_file_with_another_normalisation_is_refused(layout: str, normalisation: dict | None, tmp_path: Path):
    torch.save(NORMALISED_LAYOUTS[layout](trained().state_dict()), tmp_path / "w.pt")
    architecture = RESNET | ({"normalisation": normalisation} if normalisation else {})
    expected = r"normalises inputs by \{'mean': \[0\.4914, 0\.4822, 0\.4465\], 'std': \[0\.2471, 0\.2435, 0\.2616\]\}"
    refused(tmp_path / "w.pt", architecture, expected)


def stored_as(content: object, dtype: torch.dtype) -> object:
    if isinstance(content, dict):
        return {key: stored_as(value, dtype) for key, value in content.items()}
    return content.to(dtype) if isinstance(content, Tensor) and content.is_floating_point() else content


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("layout", NORMALISED_LAYOUTS)
def test_a_normalisation_counts_within_the_precision_of_the_file(layout: str, dtype: torch.dtype, tmp_path: Path):
    architecture = RESNET | {"normalisation": CIFAR}
    network = trained(architecture)
    network.load_state_dict(network.to(dtype).state_dict())
    network.float()
    torch.save(stored_as(NORMALISED_LAYOUTS[layout](network.network.state_dict()), dtype), tmp_path / "w.pt")
    loaded = load_published(tmp_path / "w.pt", architecture, channels=3, classes=5)
    assert torch.equal(loaded.std.flatten(), torch.tensor(CIFAR["std"]))  # as configured, not as rounded
    with torch.no_grad():
        assert torch.equal(loaded.network(X), network.network(X))


@pytest.mark.parametrize(
    ("dtype", "off", "fits"),  # 0.2616 is 0.26171875 in float16, 0.26171875 in bfloat16
    [
        (torch.float32, 0.00009, True),
        (torch.float32, 0.00012, False),
        (torch.float16, 0.00012, True),
        (torch.float16, 0.0004, False),
        (torch.bfloat16, 0.0008, True),
        (torch.bfloat16, 0.002, False),
    ],
)
def test_a_normalisation_that_is_further_off_than_by_rounding_is_another(
    dtype: torch.dtype, off: float, fits: bool, tmp_path: Path
):
    state = trained().state_dict() | stored_as(constants("mu", "sigma"), dtype)
    stored = state["sigma"].flatten()[2].item()
    architecture = RESNET | {"normalisation": CIFAR | {"std": [0.2471, 0.2435, stored + off]}}
    torch.save(state, tmp_path / "w.pt")
    if fits:
        load_published(tmp_path / "w.pt", architecture, channels=3, classes=5)
    else:
        said = "; give the architecture this" if dtype == torch.float32 else f", rounded to {str(dtype)[6:]}; give the"
        refused(tmp_path / "w.pt", architecture, rf"'std': \[0.247.*\]\}}{said}")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_of_the_robustness_library_for_imagenet(zipped: bool, tmp_path: Path):
    """As its `train_model` saves it: DataParallel around the classifier, the attacker's copy and the normalisation,
    and beside them the optimiser, the schedule and what it logs (Salman et al. 2020, Engstrom et al. 2019)."""
    imagenet = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    architecture = {"family": "imagenet-resnet", "depth": 18, "normalisation": imagenet}
    network = trained(architecture)
    inside = network.network.state_dict()
    new = {name: torch.tensor(imagenet[key])[:, None, None] for name, key in (("new_mean", "mean"), ("new_std", "std"))}
    parts = {"model.": inside, "attacker.model.": inside, "normalizer.": new, "attacker.normalize.": new}
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    content = {
        "model": {f"module.{prefix}{key}": tensor for prefix, part in parts.items() for key, tensor in part.items()},
        "optimizer": optimiser.state_dict(),
        "schedule": torch.optim.lr_scheduler.StepLR(optimiser, 30).state_dict(),
        "epoch": 90,
        "amp": "N/A",
        "nat_prec1": torch.tensor(63.86),
    }
    torch.save(content, tmp_path / "w.ckpt", _use_new_zipfile_serialization=zipped)
    same_function(tmp_path / "w.ckpt", network, architecture)
    refused(tmp_path / "w.ckpt", architecture | {"normalisation": CIFAR}, r"normalises inputs by \{'mean': \[0\.485, 0")


def test_a_mean_without_a_deviation_is_refused(tmp_path: Path):
    torch.save(trained().state_dict() | {"mu": torch.zeros(1, 3, 1, 1)}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", RESNET, "1 means and 0 deviations")


# Files that do not fit --------------------------------------------------------------------------------------------


def test_missing_and_unexpected_entries_are_counted_and_the_first_are_named(tmp_path: Path):
    state = trained().state_dict()
    del state["bn1.weight"], state["linear.bias"]
    state |= {f"stem{n}.weight": torch.ones(1) for n in range(5)}
    torch.save(state, tmp_path / "w.pt")
    refused(
        tmp_path / "w.pt",
        RESNET,
        r"missing entries: 2 \(bn1\.weight, linear\.bias\); "
        r"unexpected entries: 5 \(stem0\.weight, stem1\.weight, stem2\.weight, \.\.\.\)",
    )


@pytest.mark.parametrize("change", [{"width": 8}, {"blocks": [1]}, {"blocks": [1, 2]}, {"block": "bottleneck"}])
def test_weights_of_another_size_are_refused(change: dict, tmp_path: Path):
    torch.save(trained().state_dict(), tmp_path / "w.pt")
    refused(tmp_path / "w.pt", RESNET | change, r"not the weights of \{'family': 'resnet'")


def test_one_entry_under_two_names_is_refused(tmp_path: Path):
    state = trained().state_dict()
    torch.save(state | {"module.conv1.weight": state["conv1.weight"]}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", RESNET, "holds conv1.weight twice, the second time as module.conv1.weight")


@pytest.mark.parametrize("content", [{"epoch": 3, "acc": 0.5}, {}, [torch.ones(2)], torch.ones(2), {"model": {}}])
def test_a_file_without_a_state_dict_is_refused(content: object, tmp_path: Path):
    torch.save(content, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", RESNET, "the file holds no state dict, but")


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_file_is_ever_run(zipped: bool, tmp_path: Path):
    content = {"state_dict": trained().state_dict(), "args": Trap(tmp_path / "sprung")}
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    refused(tmp_path / "w.pt", RESNET, "needs unpickling, .*save its state dict alone")
    assert not (tmp_path / "sprung").exists()


NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))


def zipped(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def written(path: Path, save: Callable, *content: np.ndarray, **named: np.ndarray) -> None:
    with open(path, "wb") as file:
        save(file, *content, **named)


def unknown_compression(path: Path) -> None:
    """A checkpoint whose pickle is compressed by method 99, as both of its headers say."""
    zipped(path, **{"w/data.pkl": b"x"})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(signature) + offset] = 99
    path.write_bytes(content)


def zipped_checkpoint(path: Path) -> None:
    torch.save(NETWORK.state_dict(), path)
    zipped(path, **{"theirs/README.txt": b"hello", "theirs/best.pt": path.read_bytes(), "__MACOSX/x": b""})


def packaged(path: Path) -> None:
    with PackageExporter(path) as exporter:
        exporter.extern("**")
        exporter.save_pickle("model", "model.pkl", NETWORK)


def tarred(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "best.pt")


PAGE = b"\xef\xbb\xbf\n<!doctype html><html><head><title>Drive:\n virus \x1b[2J scan</title>"
OTHER_FILES = {
    "empty": (b"", r"the file is empty; fetch it again$"),
    "TorchScript, traced": (
        lambda p: torch.jit.save(torch.jit.trace(NETWORK, X), p),
        "the file is TorchScript, a program",
    ),
    "TorchScript, scripted": (lambda p: torch.jit.save(torch.jit.script(NETWORK), p), "TorchScript.*needs running"),
    "torch.package": (packaged, "is a torch.package, code with its weights: it needs running"),
    "torch.export": (lambda p: zipped(p, **{"m/archive_format": b"pt2"}), "is a program of torch.export"),
    "a checkpoint in a .zip": (
        zipped_checkpoint,
        r"a .zip archive with 'theirs/README.txt', 'theirs/best.pt' in it; unpack it, put the file of weights itself",
    ),
    "an empty .zip": (zipped, "a .zip archive with nothing in it"),
    "a compression that Python lacks": (
        unknown_compression,
        "a .zip archive that Python can't unpack \\('That compression method is not supported'\\); unpack it",
    ),
    "four files": (lambda p: zipped(p, a=b"", b=b"", c=b"", d=b""), "with 'a', 'b', 'c' and 1 more in it"),
    "Keras": (lambda p: zipped(p, **{"config.json": b"", "model.weights.h5": b""}), "is a Keras model"),
    "npz": (lambda p: written(p, np.savez, a=np.ones(2)), r"is NumPy arrays \(.npz\)"),
    "npy": (lambda p: written(p, np.save, np.ones(2)), r"is one NumPy array \(.npy\)"),
    "a network": (lambda p: torch.save(NETWORK, p), "a whole network, as an object of torch.nn.modules.container.Seq"),
    "a network among others": (
        lambda p: torch.save({"model": NETWORK, "epoch": 3}, p),
        "a whole network, as an object of torch.nn.modules.container.Sequential, not tensors alone: it needs un",
    ),
    "a network before torch 1.6": (
        lambda p: torch.save(NETWORK, p, _use_new_zipfile_serialization=False),
        "a whole network, as an object of torch.nn.modules.container.Sequential",
    ),
    "a network by protocol 4": (
        lambda p: torch.save(NETWORK, p, pickle_protocol=4),
        "a whole network, as an object of torch.nn.modules.container.Sequential",
    ),
    "arguments": (
        lambda p: torch.save({"state_dict": {}, "args": argparse.Namespace(lr=0.1)}, p),
        "holds objects of argparse.Namespace, not tensors alone: it needs unpickling",
    ),
    "a pickle": (pickle.dumps({"w": 1}), "a plain pickle, not one of torch.save: it needs unpickling"),
    "a page": (b"<html><body>Sign in", "is a web page, saved in place of the weights; fetch it again"),
    "a page with a title": (PAGE, r"is a web page \('Drive: virus \\x1b\[2J scan'\), saved in place"),
    "XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied", "is a web page, saved in place"),
    "JSON": (b'{"metadata": {"total_size": 5}, "weight_map": {}}', "is JSON, which may say where weights are"),
    "text": (b"404: Not Found\n", "is text, which begins '404: Not Found'; fetch it again"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a pointer of Git LFS"),
    "gzip": (gzip.compress(bytes(100)), "is compressed by gzip; unpack it"),
    "tar": (tarred, "is a .tar archive; unpack it"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(90), "is HDF5"),
    "zeros": (bytes(100), "neither of safetensors nor of torch.save, or it is damaged"),
    "the beginning of a .zip": (b"PK\x03\x04" + bytes(100), "is damaged, a .zip archive"),
    "the beginning of safetensors": (b"\x10" + bytes(7) + b"{", "the file of safetensors is damaged"),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_a_file_that_is_something_else_is_named_for_what_it_is(kind: str, tmp_path: Path):
    make, message = OTHER_FILES[kind]
    (tmp_path / "w.pt").write_bytes(make) if isinstance(make, bytes) else make(tmp_path / "w.pt")
    with pytest.raises(RobustlensError, match=message) as caught:
        load_published(tmp_path / "w.pt", RESNET, channels=3, classes=5)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'w.pt'}: the file ") and said.isprintable()
    assert "weights_only" not in said and "False" not in said  # what torch advises, and nobody should do


def test_safetensors_whose_length_looks_like_another_kind_are_read(tmp_path: Path):
    """A header of 0x8b1f = 35615 bytes begins like gzip."""
    content = save(trained().state_dict())
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].rstrip().ljust(0x8B1F)
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    assert (tmp_path / "w.safetensors").read_bytes()[:2] == b"\x1f\x8b"
    same_function(tmp_path / "w.safetensors", trained(), RESNET)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_file_that_is_cut_short_is_refused(zipped: bool, tmp_path: Path):
    torch.save(trained().state_dict(), tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "w.pt").read_bytes()
    for share in (0.3, 0.9):
        (tmp_path / "w.pt").write_bytes(whole[: int(share * len(whole))])
        refused(tmp_path / "w.pt", RESNET, "damaged")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    refused(tmp_path / "none.pt", RESNET, "could not be read")
    refused(tmp_path, RESNET, "could not be read")


def test_plain_names_are_left_alone():
    """A prefix is only taken from a name that is not itself expected."""
    state = {"0.weight": torch.ones(1), "1.weight": torch.zeros(1), "model.0.weight": torch.ones(2)}
    assert to_plain(state, ["0.weight", "1.weight", "model.0.weight"]) == state


def test_an_entry_too_many_is_enough_to_refuse():
    with pytest.raises(RobustlensError, match=r"^missing entries: none; unexpected entries: 1 \(extra\.bias\)$"):
        to_plain({"fc.weight": torch.ones(1), "module.extra.bias": torch.ones(1)}, ["fc.weight"])


def test_weights_of_a_network_for_other_classes_are_refused(tmp_path):
    """Such as those of a teacher or a helper that was trained on another dataset."""
    save_weights(build(RESNET, 3, 5).state_dict(), tmp_path / "teacher.safetensors")
    with pytest.raises(RobustlensError, match=r"(?s)teacher\.safetensors: not the weights of .*linear\.weight"):
        load_model(tmp_path / "teacher.safetensors", RESNET, channels=3, classes=7)
