"""How different natural and attacked images are to BatchNorm, and how it changes (AR-AT: Waseda et al. 2025)."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustlens.errors import RobustlensError
from robustlens.learning.observer import Observer, Statistics, Step
from robustlens.models.split_batchnorm import ADVERSARIAL, NATURAL, SplitBatchNorm, natural_batchnorm
from robustlens.parameters import PositiveInt

Norm = nn.BatchNorm2d | SplitBatchNorm


@dataclass(frozen=True)
class BatchnormMixture(Observer):
    """Of each BatchNorm of maps, of the batch's images and in train mode: with m and v the mean and variance of a
    channel of its input, over natural images and positions, and m* and v* over the attacked ones,

    `<layer>/means`: the mean over channels of (m* - m)^2 / ((v* + v) / 2)
    `<layer>/variances`: the mean over channels of |log(v* / v)|

    Of the running statistics, between the step that was observed before and this one:

    `<layer>/running-mean`: the root of the mean over channels of (mu - mu')^2 / v', mu and v the running mean and
        variance now, after the loss's passes, mu' and v' then
    `<layer>/running-variance`: the mean over channels of |log(v / v')|

    With split BatchNorm these two are of `<layer>/adversarial` and of `<layer>/natural`, and natural images pass
    through the latter. Each variance has the BatchNorm's eps added. `mean/...` are the means over the layers.

    Of several processes each has running statistics of its own between the loss and the end of the step. The numbers
    are averaged; after a resumption, the first step compares with those of the first process.
    Raises RobustlensError for a network without such a BatchNorm.
    """

    every: PositiveInt = 100

    @torch.no_grad()
    def of_step(self, step: Step, memory: dict[str, Tensor]) -> Statistics:
        network = step.learner.network
        norms = outermost(network)
        if not norms:
            raise RobustlensError(
                "observers.batchnorm-mixture: the network has no BatchNorm of maps; take the observer out, or choose "
                "an architecture with one"
            )
        found = moved(norms, memory)  # before the passes below, which change the running statistics
        with inputs(norms) as adversarial:
            step.learner.features(step.batch.x_adv, ())
        with inputs(norms) as natural, natural_batchnorm(network):
            step.learner.features(step.batch.x, ())
        for layer, norm in norms.items():
            eps = (norm.adversarial if isinstance(norm, SplitBatchNorm) else norm).eps
            (m_adv, v_adv), (m, v) = adversarial[layer], natural[layer]
            found[f"{layer}/means"] = ((m_adv - m) ** 2 / ((v_adv + v) / 2 + eps)).mean()
            found[f"{layer}/variances"] = log_ratio(v_adv, v, eps)
        return found | means(found)


def outermost(network: nn.Module) -> dict[str, Norm]:
    """The BatchNorms of maps by name; a pair is one."""
    found = {name: module for name, module in network.named_modules() if isinstance(module, Norm)}
    inside = {id(norm) for pair in found.values() if isinstance(pair, SplitBatchNorm) for norm in pair.children()}
    return {name: norm for name, norm in found.items() if id(norm) not in inside}


@contextlib.contextmanager
def inputs(norms: dict[str, Norm]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Mean and variance of each channel of what each BatchNorm is given inside, by its name; of its last pass."""
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def seen(layer: str, x: Tensor) -> None:
        variance, mean = torch.var_mean(x if x.dtype == torch.float64 else x.float(), dim=(0, 2, 3), correction=0)
        found[layer] = mean, variance

    with contextlib.ExitStack() as hooks:
        for layer, norm in norms.items():
            hook = norm.register_forward_pre_hook(lambda _, given, layer=layer: seen(layer, given[0]))
            hooks.callback(hook.remove)
        yield found


def moved(norms: dict[str, Norm], memory: dict[str, Tensor]) -> dict[str, Tensor]:
    """How far the running statistics are from those in the memory, if it has any; these take their place there."""
    found = {}
    for layer, norm in norms.items():
        pair = isinstance(norm, SplitBatchNorm)
        kinds = (
            {f"{layer}/{which}": getattr(norm, which) for which in (ADVERSARIAL, NATURAL)} if pair else {layer: norm}
        )
        for name, one in kinds.items():
            mean, variance = one.running_mean.clone(), one.running_var.clone()
            if f"{name}/mean" in memory:
                before, spread = memory[f"{name}/mean"], memory[f"{name}/variance"]
                found[f"{name}/running-mean"] = ((mean - before) ** 2 / (spread + one.eps)).mean().sqrt()
                found[f"{name}/running-variance"] = log_ratio(variance, spread, one.eps)
            memory[f"{name}/mean"], memory[f"{name}/variance"] = mean, variance
    return found


def log_ratio(v: Tensor, other: Tensor, eps: float) -> Tensor:
    """The mean over channels of the absolute logarithm of a ratio of variances."""
    return ((v + eps) / (other + eps)).log().abs().mean()


def means(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The means over the layers, as `mean/...`."""
    kinds: dict[str, list[Tensor]] = {}
    for name, value in found.items():
        layer_and_kind = name.split("/")
        kinds.setdefault("/".join(layer_and_kind[1:]), []).append(value)
    return {f"mean/{kind}": torch.stack(values).mean() for kind, values in kinds.items()}
