"""The networks of a run: the classifier, what is trained with it, and what it is given."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from robustlens.data.prepared import PreparedDataset
from robustlens.learning.learner import Learner
from robustlens.learning.method import Method
from robustlens.models.weights import build, load_model
from robustlens.seeds import derive
from robustlens.training.engine import Engine


def learner_of(
    spec: dict, method: Method, data: PreparedDataset, device: torch.device, weights: Mapping[str, Path]
) -> tuple[Learner, Engine]:
    """All that a run trains, on the device, and how it is run. weights: see `Classification`."""
    network, parts, engine = fresh(spec, method, data, device, weights.get("start_from"))
    given = {
        name: load_model(weights[name], other["architecture"], data.channels, data.classes)
        for name, other in spec.get("given", {}).items()
    }
    parts, given = (
        {name: engine.place(module, device) for name, module in modules.items()} for modules in (parts, given)
    )
    memory = method.memory(data.classes).to(device)
    return Learner(engine.place(network, device), parts, memory, given, runner=engine.fast), engine


def fresh(
    spec: dict, method: Method, data: PreparedDataset, device: torch.device, start_from: Path | None = None
) -> tuple[nn.Module, dict[str, nn.Module], Engine]:
    """The classifier of a run, with fresh weights or those of a file, what is trained with it, with fresh weights, and
    how they are run."""

    def built(part: str | None = None) -> nn.Module:
        architecture = spec["architecture"] if part is None else spec["parts"][part]
        return build(architecture, data.channels, data.classes)

    def started() -> nn.Module:
        network = built()
        if start_from is not None:
            weights = load_model(start_from, spec["architecture"], data.channels, data.classes)
            network.load_state_dict(weights.state_dict())
        return network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(spec["seed"], "weights"))
        network = method.network(started)
        parts = method.parts(network, built)
    return network, parts, Engine.choose(spec["training"], device, nn.ModuleList([network, *parts.values()]))
