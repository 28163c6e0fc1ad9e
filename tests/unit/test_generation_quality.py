"""The feature networks against pytorch-fid, the record of scores against its formulas, and the reference."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from robustlens.errors import RobustlensError
from robustlens.generation import features as features_module
from robustlens.generation import inception_weights
from robustlens.generation.features import (
    classifier_network,
    inception_network,
    score_names,
)
from robustlens.generation.quality import score
from robustlens.generation.reference import load_reference, save_reference, see_reference
from robustlens.generation.scores import frechet_distance, inception_score, kernel_distance, moments, two_half_spread
from robustlens.parameters import create

pytestmark = pytest.mark.slow

# ---------------------------------------------------------------- feature networks


# How near two computations in float64, which rounds at 1e-16, come. Of a kernel distance, the difference of means of
# about 1, some 1e-4 are left, so that four digits are lost. A Fréchet distance has in it the roots of eigenvalues that
# are 0 but for 1e-16 of the largest: 1e-8 each.
CLOSE, FRECHET = {"rel": 1e-9}, {"rel": 1e-6}


def in_float64(network):
    """The same feature network, inside which images are float64: rounding then hides nothing."""
    inside = network._network.double()
    network._network = lambda images: inside(images.double())
    return network


def digits_network(tmp_path, seed=0, channels=1):
    """A feature network in float64, and the classifier that it is made of."""
    torch.manual_seed(seed)
    architecture = create("models", "resnet", {"blocks": [1, 1], "width": 4})
    trained = architecture.build(channels, 3)
    with torch.no_grad():
        trained.linear.weight.mul_(20.0)
    weights = tmp_path / "best.safetensors"
    save_file(trained.state_dict(), weights)
    return in_float64(classifier_network(architecture.build(channels, 3), weights)), trained.double().eval()


def test_classifier_features_are_the_penultimate_layer(tmp_path):
    network, trained = digits_network(tmp_path, channels=3)
    images = np.random.default_rng(2).random((7, 3, 8, 8)).astype(np.float32)
    hooked = []
    trained.linear.register_forward_hook(lambda module, inputs, output: hooked.append((inputs[0], output)))
    with torch.no_grad():
        trained(torch.from_numpy(images).double())

    features, logits = network.features(images, batch_size=3)
    assert features.dtype == logits.dtype == np.float64
    assert features.shape == (7, network.dims) == (7, 8)
    np.testing.assert_allclose(features, hooked[0][0].numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(logits, hooked[0][1].numpy(), rtol=1e-12, atol=1e-12)


def test_classifier_weights_that_are_missing_or_of_another_architecture(tmp_path):
    model = create("models", "resnet", {"blocks": [1], "width": 4}).build(1, 3)
    with pytest.raises(RobustlensError, match="no such weights"):
        classifier_network(model, tmp_path / "none.safetensors")
    digits_network(tmp_path)
    with pytest.raises(RobustlensError, match="not the weights of this architecture"):
        classifier_network(model, tmp_path / "best.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not tensors")
    with pytest.raises(RobustlensError, match=r"broken\.safetensors"):
        classifier_network(model, tmp_path / "broken.safetensors")


def test_classifier_scores_are_not_called_by_the_names_of_inception_scores():
    assert score_names("inception") == {"frechet": "FID", "score": "IS", "kid": "KID"}
    classifier = " ".join(score_names("classifier").values())
    assert not {"FID", "IS", "KID", "Inception", "inception"} & set(classifier.split())
    assert score_names("classifier").keys() == score_names("inception").keys()


def random_inception_weights(model):
    """Weights of the true shapes under which 40 layers keep the signal, and batch statistics that are not 0 and 1."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0.0, math.sqrt(2.0 / fan_in))
        elif isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.7, 1.3)
            module.bias.data.normal_(0.0, 0.1)
    model.fc.weight.data.normal_(0.0, 0.02)
    model.fc.bias.data.normal_(0.0, 5.0)
    return model.state_dict()


