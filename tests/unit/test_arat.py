"""AR-AT: its loss and gradients against the equation on a network written out by hand, its predictors, its balance, and
trainings by it."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
import tiny
import torch
from networks import SMALL, images, small
from test_training_processes import two_processes
from torch import Tensor, nn
from written_out import WrittenOut, cross_entropy

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Epoch
from robustlens.methods.arat import Arat, predictor_of, width
from robustlens.models.split_batchnorm import NATURAL, SplitBatchNorm, natural_batchnorm, split
from robustlens.models.weights import build
from robustlens.parameters import create, resolve
from robustlens.planning.passes import training_passes
from robustlens.seeds import generator
from robustlens.training.schedule import Schedule

TWO = ("layer2.0.bn1", "layer2.0.bn2")
DATA = tiny.random_images((3, 8, 8))
CLASSES, IMAGES = 3, 7

# The equation, written out ------------------------------------------------------------------------------------------


class Equation(WrittenOut):
    """The loss of a network in train mode, from named tensors alone.

    fixed: features by which to replace those whose gradient is stopped; without them nothing is stopped.
    """

    def __init__(self, tensors: dict[str, Tensor], method: Arat, accuracy: float):
        super().__init__(tensors, split=method.split_batchnorm)
        self.method, self.accuracy = method, accuracy

    def features(self, x: Tensor, which: str) -> list[Tensor]:
        seen = self.network(x, which)[1]
        found = []
        for layer in self.method.layers:
            output = seen[layer].clamp_min(0)
            found.append(output if output.dim() == 2 else output.sum((2, 3)) / (output.shape[2] * output.shape[3]))
        return found

    def predicted(self, z: Tensor, number: int) -> Tensor:
        if not self.method.predictor:
            return z
        own = {name.rpartition(f"parts.predictor{number}.")[2]: t for name, t in self.tensors.items()}
        hidden = z @ own["0.weight"].T
        mean = hidden.mean(0)
        variance = ((hidden - mean) ** 2).mean(0)
        hidden = (hidden - mean) / (variance + 1e-5).sqrt() * own["1.weight"] + own["1.bias"]
        return hidden.clamp_min(0) @ own["3.weight"].T + own["3.bias"]

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Of one image: a of the attacked one (d,), b of the natural one."""
        if self.method.distance == "cosine":
            return 1 - (a * b).sum() / ((a * a).sum().sqrt() * (b * b).sum().sqrt())
        if self.method.distance == "mse":
            return ((a - b) ** 2).sum() / len(a)
        t = self.method.temperature
        p, q = ((v / t).exp() / (v / t).exp().sum() for v in (b, a))
        return t * t * sum(p[k] * (p[k].log() - q[k].log()) for k in range(len(a)))

    def terms(self, x: Tensor, x_adv: Tensor, y: Tensor, fixed: dict[str, list[Tensor]]) -> dict[str, Tensor]:
        natural, adversarial = self.network(x, "natural")[0], self.network(x_adv, "adversarial")[0]
        z = fixed.get("natural", self.features(x, "natural"))
        h = fixed.get("adversarial")
        if h is None:
            h = [self.predicted(of_layer, n) for n, of_layer in enumerate(self.features(x_adv, "adversarial"))]
        alpha, beta = (self.accuracy, 1 - self.accuracy) if self.method.auto_balance else (1, 1)
        layers = range(len(self.method.layers))
        invariance = [
            self.method.gamma / len(layers) * sum(self.distance(h[layer][i], z[layer][i]) for layer in layers)
            for i in range(len(y))
        ]

        return {
            "adversarial": torch.stack([alpha * cross_entropy(adversarial[i], y[i]) for i in range(len(y))]),
            "natural": torch.stack([beta * cross_entropy(natural[i], y[i]) for i in range(len(y))]),
            "regularisation": torch.stack(invariance),
        }

    @torch.no_grad()
    def stopped(self, x: Tensor, x_adv: Tensor) -> dict[str, list[Tensor]]:
        """The features that are numbers for the gradient, as the method says."""
        if self.method.gradient == "to-adversarial":
            return {"natural": self.features(x, "natural")}
        if self.method.gradient == "to-natural":
            return {"adversarial": self.features(x_adv, "adversarial")}
        return {}


