"""Evaluations against a plain loop over images, the checks around them, and the network that they attack."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from robustlens.attacks.clean import Clean
from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import Split
from robustlens.errors import RobustlensError
from robustlens.evaluation.guards import buffers_digest, check_ball, check_images, check_logits, check_model
from robustlens.evaluation.run import attack_split, balanced_subset
from robustlens.models.inference import AT_ONCE, InferenceModel
from robustlens.models.resnet import ResidualNetwork
from robustlens.models.weights import build, load_model, save_weights
from robustlens.seeds import generator

COUNT, CLASSES, SHAPE = 23, 4, (2, 6, 5)
LINF, L2 = Threat("linf", 0.1, 0.03), Threat("l2", 0.5, 0.2)
_rng = np.random.default_rng(0)
SPLIT = Split(
    (200 * _rng.uniform(size=(COUNT, *SHAPE)) * _rng.uniform(size=(COUNT, SHAPE[0], 1, 1))).astype(np.uint8),
    _rng.integers(CLASSES, size=COUNT),
    np.sort(_rng.choice(1000, COUNT, replace=False)),
    levels=200,
)
PIXELS, EXACT_PIXELS = SPLIT.images.astype(np.float32) / 200, SPLIT.images / 200
EQUAL = {"rtol": 1e-12, "atol": 1e-12}  # in float64, whose rounding is 1e-16


class Float64(Split):
    """Its images are float64, so that rounding hides nothing."""

    def pixels(self, where: np.ndarray | slice = slice(None)) -> np.ndarray:
        return self.images[where] / self.levels


EXACT = Float64(SPLIT.images, SPLIT.labels, SPLIT.index, SPLIT.levels)


def network(seed: int = 0, blocks: tuple[int, ...] = (1, 1)) -> ResidualNetwork:
    """A residual network whose batch statistics and affine parameters are far from those of a fresh one."""
    torch.manual_seed(seed)
    model, x = ResidualNetwork(blocks, 4, SHAPE[0], CLASSES), torch.from_numpy(PIXELS)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
            norm.weight.uniform_(0.5, 2.0)
            norm.bias.normal_(std=0.3)
        model(x)  # statistics of these images
        for norm in norms:
            norm.running_mean.add_(0.3 * torch.randn(norm.num_features))
            norm.running_var.mul_(torch.empty(norm.num_features).uniform_(0.5, 2.0))
        model.eval().linear.weight.normal_(std=2.0)
        model.linear.bias.sub_(model(x).mean(0))  # every class is predicted for some images
    return model


def darker(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
    """An attack that is easily done by hand."""
    return (x - 0.07).clamp(0, 1)


# Rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threat", [LINF, L2], ids=["linf", "l2"])
def test_every_row_is_what_a_loop_over_images_finds(threat):
    wide = Threat(threat.norm, 10.0, 0.1)
    model = network().double()
    table = attack_split(model, EXACT, darker, "darker", wide, seed=0, batch_size=10)
    assert list(table.columns[:2]) == ["index", "label"] and len(table) == COUNT
    rows = table.to_dict("records")
    for row, image, label, index in zip(rows, EXACT_PIXELS, SPLIT.labels, SPLIT.index, strict=True):
        darkened = np.clip(image - 0.07, 0, 1)
        with torch.no_grad():
            f, g = (model(torch.from_numpy(one[None]))[0].numpy() for one in (image, darkened))
        moved = np.abs(darkened - image).ravel()
        expected = {
            "marginal_natural": -np.log(np.exp(f).sum()),
            "joint_natural": -f[label],
            "marginal_adversarial": -np.log(np.exp(g).sum()),
            "joint_adversarial": -g[label],
            "distance": moved.max() if threat.norm == "linf" else np.sqrt((moved**2).sum()),
        }
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-12, abs=1e-12)
        assert (row["index"], row["label"], row["broken_by"]) == (index, label, "")
        assert (row["prediction_natural"], row["prediction_adversarial"]) == (np.argmax(f), np.argmax(g))
    assert table["prediction_natural"].nunique() > 1


def test_clean_is_the_natural_image():
    table = attack_split(network(), SPLIT, Clean(), "clean", LINF, seed=0, batch_size=100)
    assert (table["distance"] == 0).all()
    for name in ("prediction", "marginal", "joint"):
        assert (table[f"{name}_natural"] == table[f"{name}_adversarial"]).all()


def test_pgd_rows_are_those_of_pgd_called_directly_batch_by_batch():
    model, attack = network().double(), PGD(steps=3)
    table = attack_split(model, EXACT, attack, "pgd3", LINF, seed=5, batch_size=10)
    x, y = torch.from_numpy(EXACT_PIXELS), torch.from_numpy(SPLIT.labels)
    for start in (0, 10, 20):
        where = slice(start, start + 10)
        x_adv = attack(model, x[where], y[where], LINF, generator(5, "pgd3", start))
        with torch.no_grad():
            logits = model(x_adv)
        rows = table.iloc[where]
        assert np.array_equal(rows["prediction_adversarial"], logits.argmax(1).numpy())
        np.testing.assert_allclose(rows["marginal_adversarial"], -logits.logsumexp(1).numpy(), **EQUAL)


def test_rows_do_not_depend_on_what_was_attacked_before():
    model, attack = network(), PGD(steps=2)
    alone = attack_split(model, SPLIT, attack, "pgd", LINF, seed=0, batch_size=10)
    torch.rand(5)
    attack_split(model, SPLIT, attack, "another", LINF, seed=0, batch_size=4)
    pd.testing.assert_frame_equal(alone, attack_split(model, SPLIT, attack, "pgd", LINF, seed=0, batch_size=10))
    first = Split(SPLIT.images[:10], SPLIT.labels[:10], SPLIT.index[:10], SPLIT.levels)
    batch = attack_split(model, first, attack, "pgd", LINF, seed=0, batch_size=10)
    pd.testing.assert_frame_equal(alone.iloc[:10], batch)


def test_seed_and_name_of_an_attack_give_its_random_numbers():
    model, attack = network(), PGD(steps=1, start="gaussian")
    tables = [
        attack_split(model, SPLIT, attack, name, LINF, seed, batch_size=100)["marginal_adversarial"]
        for name, seed in (("a", 0), ("b", 0), ("a", 1))
    ]
    assert not tables[0].equals(tables[1]) and not tables[0].equals(tables[2])


def test_a_subset_is_attacked_where_one_is_asked_for():
    table = attack_split(network(), SPLIT, darker, "darker", LINF, seed=0, batch_size=3, samples=8)
    where = [position for position, index in enumerate(SPLIT.index) if index in set(table["index"])]
    assert len(table) == 8 and list(table["index"]) == list(SPLIT.index[where])
    assert np.bincount(SPLIT.labels[where]).tolist() == [2, 2, 2, 2]


def test_a_memory_mapped_split_is_read_only_and_attacked_all_the_same(tmp_path):
    parts = {}
    for part in ("images", "labels", "index"):
        np.save(tmp_path / f"{part}.npy", getattr(SPLIT, part))
        parts[part] = np.load(tmp_path / f"{part}.npy", mmap_mode="r")
    mapped = attack_split(network(), Split(**parts, levels=SPLIT.levels), darker, "darker", LINF, seed=0, batch_size=10)
    pd.testing.assert_frame_equal(mapped, attack_split(network(), SPLIT, darker, "darker", LINF, seed=0, batch_size=10))


def test_what_a_cascade_says_is_written_down():
    class Cascade:
        def cascade(self, model, x, y, threat, generator):
            return darker(model, x, y, threat, generator), ["first" if label else "" for label in y]

    table = attack_split(network(), SPLIT, Cascade(), "cascade", LINF, seed=0, batch_size=10)
    assert list(table["broken_by"]) == ["first" if label else "" for label in SPLIT.labels]
    assert (table["distance"] > 0).all()


# Subsets ----------------------------------------------------------------------------------------------------------


def subset_by_hand(labels: list[int], count: int) -> list[int]:
    """Deal out the classes in turn, each giving the first image that is left in an order drawn at random."""
    order = torch.randperm(len(labels), generator=generator(0, "balanced subset")).tolist()
    queues = {label: [i for i in order if labels[i] == label] for label in sorted(set(labels))}
    dealt = []
    while len(dealt) < min(count, len(labels)):
        for queue in queues.values():
            if queue and len(dealt) < count:
                dealt.append(queue.pop(0))
    return sorted(dealt)


@pytest.mark.parametrize("count", [1, 3, 4, 7, 20, 59, 60, 100])
def test_a_subset_takes_the_classes_in_turn(count):
    labels = np.random.default_rng(1).choice(5, size=60, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    assert balanced_subset(labels, count).tolist() == subset_by_hand(labels.tolist(), count)


def test_a_subset_is_drawn_from_all_of_a_class_and_is_in_every_larger_one():
    labels = np.repeat(np.arange(10), 100)
    chosen = [balanced_subset(labels, count) for count in (50, 200, 600)]
    assert all(set(small) < set(large) for small, large in itertools.pairwise(chosen))
    place = (
        chosen[1] % 100
    )  # within its class; the mean of 200 from 0 to 99 is 49.5, with a deviation of 29 / sqrt(200)
    assert abs(place.mean() - 49.5) < 3 * 29 / 200**0.5 and place.max() > 90 and place.min() < 10


# Refusals ---------------------------------------------------------------------------------------------------------


def refused(message: str, model=None, split=SPLIT, attack: Callable = darker, threat=LINF) -> None:
    with pytest.raises(RobustlensError, match=message):
        attack_split(model or network(), split, attack, "darker", threat, seed=0, batch_size=10)


def with_image(value: float) -> Split:
    """The split with one pixel of one image of the last batch changed."""
    images = PIXELS.copy()
    images[21, 1, 2, 3] = value
    return Split(images, SPLIT.labels, SPLIT.index, levels=1)


class Logits(nn.Module):
    """Scores of a network put through a function."""

    def __init__(self, change: Callable[[Tensor], Tensor]):
        super().__init__()
        self.inner, self.change = network(), change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.inner(x))


def test_a_model_in_train_mode_is_refused_by_the_name_of_the_module():
    model = network()
    model.layer1[0].bn2.train()
    refused(
        r"layer1\.0\.bn2 is in train mode: an attack would change its BatchNorm statistics; call model\.eval", model
    )
    refused("the model itself is in train mode", network().train())
    check_model(network())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_images_that_are_not_finite_are_refused(value):
    refused("images: values that are not finite", split=with_image(value))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, r"values from .* to 1\.5, expected \[0, 1\]"),
        (-0.25, r"values from -0\.25 to .*, expected \[0, 1\]; normalisation"),
    ],
)
def test_images_outside_0_1_are_refused(value, message):  # fmt: skip
    refused(f"^images: {message}", split=with_image(value))
    check_images(torch.tensor([0.0, 1.0]))


def test_probabilities_in_place_of_logits_are_refused():
    refused("the model returns probabilities; .* remove its softmax", Logits(lambda z: z.softmax(1)).eval())
    check_logits(torch.tensor([[0.5, 0.5], [0.2, 0.7]]))  # the second row adds up to 0.9
    check_logits(torch.tensor([[0.5, 0.5], [-0.5, 1.5]]))
    check_logits(torch.tensor([[0.5, 0.5], [2.0, 3.0]]))


def test_logits_that_are_not_finite_or_not_two_dimensional_are_refused():
    refused("logits that are not finite", Logits(lambda z: z / 0).eval())
    refused(r"the model returned shape \(10,\), expected \(images, classes\)", Logits(lambda z: z[:, 0]).eval())


def test_logits_that_only_the_attack_makes_infinite_are_refused():
    model = Logits(lambda z: z)
    model.forward = lambda x: model.inner(x) / (x.sum() > 0)
    refused("logits that are not finite", model.eval(), attack=lambda m, x, *_: x - x, threat=Threat("linf", 1.0, 0.1))


@pytest.mark.parametrize("threat", [LINF, L2], ids=["linf", "l2"])
def test_adversarial_images_outside_the_ball_are_refused_unless_the_attack_says_it_is_unbounded(threat):
    class TooFar:
        def __call__(self, model: nn.Module, x: Tensor, *_) -> Tensor:
            x_adv = x.clone()
            x_adv[-1] = (x_adv[-1] + 0.2).clamp(0, 1)
            return x_adv

    class Unbounded(TooFar):
        bounded = False

    refused(
        rf"darker: an adversarial image is [0-9.]+ away in {threat.norm}, outside epsilon",
        attack=TooFar(),
        threat=threat,
    )
    table = attack_split(network(), SPLIT, Unbounded(), "far", threat, seed=0, batch_size=10)
    assert table["distance"].max() > threat.epsilon


def test_rounding_does_not_take_an_image_out_of_the_ball():
    x = torch.full((1, 1, 1, 1), 0.5)
    check_ball(x + 0.1 + 5e-7, x, LINF, "a")
    with pytest.raises(RobustlensError, match=r"a: an adversarial image is 0\.10000. away"):
        check_ball(x + 0.1 + 3e-6, x, LINF, "a")


@pytest.mark.parametrize("value", [1.05, -0.05, float("nan")])
def test_adversarial_images_that_are_no_images_are_refused(value):
    class NoImage:
        bounded = False

        def __call__(self, model: nn.Module, x: Tensor, *_) -> Tensor:
            return x.clone().index_fill_(0, torch.tensor([0]), value)

    refused("darker: adversarial images: values", attack=NoImage())


@pytest.mark.parametrize("part", ["bn1.running_mean", "bn1.num_batches_tracked", "linear.weight"])
def test_an_attack_that_changes_the_model_is_refused(part):
    model = network()

    def meddling(_: nn.Module, x: Tensor, *rest) -> Tensor:
        model.state_dict()[part].add_(1)
        return x.clone()

    refused("darker: the attack changed the model's weights or BatchNorm statistics", model, attack=meddling)


def test_an_attack_that_is_well_behaved_leaves_every_byte_of_the_model():
    model = network()
    before = buffers_digest(model)
    attack_split(model, SPLIT, PGD(steps=2), "pgd", LINF, seed=0, batch_size=10)
    assert buffers_digest(model) == before
    assert all(parameter.grad is None for parameter in model.parameters())


# The network under attack -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("blocks", [(1,), (2, 1), (1, 1, 1)])
def test_the_network_under_attack_is_the_same_function_with_the_same_gradient(seed, blocks):
    model, x = network(seed, blocks).double(), torch.from_numpy(EXACT_PIXELS)
    logits, gradients = [], []
    for candidate in (model, InferenceModel(model)):
        leaf = x.clone().requires_grad_(True)
        output = candidate(leaf)
        (gradient,) = torch.autograd.grad((output * torch.arange(CLASSES)).sum(), leaf)
        logits.append(output)
        gradients.append(gradient)
    torch.testing.assert_close(logits[1], logits[0], **EQUAL)
    torch.testing.assert_close(gradients[1], gradients[0], **EQUAL)
    assert logits[0].std() > 0.05 and gradients[0].abs().max() > 1e-3
    assert not any("BatchNorm" in type(module).__name__ for module in InferenceModel(model).modules())


def test_many_images_go_through_an_inference_model_in_parts_that_fit_a_cache_where_no_gradient_is_wanted():
    one = torch.from_numpy(PIXELS)[0]
    most = AT_ONCE // one.numel()
    x = torch.rand(2 * most + 5, *one.shape, generator=torch.Generator().manual_seed(0)).double()
    model, seen = network().double(), []
    prepared = InferenceModel(model)
    prepared.network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    with torch.no_grad():
        torch.testing.assert_close(prepared(x), model(x), **EQUAL)
    assert sum(seen) == len(x) and len(seen) == 3 and max(seen) - min(seen) <= 1
    prepared(x)
    assert seen[3:] == [len(x)]  # in a single graph


def test_gradients_of_the_network_under_attack_can_be_viewed_flat():
    """Attack libraries call `.view` on them."""
    leaf = torch.from_numpy(PIXELS).clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(InferenceModel(network())(leaf).sum(), leaf)
    assert gradient.is_contiguous() and gradient.view(COUNT, -1).shape == (COUNT, 60)


def test_the_network_under_attack_is_a_frozen_copy_in_eval_mode():
    model = network().train()
    before = buffers_digest(model)
    copy = InferenceModel(model)
    check_model(copy)
    assert not any(parameter.requires_grad for parameter in copy.parameters())
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert buffers_digest(model) == before
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.zero_()
    assert buffers_digest(model) == before


# Weights ----------------------------------------------------------------------------------------------------------

ARCHITECTURE = {"family": "resnet", "blocks": [1], "width": 4}


def test_weights_are_loaded_as_they_were_saved_in_eval_mode(tmp_path):
    model = network(blocks=(1,)).to(memory_format=torch.channels_last)
    save_weights(model.state_dict(), tmp_path / "new" / "w.safetensors")
    loaded = load_model(tmp_path / "new" / "w.safetensors", ARCHITECTURE, SHAPE[0], CLASSES)
    assert buffers_digest(loaded) == buffers_digest(model) and not loaded.training


def test_equal_weights_are_equal_files_whatever_their_order_and_layout(tmp_path):
    weights = network().state_dict()
    save_weights(weights, tmp_path / "a")
    other = {name: t.clone().to(memory_format=torch.channels_last) if t.ndim == 4 else t for name, t in weights.items()}
    save_weights(dict(reversed(other.items())), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("change", [{"width": 8}, {"blocks": [2]}, {"blocks": [1, 1]}])
def test_weights_of_another_architecture_are_refused(change, tmp_path):
    save_weights(network(blocks=(1,)).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(RobustlensError, match=r"w\.safetensors: not the weights of \{'family': 'resnet'"):
        load_model(tmp_path / "w.safetensors", ARCHITECTURE | change, SHAPE[0], CLASSES)


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    save_weights(network(blocks=(1,)).state_dict(), tmp_path / "w")
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes()[:-1])
    with pytest.raises(RobustlensError, match="w: the weights could not be read"):
        load_model(tmp_path / "w", ARCHITECTURE, SHAPE[0], CLASSES)


def test_an_architecture_is_built_from_its_configuration():
    model = build({"family": "resnet", "blocks": [1, 2], "width": 6}, channels=3, classes=7)
    assert (
        [len(model.layer1), len(model.layer2)] == [1, 2]
        and model.linear.out_features == 7
        and model.conv1.weight.shape == (6, 3, 3, 3)
    )
    with pytest.raises(RobustlensError, match="unknown architecture 'resnett'"):
        build({"family": "resnett"}, 3, 7)