def test_inception_features_agree_with_pytorch_fid(tmp_path, monkeypatch):
    import pytorch_fid.inception

    weights = {}
    with monkeypatch.context() as patch:
        patch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *a, **k: {})
        patch.setattr("torchvision.models.Inception3.load_state_dict", lambda self, state: None)
        weights = random_inception_weights(pytorch_fid.inception.fid_inception_v3())
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *a, **k: weights)
    file = tmp_path / "inception.pth"
    torch.save(weights, file)
    monkeypatch.setitem(inception_weights.ARCHIVE, "sha256", features_module.checksum(file))

    grey = np.random.default_rng(3).random((2, 1, 8, 8)).astype(np.float32)
    colour = grey.repeat(3, axis=1)
    peer = pytorch_fid.inception.InceptionV3([3]).double().eval()
    with torch.no_grad():
        expected = peer(torch.from_numpy(colour).double())[0].squeeze(3).squeeze(2).numpy()

    network = in_float64(inception_network(file))
    features, logits = network.features(grey, batch_size=1)  # which are repeated to three channels
    assert (network.kind, network.dims) == ("inception", 2048)
    assert features.shape == expected.shape == (2, 2048)
    scale = np.abs(expected).mean()
    assert np.abs(expected[0] - expected[1]).mean() > 0.01 * scale  # the comparison means something
    # 48 layers, one upon the other, of sums of up to 4,000 terms.
    np.testing.assert_allclose(features, expected, rtol=1e-10, atol=1e-10 * scale)
    unbiased = expected @ weights["fc.weight"].double().numpy().T
    np.testing.assert_allclose(logits, unbiased, rtol=1e-10, atol=1e-10 * np.abs(unbiased).mean())


def test_missing_or_wrong_inception_weights_say_what_to_do(tmp_path):
    file = tmp_path / "weights.pth"
    with pytest.raises(RobustlensError) as missing:
        inception_network(file)
    file.write_bytes(b"something else")
    with pytest.raises(RobustlensError) as wrong:
        inception_network(file)
    assert f"{file}: missing; put this file in place by hand:\n  {file}\n" in str(missing.value)
    assert f"95628359 bytes, sha256 {inception_weights.ARCHIVE['sha256']}" in str(missing.value)
    assert f"{file}: sha256 " in str(wrong.value) and "delete it and run the same command again" in str(wrong.value)


# ---------------------------------------------------------------- the record of scores


def squared_mmd_by_loops(x, y):
    """Unbiased MMD^2 of as many x as y, image by image, with the kernel (x.y / d + 1)^3."""

    def kernel(a, b):
        return (math.fsum(float(i) * float(j) for i, j in zip(a, b, strict=True)) / len(a) + 1.0) ** 3

    n = len(x)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    within = math.fsum(kernel(part[i], part[j]) for part in (x, y) for i, j in pairs) / (n * (n - 1))
    return within - 2 * math.fsum(kernel(a, b) for a in x for b in y) / n**2