VARIANTS = [
    Arat(TWO),
    Arat(TWO, gamma=7.5, distance="mse"),
    Arat(TWO, distance="kl"),
    Arat(TWO, distance="kl", temperature=3.0, predictor=False),
    Arat(TWO, predictor=False),
    Arat(TWO, split_batchnorm=False),
    Arat(TWO, auto_balance=False),
    Arat(TWO, gradient="both"),
    Arat(TWO, gradient="both", distance="kl", temperature=0.5, predictor=False),
    Arat(TWO, gradient="both", predictor=False, split_batchnorm=False, auto_balance=False),  # the naive loss
    Arat(TWO, gradient="to-natural", predictor=False),
    Arat(TWO, gradient="to-natural", predictor=False, distance="mse", split_batchnorm=False),
    Arat(("penultimate",), gamma=3.0),
    Arat(("layer1.0.bn2", "layer2.0.bn2", "penultimate"), gamma=30.0),
]


def name(method: Arat) -> str:
    default = Arat(TWO)
    changed = [f"{key}={value}" for key, value in vars(method).items() if value != getattr(default, key)]
    return ", ".join(changed) or "default"


each_variant = pytest.mark.parametrize("method", VARIANTS, ids=name)


@dataclass(frozen=True)
class Example:
    method: Arat
    learner: Learner
    batch: Batch
    accuracy: float = 0.3


def example(method: Arat) -> Example:
    """A network whose two BatchNorms have affine maps of their own, natural images and others."""
    torch.manual_seed(0)
    architecture = {"family": "resnet", "blocks": [1, 1], "width": 8}
    network = method.network(lambda: build(architecture, 3, CLASSES))
    learner = Learner(network, method.parts(network, build), method.memory(CLASSES)).double().train()
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in learner.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.weight.copy_(torch.rand(module.weight.shape, generator=random) + 0.5)
                module.bias.copy_(torch.rand(module.bias.shape, generator=random) - 0.3)
    if method.auto_balance:
        learner.memory.accuracy.fill_(0.3)
    x, x_adv = torch.rand(2, IMAGES, 3, 8, 8, generator=random, dtype=torch.float64)
    return Example(method, learner, Batch(x, x_adv, torch.arange(IMAGES) % CLASSES, epoch=1))


@each_variant
def test_loss_is_the_equation(method: Arat):
    e = example(method)
    tensors = {key: t.detach() for key, t in e.learner.state_dict().items()}
    expected = Equation(tensors, method, e.accuracy).terms(e.batch.x, e.batch.x_adv, e.batch.y, {})
    found = method.loss(e.learner, e.batch)
    assert list(found) == ["adversarial", "natural", "regularisation"]
    for term, losses in found.items():
        assert losses.shape == (IMAGES,)
        torch.testing.assert_close(losses, expected[term], rtol=1e-11, atol=1e-12)


@each_variant
def test_gradient_is_that_of_the_equation_with_numbers_in_place_of_what_is_stopped(method: Arat):
    e = example(method)
    tensors = {key: p.detach().clone().requires_grad_(True) for key, p in e.learner.named_parameters()}
    equation = Equation(tensors, method, e.accuracy)
    fixed = equation.stopped(e.batch.x, e.batch.x_adv)
    sum(equation.terms(e.batch.x, e.batch.x_adv, e.batch.y, fixed).values()).mean().backward()
    sum(method.loss(e.learner, e.batch).values()).mean().backward()
    for key, p in e.learner.named_parameters():
        assert (p.grad is None) == (tensors[key].grad is None), key
        if p.grad is not None:
            torch.testing.assert_close(p.grad, tensors[key].grad, rtol=1e-8, atol=1e-11, msg=key)


