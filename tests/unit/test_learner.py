"""What is trained: its state, its passes, and how the classes of a batch are counted."""

import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.errors import RobustlensError
from robustlens.learning.learner import Learner, frozen
from robustlens.learning.statistics import KINDS, ClassCounts
from robustlens.models.weights import build
from robustlens.training.descent import Descent
from robustlens.training.engine import Engine

X = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
IMAGES = tiny.random_images((3, 8, 8))


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build({"family": "resnet", "blocks": [1, 1], "width": 4}, 3, 3)


class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("multipliers", torch.arange(3.0))


def test_its_state_is_that_of_all_that_changes_and_of_nothing_given():
    learner = Learner(network(), {"teacher": network(1)}, Memory(), {"helper": network(2)})
    names = set(learner.state_dict())
    assert {name.split(".")[0] for name in names} == {"network", "parts", "memory"}
    assert "memory.multipliers" in names and "parts.teacher.conv1.weight" in names
    other = Learner(network(3), {"teacher": network(4)}, Memory())
    other.load_state_dict(learner.state_dict())
    assert torch.equal(other.eval()(X), learner.eval()(X))
    assert torch.equal(other.run("teacher", X), learner.run("teacher", X))


def test_a_part_and_a_given_network_have_names_of_their_own():
    with pytest.raises(RobustlensError, match="'helper' is a part of the method and a given network; rename one"):
        Learner(network(), {"helper": network(1)}, given={"helper": network(2)})


def test_given_networks_are_frozen_and_stay_in_eval_mode():
    helper = network(2)
    learner = Learner(network(), given={"helper": helper}).train()
    assert learner.network.training and not helper.training
    before = {name: t.clone() for name, t in helper.state_dict().items()}
    assert not learner.run("helper", X).requires_grad
    assert all(torch.equal(before[name], t) for name, t in helper.state_dict().items())
    assert not any(p is q for p in learner.parameters() for q in helper.parameters())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_features_are_the_outputs_of_layers_in_the_pass_of_the_logits(precision):
    engine = Engine(precision, "contiguous", compile=False)
    learner = Learner(network(), runner=engine.fast).eval()
    logits, (first, last) = learner.features(X, ["bn1", "layer2.0.bn2"])
    assert torch.equal(logits, learner(X)) and {first.dtype, last.dtype} == {torch.float32}
    if precision == "float32":
        net = learner.network
        assert torch.equal(first, net.bn1(net.conv1(X)))
        block, x = net.layer2[0], net.layer1(F.relu(first))
        assert torch.equal(last, block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x))))))
    assert not any(module._forward_hooks for module in learner.network.modules())


def test_layers_of_parts_of_given_and_of_normalised_networks_have_the_names_of_their_architecture():
    architecture = {"family": "resnet", "blocks": [1, 1], "width": 4}
    constants = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.5]}
    torch.manual_seed(5)
    helper = build(architecture | {"normalisation": constants}, 3, 3).eval()
    learner = Learner(network(), {"teacher": network(1)}, given={"helper": helper}).eval()
    for name, module in (("teacher", learner.parts["teacher"]), ("helper", helper)):
        output, (first, last) = learner.features(X, ["bn1", "penultimate"], of=name)
        assert torch.equal(output, module(X)) and torch.equal(last, module.features(X))
        inner = module.network if name == "helper" else module
        x = (X - helper.mean) / helper.std if name == "helper" else X
        assert torch.equal(first, inner.bn1(inner.conv1(x)))
    with learner.watching(natural=X) as seen:
        learner.features(X, ["bn1"], of="teacher")
    assert not seen  # these are not the classifier's logits
    with pytest.raises(RobustlensError, match=r"the network has no layer 'layer2.0.bn3'; did you mean 'layer2.0.bn\d'"):
        learner.features(X, ["layer2.0.bn3"])
    learner.network.unused = nn.Identity()
    with pytest.raises(RobustlensError, match="the layer 'unused' takes no part in a pass of the network"):
        learner.features(X, ["bn1", "unused"])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_part_may_take_what_is_no_image(precision):
    """Such as a predictor of features (B, d), whatever format images are in."""
    engine = Engine(precision, "channels-last", compile=False)
    head = nn.Linear(8, 2)
    features = torch.rand(6, 8)
    found = Learner(network(), {"head": head}, runner=engine.fast).run("head", features)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, head(features), rtol=2**-7, atol=2**-7)


def test_the_last_logits_of_the_watched_images_are_kept():
    learner, other = Learner(network()).train(), X.clone()
    with learner.watching(natural=X, adversarial=other) as seen:
        learner(X)
        assert list(seen) == ["natural"]
        again, attacked = learner(X), learner.features(other, ["bn1"])[0]
        learner(X + 0.0)
    learner(X)
    assert torch.equal(seen["natural"], again) and torch.equal(seen["adversarial"], attacked)
    assert not seen["natural"].requires_grad
    with learner.watching(natural=X, adversarial=X) as seen:  # no attack: these are natural images
        learner(X)
    assert list(seen) == ["natural"]