def test_score_is_what_the_formulas_say(tmp_path):
    network, trained = digits_network(tmp_path)
    rng = np.random.default_rng(4)
    train = rng.random((60, 1, 8, 8)).astype(np.float32).astype(np.float64)  # float64 for the distances to them
    images = (rng.random((50, 1, 8, 8)) ** 2).astype(np.float32).astype(np.float64)
    labels = np.arange(50) % 3
    images[[3, 40], 0, 2, 2] = np.nan, np.inf
    kept = np.array([i for i in range(50) if i not in (3, 40)])

    reference = see_reference(train, np.arange(60) % 3, network, "train", batch_size=25)
    record = score(images, labels, reference, network, train, splits=4, seed=6, batch_size=25)
    json.dumps(record, allow_nan=False)

    with torch.no_grad():
        (f, f_train), (logits, logits_train) = (
            [function(torch.from_numpy(i)).numpy() for i in (images[kept], train)]
            for function in (trained.features, trained)
        )
    own, other = moments(f), moments(f_train)
    assert record["n_generated"] == 48
    assert record["non_finite"] == 2
    assert record["n_reference"] == 60
    assert record["reference_split"] == "train"
    assert record["names"] == score_names("classifier")
    assert record["weights_sha256"] == features_module.checksum(tmp_path / "best.safetensors")
    assert record["frechet"] == pytest.approx(frechet_distance(*own[:2], *other[:2]), **FRECHET)
    assert record["frechet_two_half_spread"] == pytest.approx(two_half_spread(f, other, 6), **FRECHET)
    assert (record["score_mean"], record["score_std"]) == pytest.approx(inception_score(logits, 4, 6), **CLOSE)
    assert record["reference_score_mean"] == pytest.approx(inception_score(logits_train, 4, 6)[0], **CLOSE)
    assert record["kid_subset_size"] == 48
    kid = kernel_distance(f, f_train, 48, record["kid_subsets"], 6)
    assert (record["kid_mean"], record["kid_std"]) == pytest.approx(kid, **CLOSE)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert record["max_probability_mean"] == pytest.approx(probabilities.max(axis=1).mean(), **CLOSE)
    assert record["label_agreement"] == np.mean([probabilities[i].argmax() == labels[k] for i, k in enumerate(kept)])
    nearest = [min(math.sqrt(((images[k] - t) ** 2).sum()) for t in train) for k in kept]
    assert record["nearest_training_distance_median"] == pytest.approx(np.median(nearest), **CLOSE)
    assert record["frechet_per_class"].keys() == {"0", "1", "2"}
    one = [moments(f[labels[kept] == 1]), moments(f_train[np.arange(60) % 3 == 1])]
    assert record["frechet_per_class"]["1"] == pytest.approx(frechet_distance(*one[0][:2], *one[1][:2]), **FRECHET)

    assert record["kid_per_class"].keys() == {"0", "1", "2"}
    for y in range(3):  # 15 or 16 samples and 20 reference images: subsets of as many as there are samples
        ours, theirs = f[labels[kept] == y], f_train[np.arange(60) % 3 == y]
        random = np.random.default_rng(6)
        found = []
        for _ in range(record["kid_subsets_per_class"]):
            size = len(ours)
            chosen = [part[random.choice(len(part), size, replace=False)] for part in (ours, theirs)]
            found.append(squared_mmd_by_loops(*chosen))
        expected = sum(found) / len(found)
        assert record["kid_per_class"][str(y)] == pytest.approx(expected, **CLOSE)

    too_few = score(images[:24], labels[:24], reference, network, train, splits=2)
    assert too_few["frechet_per_class"] is None  # at most 8 samples a class, 8 dimensions
    assert too_few["kid_per_class"].keys() == {"0", "1", "2"}
    alone = score(images[:24], np.where(np.arange(24) == 5, 7, labels[:24]), reference, network, train, splits=2)
    assert alone["kid_per_class"] is None  # one sample of class 7, and no reference image


def test_score_of_samples_that_all_diverged(tmp_path):
    network, _ = digits_network(tmp_path)
    train = np.random.default_rng(5).random((20, 1, 8, 8)).astype(np.float32)
    reference = see_reference(train, np.zeros(20, dtype=int), network, "train", 20)
    with pytest.raises(RobustlensError, match="got 0"):
        score(np.full((9, 1, 8, 8), np.nan, dtype=np.float32), np.zeros(9, dtype=int), reference, network, train)


# ---------------------------------------------------------------- the reference


def test_reference_survives_the_disk(tmp_path):
    network, _ = digits_network(tmp_path)
    images = np.random.default_rng(7).random((20, 1, 8, 8)).astype(np.float32)
    reference = see_reference(images, np.arange(20) % 3, network, "train", batch_size=20)
    save_reference(tmp_path / "reference.npz", reference)
    back = load_reference(tmp_path / "reference.npz")
    assert back.split == "train"
    for name in ("features", "logits", "labels"):
        assert getattr(back, name).tobytes() == getattr(reference, name).tobytes()
    np.testing.assert_allclose(back.moments.covariance, np.cov(reference.features, rowvar=False), rtol=1e-12)