def reached(method: Arat) -> set[str]:
    """What the invariance term has a gradient in: kinds of tensors, and kinds of images."""
    e = example(method)
    x, x_adv = (images.clone().requires_grad_(True) for images in (e.batch.x, e.batch.x_adv))
    method.loss(e.learner, Batch(x, x_adv, e.batch.y, epoch=1))["regularisation"].sum().backward()
    found = {key for key, t in {"x": x, "x_adv": x_adv}.items() if t.grad is not None and t.grad.abs().max() > 1e-9}
    for key, p in e.learner.named_parameters():
        if p.grad is not None and p.grad.abs().max() > 1e-9:
            kinds = (".natural.", ".adversarial.", "predictor", "conv")
            found |= {kind.strip(".") for kind in kinds if kind in key}
    return found


def test_the_stop_gradient_keeps_the_invariance_term_out_of_the_natural_branch():
    """Not even its BatchNorm's affine map is reached."""
    assert reached(Arat(TWO)) == {"x_adv", "adversarial", "predictor", "conv"}
    assert reached(Arat(TWO, gradient="to-natural", predictor=False)) == {"x", "natural", "conv"}
    both = {"x", "x_adv", "natural", "adversarial", "conv"}
    assert reached(Arat(TWO, gradient="both")) == both | {"predictor"}
    assert reached(Arat(TWO, gradient="both", predictor=False)) == both


def test_the_classifier_has_no_gradient_of_the_invariance_term():
    e = example(Arat(TWO))
    e.method.loss(e.learner, e.batch)["regularisation"].sum().backward()
    assert e.learner.network.linear.weight.grad is None


# Worked values ------------------------------------------------------------------------------------------------------


class Prescribed(Learner):
    """Logits and features (B, d) of layers, natural and adversarial, as they are given."""

    def __init__(self, method: Arat, natural, adversarial):
        super().__init__(nn.Identity(), memory=method.memory(CLASSES))
        self.given = [natural, adversarial]

    def features(self, x: Tensor, layers: Sequence[str], of: str | None = None) -> tuple[Tensor, list[Tensor]]:
        logits, features = self.given.pop(0)
        return torch.tensor([logits]), [torch.tensor([z]) for z in features]


def logits_of(cross_entropy: float) -> list[float]:
    """Of two classes, with that cross-entropy of the first one."""
    return [0.0, math.log(math.exp(cross_entropy) - 1)]


def at_an_angle(cosine: float) -> list[float]:
    return [cosine, math.sqrt(1 - cosine**2)]


def test_the_worked_loss():
    """Accuracy 0.3; cross-entropies 2 and 1; cosines 0.8 and 0.6 in two layers at gamma 30: 0.6 + 0.7 + 9 = 10.3."""
    method = Arat(("a", "b"), predictor=False)
    learner = Prescribed(
        method,
        natural=(logits_of(1), [[1.0, 0.0], [1.0, 0.0]]),
        adversarial=(logits_of(2), [at_an_angle(0.8), at_an_angle(0.6)]),
    )
    learner.memory.accuracy.fill_(0.3)
    x = torch.zeros(1, 1, 1, 1)
    terms = method.loss(learner, Batch(x, x, torch.tensor([0]), epoch=1))
    found = {term: losses.item() for term, losses in terms.items()}
    assert found == pytest.approx({"adversarial": 0.6, "natural": 0.7, "regularisation": 9.0}, rel=1e-6)
    assert sum(found.values()) == pytest.approx(10.3, rel=1e-6)


def distances(z_adv: list[list[float]], z: list[list[float]], **parameters) -> list[float]:
    method = Arat(("a",), predictor=False, **parameters)
    return method.distances(Learner(nn.Identity()), 0, torch.tensor(z_adv), torch.tensor(z)).tolist()


