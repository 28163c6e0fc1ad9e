"""AR-AT: asymmetrically representation-regularised adversarial training (Waseda et al. 2025, and its released code)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.off_centre_pgd import OffCentrePGD
from robustlens.attacks.pgd import PGD, Model
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.learning.features import adversarial_features, natural_features, require_layers
from robustlens.learning.learner import PENULTIMATE, Learner
from robustlens.learning.method import Attack, Attacked, Batch, Build, Epoch, Method
from robustlens.models.normalised import Normalised
from robustlens.models.split_batchnorm import ADVERSARIAL, NATURAL, natural_batchnorm, ordinary, split
from robustlens.parameters import Flag, Names, NonNegative, OneOf, Positive, nearest

BALANCED_ON = 1024  # augmented training images
WIDTHS = ("num_features", "out_channels", "out_features")  # what modules call the number of their outputs


@dataclass(frozen=True)
class Arat(Method):
    """(1/B) sum_i [ alpha CE(f_adv(x*_i), y_i) + beta CE(f_nat(x_i), y_i) + (gamma/L) sum_l D(h_l(z*_il), sg(z_il)) ]

    x* by PGD on the cross-entropy from a uniform start. f_adv and f_nat have the same weights, but BatchNorms of their
    own. z_l and z*_l are the features of a natural image and of the attacked one: what layer l gives, after ReLU and
    the mean over positions. sg stops the gradient. f_adv is deployed, and f_nat beside it as `natural-batchnorm`.

    gamma: weight of all L layers together. The released scripts have 30 for ResNet-18 (L = 4), 100 for WRN-34-10
        (L = 11).
    layers: submodules by name, or `penultimate`. Those of the scripts: layer4.{0,1}.{bn1,bn2} of ResNet-18;
        block3.layer.{0..4}.{relu1,relu2} and what is pooled at the end, penultimate, of WRN-34-10.
    distance: `cosine` 1 - cos(a, b); `mse` the mean over features of (a - b)^2; `kl` T^2 KL(softmax(b/T) ||
        softmax(a/T)), where a is of the attacked image and b of the natural one.
    temperature: T of `kl`. The released code reads one that it never defines, so the default of 1 is ours.
    gradient: of the distance, `to-adversarial` features alone (the paper's stop-gradient), `to-natural` ones alone,
        or to `both` (the loss that the paper begins with).
    predictor: h_l, a small network per layer that is trained along. Without it, h_l(z) = z.
    split_batchnorm: without it, f_nat and f_adv are the same network.
    auto_balance: alpha is the accuracy of f_nat on the first 1,024 augmented training images (whole batches) before
        each epoch, in eval mode, and beta = 1 - alpha. Without it, both are 1.
    start: `as-released`, x* is of off-centre PGD, and its noised images take the place of x in the loss.
    """

    ALSO = ("natural-batchnorm",)

    layers: Names
    gamma: NonNegative = 30.0
    distance: OneOf("cosine", "mse", "kl") = "cosine"
    temperature: Positive = 1.0
    gradient: OneOf("to-adversarial", "to-natural", "both") = "to-adversarial"
    predictor: Flag = True
    split_batchnorm: Flag = True
    auto_balance: Flag = True
    start: OneOf("clean-centred", "as-released") = "clean-centred"

    def __post_init__(self):
        require_layers(self.layers, "arat")
        if self.predictor and self.gradient == "to-natural":
            raise RobustlensError(
                "arat: a predictor learns only from the gradient to the adversarial features, which `gradient: "
                "to-natural` stops; set `predictor: false`"
            )

    # The networks ---------------------------------------------------------------------------------------------------

    def network(self, build: Build) -> nn.Module:
        return split(build()) if self.split_batchnorm else build()

    def deployed(self, learner: Learner) -> nn.Module:
        return ordinary(learner.network, ADVERSARIAL)

    def also_deployed(self, learner: Learner) -> dict[str, nn.Module]:
        """Without split BatchNorm, the same as is deployed."""
        return {"natural-batchnorm": ordinary(learner.network, NATURAL)}

    def parts(self, network: nn.Module, build: Build) -> dict[str, nn.Module]:
        """A predictor for each layer. Raises RobustlensError for a layer that is not there."""
        widths = [width(network, layer) for layer in self.layers]
        return {name_of(n): predictor_of(d) for n, d in enumerate(widths)} if self.predictor else {}

    # The weights of the cross-entropies -----------------------------------------------------------------------------

    def memory(self, classes: int) -> nn.Module:
        """accuracy: that auto-balance goes by; before the first epoch it means nothing."""
        memory = nn.Module()
        if self.auto_balance:
            memory.register_buffer("accuracy", torch.tensor(0.5))
        return memory

    def before_epoch(self, learner: Learner, epoch: Epoch) -> None:
        if self.auto_balance:
            learner.memory.accuracy.fill_(natural_accuracy(learner, epoch))

    def balance(self, memory: nn.Module) -> tuple[Tensor | float, Tensor | float]:
        """alpha and beta."""
        return (memory.accuracy, 1 - memory.accuracy) if self.auto_balance else (1.0, 1.0)

    # The loss -------------------------------------------------------------------------------------------------------

    def attack(self, steps: int) -> Attack:
        return PGD(steps=steps) if self.start == "clean-centred" else NoisedPGD(steps=steps)

    def loss(self, learner: Learner, batch: Batch) -> dict[str, Tensor]:
        natural, z = natural_features(learner, batch.x, self.layers)
        adversarial, z_adv = adversarial_features(learner, batch.x_adv, self.layers)
        alpha, beta = self.balance(learner.memory)
        distances = [self.distances(learner, n, *pair) for n, pair in enumerate(zip(z_adv, z, strict=True))]
        return {
            "adversarial": alpha * F.cross_entropy(adversarial, batch.y, reduction="none"),
            "natural": beta * F.cross_entropy(natural, batch.y, reduction="none"),
            "regularisation": self.gamma / len(self.layers) * sum(distances),
        }

    def distances(self, learner: Learner, n: int, z_adv: Tensor, z: Tensor) -> Tensor:
        """D (B,) of the features (B, d), adversarial and natural, of layer n, counted from 0."""
        predicted = learner.run(name_of(n), z_adv) if self.predictor else z_adv
        if self.gradient == "to-adversarial":
            z = z.detach()
        elif self.gradient == "to-natural":
            predicted = predicted.detach()
        if self.distance == "cosine":
            return 1 - F.cosine_similarity(predicted, z, dim=1)
        if self.distance == "mse":
            return (predicted - z).square().mean(1)
        target, found = (F.log_softmax(features / self.temperature, dim=1) for features in (z, predicted))
        return self.temperature**2 * (target.exp() * (target - found)).sum(1)


class NoisedPGD(OffCentrePGD):
    """Off-centre PGD whose noised images the loss takes for the natural ones, too."""

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Attacked:
        noised, x_adv = self.around_noise(model, x, y, threat, generator)
        return Attacked(x_adv, x=noised)


def natural_accuracy(learner: Learner, epoch: Epoch) -> float:
    """Of f_nat in eval mode, on as many augmented training images as auto-balance goes by. Leaves eval mode on."""
    right = total = 0
    learner.eval()
    with torch.no_grad(), natural_batchnorm(learner.network):
        for x, y in epoch.augmented():
            right += int((learner(x).argmax(1) == y).sum())
            total += len(y)
            if total >= BALANCED_ON:
                break
    return right / total


# Predictors -------------------------------------------------------------------------------------------------------


def name_of(n: int) -> str:
    """Of the predictor of layer n: names of parts can't have the dots that those of layers have."""
    return f"predictor{n}"


def predictor_of(d: int) -> nn.Sequential:
    """h: from features (B, d) to features (B, d), through a quarter of their number."""
    hidden = max(1, d // 4)
    return nn.Sequential(nn.Linear(d, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, d))


def width(network: nn.Module, layer: str) -> int:
    """d of a layer's features: what its last module with a number of outputs gives, or the last one before it where it
    has none itself, such as a ReLU. Raises RobustlensError for a layer that is not there, or with none before it."""
    network = network.network if isinstance(network, Normalised) else network
    if layer == PENULTIMATE:
        return network.linear.in_features
    try:
        module = network.get_submodule(layer)
    except AttributeError as error:
        there = [PENULTIMATE, *(name for name, _ in network.named_modules() if name)]
        raise RobustlensError(f"arat: the network has no layer {layer!r}{nearest(layer, there)}") from error
    modules = list(network.modules())
    up_to_here = [*modules[: modules.index(module)], *module.modules()]
    widths = [d for one in up_to_here for name in WIDTHS if (d := getattr(one, name, None)) is not None]
    if not widths:
        raise RobustlensError(f"arat: layer {layer!r} comes before all that has features")
    return widths[-1]