def test_what_was_frozen_before_is_frozen_after_an_attack():
    net = network()
    net.conv1.weight.requires_grad_(False)
    with pytest.raises(ValueError, match="inside"), frozen(net):
        assert not any(p.requires_grad for p in net.parameters())
        raise ValueError("inside")
    needing = {name for name, p in net.named_parameters() if p.requires_grad}
    assert needing == {name for name, _ in net.named_parameters()} - {"conv1.weight"}


def test_a_parameter_without_a_gradient_stays_as_it_is(tmp_path):
    """A layer that a loss does not reach, or that was frozen."""
    run = tiny.made(tiny.colour_spec(), IMAGES, tmp_path)
    unused = nn.Linear(2, 2)
    run.task.learner.parts["unused"] = unused
    run.task.descent.parameters |= {f"parts.unused.{name}": p for name, p in unused.named_parameters()}
    before = {name: t.clone() for name, t in unused.state_dict().items()}
    for _ in tiny.after_each_step(run):
        pass
    assert all(torch.equal(before[name], t) for name, t in unused.state_dict().items())
    assert not any("unused" in name for name in run.task.descent.velocities)


def test_a_parameter_that_a_loss_reaches_later_begins_with_its_first_gradient():
    module = nn.ParameterDict({"early": torch.ones(2), "late": torch.ones(2)})
    descent = Descent(module, weight_decay=0.1, nesterov=False, fused=False)
    for early, late in ((1.0, None), (1.0, 3.0), (None, 3.0)):
        for name, gradient in (("early", early), ("late", late)):
            module[name].grad = None if gradient is None else torch.full((2,), gradient)
        descent.step(0.5, 0.9)
    # w <- w - 0.5 v, v <- 0.9 v + g + 0.1 w; v starts as g + 0.1 w
    weights, velocities = {"early": 1.0, "late": 1.0}, {}
    for early, late in ((1.0, None), (1.0, 3.0), (None, 3.0)):
        for name, gradient in (("early", early), ("late", late)):
            if gradient is not None:
                pull = gradient + 0.1 * weights[name]
                velocities[name] = 0.9 * velocities[name] + pull if name in velocities else pull
                weights[name] -= 0.5 * velocities[name]
    for name, expected in weights.items():
        assert module[name].tolist() == pytest.approx([expected] * 2, rel=1e-6)


def test_awp_leaves_weights_alone_that_the_loss_does_not_reach(tmp_path):
    run = tiny.made(tiny.colour_spec(weight_perturbation=tiny.AWP | {"start_epoch": 0}), IMAGES, tmp_path)
    frozen_one = run.task.network.conv1.weight.requires_grad_(False)
    before = frozen_one.clone()
    for _ in tiny.after_each_step(run):
        pass
    assert torch.equal(frozen_one, before)
    assert all(t.isfinite().all() for t in run.task.network.state_dict().values())


def by_hand(logits: Tensor, y: Tensor) -> tuple[list, list, list]:
    right, total, softmax = [0] * 3, [0] * 3, [[0.0] * 3 for _ in range(3)]
    for z, label in zip(logits.tolist(), y.tolist(), strict=True):
        exponentials = torch.tensor(z).exp()
        total[label] += 1
        right[label] += max(range(3), key=lambda k: z[k]) == label
        for k in range(3):
            softmax[label][k] += float(exponentials[k] / exponentials.sum())
    return right, total, [[p / n if n else float("nan") for p in row] for row, n in zip(softmax, total, strict=True)]


def test_classes_are_counted_over_processes_and_batches():
    random = torch.Generator().manual_seed(1)
    batches = [(torch.randn(5, 3, generator=random), torch.tensor([0, 0, 1, 1, 1])) for _ in range(4)]
    counts = [ClassCounts(2, 3), ClassCounts(2, 3)]
    for number, (logits, y) in enumerate(batches):
        seen = {"natural": logits, "adversarial": -logits} if number < 3 else {"adversarial": -logits}
        counts[number % 2].add(number % 2, seen, y)
    sums = {name: sum(dict(c.named_buffers())[name] for c in counts) for name, _ in counts[0].named_buffers()}
    found = counts[0].result(sums)
    for kind, sign, used in zip(KINDS, (1, -1), (batches[:3], batches), strict=True):
        logits, y = sign * torch.cat([z for z, _ in used]), torch.cat([labels for _, labels in used])
        right, total, softmax = by_hand(logits, y)
        assert found[kind].right.tolist() == right and found[kind].total.tolist() == total
        torch.testing.assert_close(
            found[kind].softmax, torch.tensor(softmax, dtype=torch.float64), rtol=1e-6, atol=0, equal_nan=True
        )
    counts[0].clear()
    assert not any(buffer.any() for buffer in counts[0].buffers())