def test_the_worked_cosines():
    assert distances([[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]) == pytest.approx([0.292893, 0], abs=1e-6)


def test_a_distance_of_cosines_is_between_0_and_2():
    one = [[1.0, 2.0], [1.0, 2.0], [1.0, 0.0]]
    assert distances(one, [[2.0, 4.0], [-1.0, -2.0], [0.0, 3.0]]) == pytest.approx([0, 2, 1], abs=1e-6)
    random = torch.randn(2, 500, 5, generator=torch.Generator().manual_seed(0)).tolist()
    found = distances(*random)
    assert min(found) >= 0 and max(found) <= 2 and max(found) > 1.5 and min(found) < 0.5


def test_distances_of_features_without_any_activity_are_finite():
    e = torch.zeros(1, 4, requires_grad=True)
    found = Arat(("a",), predictor=False).distances(Learner(nn.Identity()), 0, e.relu(), torch.ones(1, 4))
    found.sum().backward()
    assert found.tolist() == [1.0] and e.grad.tolist() == [[0.0] * 4]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_layer_weighs_gamma_over_the_number_of_layers(count: int):
    """The same layer several times is as one."""
    terms = [
        e.method.loss(e.learner, e.batch)["regularisation"]
        for e in (example(Arat(TWO[:1] * n, predictor=False, gamma=9.0)) for n in (1, count))
    ]
    torch.testing.assert_close(*terms, rtol=1e-12, atol=1e-12)


# Predictors ---------------------------------------------------------------------------------------------------------

RESNET_18 = [f"layer4.{block}.bn{n}" for block in (0, 1) for n in (1, 2)]
WRN_34_10 = [f"block3.layer.{block}.relu{n}" for block in range(5) for n in (1, 2)] + ["penultimate"]


@pytest.mark.parametrize(
    ("architecture", "layers", "widths", "parameters"),
    [
        ({"family": "resnet"}, RESNET_18, [512] * 4, 527_360),
        ({"family": "wide-resnet"}, WRN_34_10, [320] + [640] * 10, 2_109_280),
    ],
    ids=["ResNet-18", "WRN-34-10"],
)
def test_predictors_have_as_many_parameters_as_in_the_released_code(architecture, layers, widths, parameters):
    method = create("methods", "arat", {"layers": layers})
    with torch.device("meta"):
        network = method.network(lambda: build(architecture, 3, 10))
        parts = method.parts(network, build)
    assert len(parts) == len(layers) and [part[0].in_features for part in parts.values()] == widths
    assert sum(p.numel() for part in parts.values() for p in part.parameters()) == parameters
    first = parts["predictor0"]
    assert [type(layer) for layer in first] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert first[0].bias is None and first[3].bias is not None and first[0].out_features == widths[0] // 4


def test_a_predictor_of_few_features_has_at_least_one_in_between():
    assert (
        predictor_of(3)[0].out_features == 1
        and predictor_of(7)[0].out_features == 1
        and predictor_of(8)[0].out_features == 2
    )


@pytest.mark.parametrize("family", sorted(SMALL))
@pytest.mark.parametrize("halved", [False, True], ids=["shared", "split"])
def test_the_width_of_every_layer_of_every_family_is_known(family: str, halved: bool):
    network = small(family)
    network = (split(network) if halved else network).eval()
    layers = [layer for layer, _ in network.named_modules() if layer] + ["penultimate"]
    if halved:  # that of natural images has no part in this pass
        layers = [layer for layer in layers if not layer.endswith(".natural")]
    compared = 0
    for layer in layers:
        if (family, layer) in {("small-cnn", "classifier"), ("imagenet-resnet", "avgpool")}:  # which are never called
            continue
        (output,) = Learner(network).features(images(family), [layer])[1]
        assert width(network, layer) == output.shape[1], layer
        compared += 1
    assert compared > (5 if family == "mlp" else 15)


def test_the_layers_of_a_network_that_normalises_its_inputs_are_those_of_the_network_inside():
    normalisation = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.5]}
    network = split(build({"family": "resnet", "blocks": [1, 1], "width": 8, "normalisation": normalisation}, 3, 3))
    assert [width(network, layer) for layer in (*TWO, "penultimate")] == [16, 16, 16]
    method = Arat(TWO)
    learner = Learner(network, method.parts(network, build), method.memory(3)).train()
    x = torch.rand(4, 3, 8, 8)
    assert method.loss(learner, Batch(x, x, torch.zeros(4, dtype=torch.long), 1))["regularisation"].shape == (4,)


