"""What is trained: the classifier, what is trained with it, and what a method remembers."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from robustlens.errors import RobustlensError
from robustlens.models.normalised import Normalised
from robustlens.parameters import nearest

PENULTIMATE = "penultimate"
Runner = Callable[[nn.Module, bool], Callable[[Tensor], Tensor]]


def as_it_is(module: nn.Module, compiled: bool) -> Callable[[Tensor], Tensor]:
    return module


class Learner(nn.Module):
    """Every tensor that a training changes, beside the optimiser's velocities and averages of the weights: its
    `state_dict` is the whole state of a method.

    network: the classifier. parts: modules that are trained with it. memory: buffers of the method.
    given: frozen networks of other runs, which belong to no state. runner: how a module is run (`Engine.fast`).

    Called with images (B, C, H, W), it gives the logits (B, K) of the classifier in float32.
    """

    def __init__(
        self,
        network: nn.Module,
        parts: Mapping[str, nn.Module] | None = None,
        memory: nn.Module | None = None,
        given: Mapping[str, nn.Module] | None = None,
        runner: Runner = as_it_is,
    ):
        super().__init__()
        self.network, self.parts, self.memory = network, nn.ModuleDict(parts or {}), memory or nn.Module()
        self._given, self._runner = dict(given or {}), runner
        if both := self.parts.keys() & self._given.keys():
            raise RobustlensError(f"{min(both)!r} is a part of the method and a given network; rename one of them")
        others = dict(self.parts.items()) | {
            name: module.eval().requires_grad_(False) for name, module in self._given.items()
        }
        # In plain dictionaries, which register nothing: given networks are no state, and parts are registered already.
        self._others = others
        self._run = {name: runner(module, True) for name, module in (others | {None: network}).items()}
        self._watched: dict[int, str] = {}
        self._seen: dict[str, Tensor] = {}

    def with_network(self, network: nn.Module) -> "Learner":
        """The same with another network in place of the classifier, such as an average of its weights."""
        return Learner(network, self.parts, self.memory, self._given, self._runner)

    def forward(self, x: Tensor) -> Tensor:
        return self._watch(x, self._run[None](x))

    def features(self, x: Tensor, layers: Sequence[str], of: str | None = None) -> tuple[Tensor, list[Tensor]]:
        """The logits of the classifier, or the output of the part or given network `of`, and in float32 the outputs of
        these layers of it, in the same pass.

        layers: submodules, as the architecture names them; "penultimate" is what its last layer, `linear`, is given.
        Raises RobustlensError for a layer that is not there, and for one that the pass goes by.
        """
        module, found = self.network if of is None else self._others[of], {}
        with contextlib.ExitStack() as hooks:
            for name in layers:
                hooks.callback(_kept(module, name, found).remove)
            output = self._runner(module, False)(x)  # compiled code has no hooks
        for name in layers:
            if name not in found:
                raise RobustlensError(f"the layer {name!r} takes no part in a pass of the network; name another one")
        outputs = [found[name].float() if found[name].dtype == torch.bfloat16 else found[name] for name in layers]
        return (self._watch(x, output) if of is None else output), outputs

    def _watch(self, x: Tensor, logits: Tensor) -> Tensor:
        if id(x) in self._watched:
            self._seen[self._watched[id(x)]] = logits.detach()
        return logits

    def run(self, name: str, x: Tensor) -> Tensor:
        """The output of the part, or of the given network, of that name."""
        return self._run[name](x)

    @contextlib.contextmanager
    def watching(self, **images: Tensor) -> Iterator[dict[str, Tensor]]:
        """Inside, the logits of these very tensors of images are kept by name: those of the last pass of each."""
        self._watched, self._seen = {id(x): name for name, x in reversed(images.items())}, {}
        try:
            yield self._seen
        finally:
            self._watched = {}


def _kept(module: nn.Module, name: str, found: dict[str, Tensor]) -> RemovableHandle:
    """From now on `found` has, by its name, what a layer gives."""
    network = module.network if isinstance(module, Normalised) else module
    if name == PENULTIMATE:
        return network.linear.register_forward_pre_hook(lambda _, inputs: found.update({name: inputs[0]}))
    try:
        layer = network.get_submodule(name)
    except AttributeError as error:
        there = [other for other, _ in network.named_modules() if other]
        raise RobustlensError(f"the network has no layer {name!r}{nearest(name, there)}") from error
    return layer.register_forward_hook(lambda _, inputs, output: found.update({name: output}))


@contextlib.contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, no parameter needs a gradient: an attack then costs two passes per step, not three. What was frozen
    before is so afterwards."""
    needed = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in needed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in needed:
            parameter.requires_grad_(True)