@pytest.mark.parametrize("family", ["resnet", "bottleneck", "preact-resnet", "wide-resnet", "dm-wide-resnet"])
def test_it_trains_every_family_of_residual_networks(family: str):
    """The last stage's layers, as the released scripts choose them, where a family has them."""
    layers = {
        "resnet": ["layer2.1.bn1", "layer2.1.bn2"],
        "bottleneck": ["layer2.0.bn1", "layer2.0.bn2", "layer2.0.bn3"],
        "preact-resnet": ["layer2.0.bn1", "penultimate"],
        "wide-resnet": ["block3.layer.0.relu1", "block3.layer.0.relu2", "penultimate"],
        "dm-wide-resnet": ["layer.2.block.0.batchnorm_1", "penultimate"],
    }[family]
    method = create("methods", "arat", {"layers": layers})
    network = method.network(lambda: small(family))
    learner = Learner(network, method.parts(network, build), method.memory(5)).train()
    y = torch.tensor([0, 1, 2, 3])
    sum(method.loss(learner, Batch(images(family, count=4), images(family, count=4), y, 1)).values()).mean().backward()
    assert all(p.grad is not None for p in learner.parts.parameters())


def arat(parameters: dict | None = None, **settings) -> dict:
    method = {"name": "arat", "parameters": tiny.NEEDED["arat"] | (parameters or {})}
    return tiny.colour_spec(**settings) | {"method": method}


# Mistakes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{}, {"predictor": False}])
def test_a_layer_that_is_not_there_is_refused_before_the_training(parameters, tmp_path):
    with pytest.raises(RobustlensError, match=r"arat: the network has no layer 'layer2.0.bn3'; did you mean 'layer2"):
        tiny.made(arat({"layers": ["layer2.0.bn3"], **parameters}), DATA, tmp_path)


def test_layers_are_needed():
    with pytest.raises(RobustlensError, match="arat needs the parameter 'layers'"):
        resolve("methods", "arat", {}, "recipes.a")
    with pytest.raises(RobustlensError, match="arat: layers is empty"):
        create("methods", "arat", {"layers": []})


def test_a_predictor_that_nothing_would_train_is_refused():
    with pytest.raises(RobustlensError, match="set `predictor: false`"):
        Arat(TWO, gradient="to-natural")


def test_a_batch_of_one_image_is_refused_where_there_are_predictors(tmp_path):
    settings = arat(batch_size=24)  # of 25 images
    with pytest.raises(RobustlensError, match="1 is left for a process, and BatchNorm of features needs two or more"):
        tiny.made(settings, DATA, tmp_path)
    tiny.made(arat({"predictor": False}, batch_size=24), DATA, tmp_path)


# The balance of the cross-entropies ---------------------------------------------------------------------------------


class Counting(nn.Module):
    """One class for bright images and one for dark ones; `norm` is here so that there is something to split."""

    def __init__(self):
        super().__init__()
        self.norm, self.seen = nn.BatchNorm2d(1), []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((len(x), self.training, getattr(self.norm, "which", None)))
        return torch.cat([self.norm(x).mean((2, 3)), torch.zeros(len(x), 1)], dim=1)


def balanced(sizes: list[int], brightness: float = 1.0) -> tuple[Learner, float]:
    """A learner before an epoch of such batches, in which every fourth image is of class 0 and all others of class 1,
    and the accuracy that it then has. The natural BatchNorm makes all images dark that are below 10 brightnesses."""
    network = split(Counting())
    network.norm.natural.running_mean.fill_(10.0)
    learner = Learner(network, memory=Arat(TWO).memory(2)).train()

    def augmented() -> Iterator[tuple[Tensor, Tensor]]:
        for size in sizes:
            yield torch.full((size, 1, 2, 2), brightness), (torch.arange(size) % 4 > 0).long()

    epoch = Epoch(1, Threat("linf", 0.1, 0.1), torch.Generator(), {}, iter, iter, augmented)
    Arat(TWO).before_epoch(learner, epoch)
    return learner, float(learner.memory.accuracy)


@pytest.mark.parametrize(
    ("sizes", "looked_at"),
    [([128] * 20, 8), ([100] * 20, 11), ([1024, 8], 1), ([1023, 8, 8], 2), ([8, 4], 2), ([2000], 1)],
)
def test_the_accuracy_is_of_whole_batches_up_to_1024_images_or_of_all(sizes, looked_at):
    learner, accuracy = balanced(sizes)
    assert learner.network.seen == [(size, False, NATURAL) for size in sizes[:looked_at]]
    right = sum(sum(k % 4 > 0 for k in range(size)) for size in sizes[:looked_at])
    assert accuracy == pytest.approx(right / sum(sizes[:looked_at]), rel=1e-6)


def test_the_accuracy_is_by_the_natural_batchnorm_and_changes_no_statistics():
    """Images of brightness 1 are dark for it, and would be bright for the adversarial one."""
    learner, accuracy = balanced([8])
    assert accuracy == 0.75 and balanced([8], brightness=20.0)[1] == 0.25
    norm = learner.network.norm
    assert norm.natural.running_mean.item() == 10 and int(norm.natural.num_batches_tracked) == 0
    assert norm.adversarial.running_mean.item() == 0


def test_without_balance_both_weights_are_1_and_nothing_is_looked_at():
    method = Arat(TWO, auto_balance=False)
    assert method.balance(method.memory(3)) == (1, 1) and not list(method.memory(3).buffers())
    method.before_epoch(Learner(Counting()), None)


def test_a_run_balances_by_the_accuracy_before_each_of_its_epochs(tmp_path):
    """On all 25 images, which are fewer than 1,024."""
    run, seen = tiny.made(arat(), DATA, tmp_path), []
    before = run.task.before_epoch

    def watched(epoch: int) -> None:
        weights = {key: t.clone() for key, t in run.task.network.state_dict().items()}
        before(epoch)
        network = split(build(tiny.colour_spec()["architecture"], 3, 3))
        network.load_state_dict(weights)
        with natural_batchnorm(network.eval()), torch.no_grad():
            batches = list(run.task._moment(epoch, "before epoch").augmented())
            right = sum(int((network(x).argmax(1) == y).sum()) for x, y in batches)
        assert sum(len(y) for _, y in batches) == 25
        seen.append((float(run.task.learner.memory.accuracy), right / 25))

    run.task.before_epoch = watched
    with run.loop.state:
        run.run()
    assert len(seen) == 2 and all(found == pytest.approx(expected) for found, expected in seen)


# Trainings ----------------------------------------------------------------------------------------------------------


def checkpoint(weights: dict[str, Tensor], which: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{which}."): t for key, t in weights.items() if key.startswith(f"{which}.")}


@pytest.mark.parametrize(
    ("parameters", "settings"),
    [
        ({}, {}),
        ({"start": "as-released"}, {"attack_batchnorm": "train"}),
        ({"split_batchnorm": False}, {"averaging": tiny.EMA}),
        ({"gradient": "both"}, {"averaging": tiny.SWA | {"start_epoch": 1}, "weight_perturbation": tiny.AWP}),
    ],
    ids=["default", "as-released", "shared", "swa-awp"],
)
def test_a_run_that_is_stopped_in_the_middle_of_an_epoch_leaves_the_same_bytes(parameters, settings, tmp_path):
    spec = arat(parameters, **settings)
    once = tiny.train(spec, DATA, tmp_path / "once")
    again = tiny.train(spec, DATA, tmp_path / "again", {1, 2, 4, 5})
    for weights in ("best", "last", "checkpoints"):
        ours, theirs = getattr(once, weights), getattr(again, weights)
        assert ours.keys() == theirs.keys() and all(torch.equal(t, theirs[key]) for key, t in ours.items()), weights
    assert once.history.equals(again.history)
    assert {key.split(".")[0] for key in once.checkpoints} == {"best-natural-batchnorm", "last-natural-batchnorm"}
    natural = checkpoint(once.checkpoints, "last-natural-batchnorm")
    apart = {key for key, t in once.last.items() if not torch.equal(t, natural[key])}
    if parameters.get("split_batchnorm", True):
        kinds = {key.rpartition(".")[2] for key in apart} - {"num_batches_tracked"}
        assert kinds == {"weight", "bias", "running_mean", "running_var"}
        assert all("bn" in key or "shortcut.1" in key for key in apart)
    else:
        assert not apart


def test_predictors_and_the_accuracy_are_part_of_the_state(tmp_path):
    run = tiny.made(arat(), DATA, tmp_path)
    tensors = run.task.tensors()
    assert "learner.memory.accuracy" in tensors
    for n in range(2):
        assert (
            f"learner.parts.predictor{n}.0.weight" in tensors
            and f"learner.parts.predictor{n}.1.running_mean" in tensors
        )
    before = {key: t.clone() for key, t in tensors.items() if "predictor" in key}
    run.task.before_epoch(1)
    for _ in tiny.after_each_step(run):
        pass
    after = run.task.tensors()
    assert all(not torch.equal(t, after[key]) for key, t in before.items())
    assert {key for key in after if key.startswith("velocity.parts.predictor1")} != set()


def test_two_processes_keep_predictors_and_the_balance_equal(tmp_path):
    first, second = two_processes(arat(epochs=1, batch_size=9), DATA, tmp_path)  # 9, 9 and 7 images
    assert all(torch.equal(t, second[key]) for key, t in first.items())


def attacked(run) -> list[tuple[Batch, Tensor]]:
    """(the batch that the loss sees, its augmented images before the attack) of every step of a run."""
    attack, loss, seen = run.task.attack, Arat.loss, []
    before: list[Tensor] = []

    def watched_attack(learner, x, *rest):
        before.append(x.clone())
        return attack(learner, x, *rest)

    def watched_loss(self, learner, batch):
        seen.append((batch, before[-1]))
        return loss(self, learner, batch)

    with pytest.MonkeyPatch.context() as patch:
        run.task.attack = watched_attack
        patch.setattr(Arat, "loss", watched_loss)
        with run.loop.state:
            run.run()
    return seen


def test_as_released_the_loss_is_of_noised_images_and_of_attacks_around_these(tmp_path):
    epsilon = 16 / 255
    seen = attacked(tiny.made(arat({"start": "as-released"}), DATA, tmp_path))
    noise = torch.cat([(batch.x - x).flatten() for batch, x in seen])
    assert len(seen) == 2 * tiny.STEPS_PER_EPOCH and noise.abs().max() <= epsilon + 1e-6
    assert noise.std().item() == pytest.approx(epsilon / math.sqrt(3), rel=0.02)  # uniform
    assert min(float(batch.x.min()) for batch, _ in seen) < 0 and max(float(batch.x.max()) for batch, _ in seen) > 1
    far = torch.cat([(batch.x_adv - x).abs().flatten(1).amax(1) for batch, x in seen])
    assert (far <= 2 * epsilon + 1e-6).all() and (far > epsilon + 1e-3).float().mean() > 0.9
    for batch, _ in seen:
        assert (
            batch.x_adv - batch.x
        ).abs().max() <= epsilon + 1e-6 and 0 <= batch.x_adv.min() <= batch.x_adv.max() <= 1


def test_clean_centred_the_loss_is_of_the_images_and_of_attacks_in_the_ball(tmp_path):
    for batch, x in attacked(tiny.made(arat(), DATA, tmp_path)):
        assert torch.equal(batch.x, x) and (batch.x_adv - x).abs().max() <= 16 / 255 + 1e-6
    assert Arat(TWO).attack(7) == PGD(steps=7, loss="ce", start="uniform")


def test_as_released_is_only_for_linf(tmp_path):
    spec = arat({"start": "as-released"}) | {"threat": {"norm": "l2", "epsilon": "3/4", "step_size": "1/4"}}
    with pytest.raises(RobustlensError, match="only for L-inf, and the threat is in l2; use pgd"):
        tiny.train(spec, DATA, tmp_path)


def test_the_attack_and_what_is_tracked_are_by_the_adversarial_batchnorm(tmp_path):
    run = tiny.made(arat(), DATA, tmp_path)
    used = []
    norm = run.task.network.bn1
    norm.adversarial.register_forward_hook(lambda *_: used.append("adversarial"))
    norm.natural.register_forward_hook(lambda *_: used.append("natural"))
    for _ in itertools.islice(tiny.after_each_step(run), 1):
        pass
    assert used == ["adversarial"] * 3 + ["natural", "adversarial"]  # three steps of the attack, then the loss
    network = run.task._deployed(run.task.network).tracked
    assert not any(isinstance(module, SplitBatchNorm) for module in network.modules())
    assert torch.equal(network.bn1.running_mean, norm.adversarial.running_mean)
    assert not torch.equal(network.bn1.running_mean, norm.natural.running_mean)


def test_an_swa_estimates_each_statistics_anew_on_its_own_images(tmp_path):
    """The adversarial ones on attacked images, the natural ones on natural images. By hand for the first BatchNorm."""
    run = tiny.made(arat(averaging=tiny.SWA | {"start_epoch": 1}), DATA, tmp_path)
    with run.loop.state:
        trained = run.run()
    task, seen = run.task, {"natural": [], "adversarial": []}
    batches = run.loop.batches(run.loop.epochs + 1)
    average = task.averaging.final(task.network)
    attacking = task.learner.with_network(task._with_statistics(average, batches, None)).eval()
    for step, batch in enumerate(batches):
        random = generator(0, "statistics", step, 0)
        drawn = task._drawn(task.mixture.parts(task.train, batch, 0), random)
        x_adv = PGD(steps=3)(attacking, drawn.x, drawn.y, task.threat, random)
        for which, x in (("natural", drawn.x), ("adversarial", x_adv)):
            seen[which].append(average.conv1(x).mean((0, 2, 3)))
    natural = checkpoint(trained.checkpoints, "last-natural-batchnorm")
    for which, found in (("natural", natural), ("adversarial", trained.last)):
        expected = torch.stack(seen[which]).mean(0)
        torch.testing.assert_close(found["bn1.running_mean"], expected, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(trained.last["bn1.running_mean"], natural["bn1.running_mean"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("start", "forwards"), [("clean-centred", 10), ("as-released", 10)])
def test_a_plan_counts_its_passes(start: str, forwards: int):
    attack, losses = training_passes("arat", {"layers": ["layer2.0.bn1", "penultimate"], "start": start}, 10)
    assert (attack.forwards, attack.gradients, losses) == (forwards, 10, 2)


def test_the_learning_rates_of_the_released_code_are_a_schedule_of_the_configuration():
    """0.02 in epoch 1, then 0.1, from epoch 77 on 0.01 and from epoch 92 on 0.001, with a factor for each milestone."""
    warmup = {"epochs": 1, "first_share": 0.2, "every": "epoch"}
    step = {"name": "step", "milestones": [76, 91], "factor": [0.1, 0.1], "warmup": warmup}
    schedule = Schedule({"epochs": 100, "learning_rate": 0.1, "momentum": 0.9, "schedule": step}, 391)
    found = [schedule.rates(number)[0] for number in range(100 * 391)]
    expected = [rate for rate, epochs in ((0.02, 1), (0.1, 75), (0.01, 15), (0.001, 9)) for _ in range(epochs * 391)]
    assert found == pytest.approx(expected, rel=1e-12)
